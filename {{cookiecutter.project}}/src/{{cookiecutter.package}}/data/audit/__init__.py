"""What is wrong with a folder of images, before it costs a training."""
