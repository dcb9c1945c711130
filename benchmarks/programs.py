"""What is measured, in the order in which a round measures it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """A file that prints, as its last line, its figures as JSON.

    Attributes:
        name: of its rows in the results.
        title: of its rows on the page.
        file: in this folder; those outside ``peers/`` are told where the generated project is.
        arguments: beside ``--data``, ``--seed`` and ``--smoke``, which every program takes.
        needs_keras: runs in the environment that holds Keras, and nothing of the project.
        needs_gpu: is skipped where there is none.
    """

    name: str
    title: str
    file: str
    arguments: tuple[str, ...] = ()
    needs_keras: bool = False
    needs_gpu: bool = False


MLP = ("--recipe", "mnist_mlp")
CNN = ("--recipe", "mnist_cnn")
FASHION = ("--recipe", "fashion_cnn")
FOLDER = ("--recipe", "folder_cnn")

PROGRAMS = (
    Program("tutorial", "PyTorch tutorial loop, MNIST", "peers/tutorial_mnist.py"),
    Program("ours_mlp", "`fit`, mnist_mlp", "ours/fit.py", MLP),
    Program("keras_mlp", "Keras tutorial MLP, MNIST", "peers/keras_mlp.py", needs_keras=True),
    Program("bare_mlp", "bare loop, mnist_mlp", "limit/bare_loop.py", MLP),
    Program("ours_mlp_curve", "`fit` until 97.8 %, mnist_mlp", "ours/time_to_accuracy.py", MLP),
    Program("keras_cnn", "Keras tutorial CNN, MNIST", "peers/keras_cnn.py", ("--dataset", "MNIST"), needs_keras=True),
    Program("ours_cnn", "`fit`, mnist_cnn", "ours/fit.py", CNN),
    Program("bare_cnn", "bare loop, mnist_cnn", "limit/bare_loop.py", CNN),
    Program(
        "keras_fashion",
        "Keras tutorial CNN, Fashion-MNIST",
        "peers/keras_cnn.py",
        ("--dataset", "FashionMNIST"),
        needs_keras=True,
    ),
    Program("ours_fashion", "`fit`, fashion_cnn", "ours/fit.py", FASHION),
    Program("image_folder", "ImageFolder + DataLoader, 2 workers", "peers/image_folder.py"),
    Program("ours_photos", "ImageFolderDataModule", "ours/photo_loader.py"),
    Program("frozen_backbone", "tutorial, head under a frozen backbone", "peers/frozen_backbone.py"),
    Program("ours_probe", "`fit`, folder_probe", "ours/probe.py"),
    Program("memory_1k", "ImageFolderDataModule, 1,000 images", "ours/photo_memory.py", ("--num_images", "1000")),
    Program("memory_50k", "ImageFolderDataModule, 50,000 images", "ours/photo_memory.py", ("--num_images", "50000")),
    Program("evaluation_mlp", "evaluation, mnist_mlp", "ours/evaluation_speed.py", MLP),
    Program("evaluation_cnn", "evaluation, mnist_cnn", "ours/evaluation_speed.py", CNN),
    Program("streaming", "StreamingImageDataModule, and the memory-mapped cache", "scaling/rates.py"),
    Program("streaming_memory", "StreamingImageDataModule, 50,000 images", "scaling/memory.py"),
    Program("processes_fashion", "`fit` on two processes, fashion_cnn", "scaling/processes.py", FASHION),
    Program("processes_folder", "`fit` on two processes, folder_cnn", "scaling/processes.py", FOLDER),
    Program("exported", "`export`, folder_probe at 288 pixels", "ours/export_clock.py"),
    Program("serving", "`deploy/serve.py`, folder_cnn at 128 pixels", "serving/load.py"),
    Program("ours_resnet50", "`fit`, ResNet-50 at 224 pixels", "ours/resnet50.py", needs_gpu=True),
    Program("random_tensors", "ResNet-50 on random tensors", "limit/random_tensors.py", needs_gpu=True),
)
