import numpy as np
import torch

from {{cookiecutter.package}}.data.labelled_images import LabelledImages
from {{cookiecutter.package}}.evaluation.comparison.baselines import downscaled, stratified_sample


def test_a_sample_has_every_class_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    sample = stratified_sample(labels, 50)
    assert np.bincount(labels[sample]).tolist() == [30, 15, 5]
    assert len(set(sample.tolist())) == 50
    assert stratified_sample(labels, 50).tolist() == sample.tolist()
    assert stratified_sample(labels, 1000).tolist() == list(range(1000))


def test_each_pixel_is_the_mean_of_those_it_replaces() -> None:
    images = torch.arange(2 * 3 * 64 * 64).remainder(251).to(torch.uint8).view(2, 3, 64, 64)
    split = LabelledImages(images, torch.tensor([7, 8]), ["a", "b"])
    pixels = downscaled(split, np.array([1, 0]))
    assert pixels.labels.tolist() == [8, 7]
    assert pixels.features.shape == (2, 3 * 32 * 32)
    assert pixels.features[0, 0] == images[1, 0, :2, :2].float().mean()


def test_small_images_stay_as_they_are() -> None:
    images = torch.arange(2 * 8 * 8).to(torch.uint8).view(2, 1, 8, 8)
    pixels = downscaled(LabelledImages(images, torch.tensor([0, 1]), ["a", "b"]), np.array([0, 1]))
    assert pixels.features.tolist() == images.flatten(1).tolist()
