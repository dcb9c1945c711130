# %% [markdown]
# # 8. What a convolution sees
#
# **Question:** what does a convolutional network know about images that an MLP does not?
#
# **Guess first.** An MLP and a CNN are trained on digits. Then the test images are shifted to the right a little, by a
# tenth of their width. How many percent does each of the two lose? And what if all images, training and test, have
# their pixels shuffled in the same way? Write four numbers down, then run on.

# %%
import os
from dataclasses import replace
from typing import Any

import torch
from checks import check_convolution
from course import Result, fit, show
from matplotlib import pyplot as plt
from torch import Tensor, nn
from torch.nn import functional as F

from {{cookiecutter.package}}.data import DATA_MODULES, DigitsDataModule, ImageDataModule, MNISTDataModule
from {{cookiecutter.package}}.engine.bundles import load_classifier
from {{cookiecutter.package}}.engine.images import LabelledImages
from {{cookiecutter.package}}.models import CLASSIFIERS, CNNClassifier, ImageClassifier

# %% [markdown]
# ## Sobel by hand
# A convolution moves a small filter over the image and writes down, at each place, the sum of products. Sobel's filter
# subtracts the left from the right: it answers to vertical edges. We do it with loops, and put the same filter into the
# project's `CNNClassifier`.

# %%
digits = DigitsDataModule()
sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
model = CNNClassifier(digits.facts, widths=[1])
convolution = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
convolution.weight.data = sobel.view(1, 1, 3, 3)
with torch.no_grad():
    pixels = model.preprocess(digits.split("test").images[torch.tensor([0])])  # (1, 1, 8, 8)
    by_network = convolution(pixels)[0, 0]
padded = F.pad(pixels[0, 0], (1, 1, 1, 1))
by_hand = torch.tensor(
    [[(padded[row : row + 3, column : column + 3] * sobel).sum() for column in range(8)] for row in range(8)]
)
print(f"largest difference {(by_hand - by_network).abs().max():.0e}")
assert torch.allclose(by_hand, by_network, atol=1e-5)

# %% [markdown]
# ## Two networks, four trainings
# On MNIST if the variable `CLASSIFIER_DATA` names the folder that holds `MNIST/raw/`, else on the embedded digits. A
# data set of your own is a class and a line in `DATA_MODULES`: here one with shuffled pixels.

# %%
ROOT = os.environ.get("CLASSIFIER_DATA")
original: type[ImageDataModule] = MNISTDataModule if ROOT else DigitsDataModule


class ShuffledPixels(original):  # type: ignore[misc, valid-type]
    def load_split(self, split: Any) -> LabelledImages:
        whole = super().load_split(split)
        order = torch.randperm(whole.images[0].numel(), generator=torch.Generator().manual_seed(0))
        return replace(whole, images=whole.images.flatten(2)[..., order].view_as(whole.images))


DATA_MODULES["ShuffledPixels"] = ShuffledPixels
ROOT_OPTIONS = ["--data.root", ROOT] if ROOT else []
RECIPE = "mnist" if ROOT else "digits"
SHORT = {"mlp": ["--trainer.max_epochs", "3"], "cnn": ["--trainer.max_epochs", "1"]} if ROOT else {"mlp": [], "cnn": []}


def train(network: str, data: str) -> Result:
    options = ["--data", data, *ROOT_OPTIONS, *SHORT[network]]
    return fit(f"{RECIPE}_{network}", *options, name=f"08_{network}_{data}")


plain = {network: train(network, original.__name__) for network in ("mlp", "cnn")}
shuffled = {network: train(network, "ShuffledPixels") for network in ("mlp", "cnn")}

# %% [markdown]
# ## Shifted test images
# The best weights of the first two trainings, and the test images moved to the right by a tenth of their width.

# %%
data: ImageDataModule = MNISTDataModule(ROOT) if ROOT else DigitsDataModule()
test = data.split("test")
images, labels = test.images[torch.arange(len(test))], test.labels
shift = max(1, round(images.shape[-1] / 10))
moved = F.pad(images[..., :-shift], (shift, 0))


def load(run: Result) -> ImageClassifier:
    checkpoint = torch.load(run.directory / "checkpoints" / "best.ckpt", weights_only=True)
    return load_classifier(checkpoint, CLASSIFIERS)


@torch.no_grad()
def accuracy(classifier: ImageClassifier, images: Tensor) -> float:
    found = torch.cat([classifier(part).argmax(1) for part in torch.split(images, 1000)])
    return 100 * (found == labels).float().mean().item()


table = {
    network: [plain[network].test_accuracy, accuracy(load(plain[network]), moved), shuffled[network].test_accuracy]
    for network in ("mlp", "cnn")
}
for network, values in table.items():
    print(f"{network}: as it is {values[0]:.1f} %, shifted by {shift} px {values[1]:.1f}, shuffled {values[2]:.1f}")
assert abs(accuracy(load(plain["cnn"]), images) - plain["cnn"].test_accuracy) < 0.5
assert table["cnn"][1] - table["mlp"][1] > 5
assert abs(table["mlp"][0] - table["mlp"][2]) < 2
assert table["cnn"][0] - table["cnn"][2] > 0.2

# %% [markdown]
# Measured on MNIST, 3 epochs of `mnist_mlp` and 1 of `mnist_cnn`: MLP 98.0 %, shifted 62.4, shuffled 98.2;
# CNN 99.1 %, shifted 95.0, shuffled 95.0. To the MLP, pixels are a list in any order: shuffling changes nothing,
# and each place is learned separately. The CNN looks for the same small patterns everywhere, and pooling forgives small
# shifts. It has 27,000 parameters instead of 236,000, and its advantage is gone when neighbours are no longer
# neighbours.
#
# ## The filters and what they answer to

# %%
classifier = load(plain["cnn"])
first = next(module for module in classifier.modules() if isinstance(module, nn.Conv2d))
with torch.no_grad():
    maps = first(classifier.preprocess(images[:1]))[0].relu()
figure = plt.figure(figsize=(9.5, 5.6))
places = figure.add_gridspec(2, 1, height_ratios=[1.15, 1])
top, bottom = figure.add_subfigure(places[0]), figure.add_subfigure(places[1])
grid = top.subplots(2, 9)
for axes in grid.flat:
    axes.axis("off")
grid[1, 0].imshow(images[0, 0], cmap="gray")
grid[1, 0].set_title("image", fontsize=8)
grid[0, 0].text(0.5, 0.5, "filter:\nblue negative,\nred positive", ha="center", va="center", fontsize=8)
limit = first.weight.abs().max().item()
for number in range(8):
    grid[0, number + 1].imshow(first.weight[number, 0].detach(), cmap="RdBu_r", vmin=-limit, vmax=limit)
    grid[1, number + 1].imshow(maps[number], cmap="gray")
top.suptitle("Eight filters of the first layer, and where in the image each one answers", fontsize=11)
axes = bottom.subplots()
for row, (network, hatch) in enumerate((("mlp", ""), ("cnn", "//"))):
    bars = axes.barh([place + 0.2 - 0.4 * row for place in range(3)], table[network], 0.38, label=network, hatch=hatch)
    axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
how = f"test images shifted\nby {shift} of {images.shape[-1]} pixels"
axes.set_yticks(range(3), ["as it is", how, "pixels shuffled"])
axes.invert_yaxis()
axes.set(xlabel=f"test accuracy, % ({RECIPE})", xlim=(0, 115))
axes.set_title("Shifts cost the MLP more; shuffled pixels cost the CNN only")
axes.legend(fontsize=8, loc="lower right")
show(figure, "08_what_a_convolution_sees")

# %% [markdown]
# ## Break it
# 1. *More blocks than the image allows*: each halves the side, and the program says how many there may be.
# 2. *Images of another size*: the MLP's first layer does not fit. The CNN with global pooling takes them.

# %%
try:
    fit("digits_cnn", "--model.widths", "[8, 16, 32, 64]", name="08_too_many_blocks")
except RuntimeError as refusal:
    print(refusal)
assert model(torch.zeros(1, 1, 32, 32)).shape == (1, 10)

# %% [markdown]
# ## Exercise
# `mnist_cnn`'s first layer has 8 filters of 3 x 3 weights, and no biases: 72 numbers. It turns an image of 28 x 28
# pixels into 8 maps of 28 x 28. How many weights would a fully connected layer need for that, without biases?

# %%
answer = None
check_convolution(answer)
