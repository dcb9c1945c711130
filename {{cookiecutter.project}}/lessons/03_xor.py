# %% [markdown]
# # 3. XOR
#
# **Question:** what can a hidden layer do that no single layer can?
#
# **Guess first.** XOR is 1 if exactly one of two inputs is 1. Two hidden neurons are enough to compute it. Of 20
# trainings that start from different random weights, how many find the solution with 2, 4, 8 and 16 hidden neurons?
# Write four numbers down, then run on.

# %%
import math
import shutil

import numpy as np
import torch
from checks import check_xor
from course import RUNS, Result, fit, show
from matplotlib import pyplot as plt
from PIL import Image
from torch import nn
from torch.nn import functional as F

from {{cookiecutter.package}}.engine.optimization import OptimizerSettings, ParameterGroup, build_optimizer
from {{cookiecutter.package}}.models.mlp import build_mlp

INPUTS, XOR = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([0, 1, 1, 0])

# %% [markdown]
# ## Train it
# `build_mlp` builds the network of `MLPClassifier`. The loop below is what a trainer does in each step.


# %%
def train(hidden_sizes: list[int], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = build_mlp(2, hidden_sizes, num_classes=2, dropout=0.0, batch_norm=False)
    settings = OptimizerSettings("sgd", lr=0.2, momentum=0.9, weight_decay=0)
    optimizer = build_optimizer(settings, [ParameterGroup("network", list(network.parameters()))], fused=True)
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(network(INPUTS), XOR).backward()
        optimizer.step()
    return network.requires_grad_(False)


def is_solved(network: nn.Module) -> bool:
    return torch.equal(network(INPUTS).argmax(dim=1), XOR)


single = train([], seed=0)
loss = F.cross_entropy(single(INPUTS), XOR).item()
print(f"no hidden layer: loss {loss:.4f}; ln 2 is {math.log(2):.4f}")
assert abs(loss - math.log(2)) < 1e-3

# %% [markdown]
# Without a hidden layer the network ends with the loss of a guess, ln 2: one straight line cannot separate the two
# classes. Any line has at most three of the four points on the right side, as a search over lines confirms.

# %%
grid = np.linspace(-2, 2, 41)
a, b, c = (values[..., None] for values in np.meshgrid(grid, grid, grid))
sides = a * INPUTS[:, 0].numpy() + b * INPUTS[:, 1].numpy() + c > 0
most = (sides == XOR.numpy().astype(bool)).sum(axis=-1).max()
print(f"best of {grid.size**3:,} lines: {most} of 4 right")
assert most == 3

trained = {size: [train([size], seed) for seed in range(20)] for size in (2, 4, 8, 16)}
solved = {size: sum(map(is_solved, networks)) for size, networks in trained.items()}
print("solved, of 20:", solved)
for size, low, high in ((2, 1, 8), (4, 11, 18), (8, 16, 20), (16, 19, 20)):
    assert low <= solved[size] <= high, size

# %% [markdown]
# Two neurons are enough to *compute* XOR, but only about 4 of 20 trainings find it, 14 of 20 with four neurons, 18
# with eight, all with sixteen. A ReLU neuron that is 0 for all inputs has no slope and never moves again. Spare
# neurons make it likely that enough of them start in a useful place. That is one reason why networks are large.

# %%
figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True)
x, y = np.meshgrid(np.linspace(-0.5, 1.5, 200), np.linspace(-0.5, 1.5, 200))
points = torch.tensor(np.stack([x.ravel(), y.ravel()], axis=1), dtype=torch.float32)
best = next(filter(is_solved, trained[4]))
shown = {"No hidden layer: a guess everywhere": single, "4 hidden neurons: solved": best}
for axes, (title, network) in zip(panels, shown.items(), strict=True):
    probability = network(points).softmax(dim=1)[:, 1].reshape(x.shape)
    shades = axes.contourf(x, y, probability, levels=np.linspace(0, 1, 10), cmap="PuOr", alpha=0.8)
    for label, marker in ((0, "s"), (1, "o")):
        axes.plot(*INPUTS[label == XOR].T, marker, color="black", markerfacecolor="white", label=f"XOR = {label}")
    axes.set(xlabel="first input", title=title, xticks=[0, 1], yticks=[0, 1])
panels[0].set_ylabel("second input")
panels[0].legend(loc="center")
figure.colorbar(shades, ax=panels, label="probability of XOR = 1", ticks=[0, 0.5, 1])
show(figure, "03_xor")

# %% [markdown]
# ## The same with images, inside the project
# 800 noisy images of 8 x 8 pixels: each half is dark or bright, and the class is whether both halves are the `same`
# or `different`. That is XOR, and no single pixel tells the class. A folder for each class is all the project needs:
#
#     fit --data ImageFolderDataModule --data.root runs/lessons/halves ... --model.hidden_sizes "[2]"

# %%
folder, rng = RUNS / "halves", np.random.default_rng(0)
shutil.rmtree(folder, ignore_errors=True)
for number in range(800):
    halves = rng.integers(2, size=2)
    kind = folder / ("same" if halves[0] == halves[1] else "different")
    kind.mkdir(parents=True, exist_ok=True)
    pixels = rng.normal(80 + 95 * halves.repeat(4), 30, size=(8, 8)).clip(0, 255)  # four columns a half
    Image.fromarray(pixels.astype(np.uint8)).save(kind / f"{number}.png")

IMAGES = ["--data", "ImageFolderDataModule", "--data.root", "runs/lessons/halves", "--data.cache", "memory"]
IMAGES += ["--data.image_size", "8", "--data.num_channels", "1", "--data.augmentation", "none"]
MODEL = ["--model", "MLPClassifier", "--model.dropout", "0", "--model.optimizer.lr", "0.01"]


def train_on_images(sizes: str, *more: str) -> Result:
    return fit(*IMAGES, *MODEL, "--model.hidden_sizes", sizes, *more, name=f"03_halves_{sizes.strip('[]') or 'none'}")


none, two, four = train_on_images("[]"), train_on_images("[2]"), train_on_images("[4]")
assert 35 < none.test_accuracy < 60
assert min(two.test_accuracy, four.test_accuracy) > 95

# %% [markdown]
# Without a hidden layer 41 % of the test images are right (41 to 55 % with seeds 0 to 3), with two neurons or more
# all of them.
#
# ## Break it
# 1. *Follow the report's advice without a hidden layer.* It says `no better than guessing`, and to raise the learning
#    rate. It sees curves, and cannot know that no rate helps where no line separates the classes. With 0.1 it is 53 %.
# 2. *Another seed with two neurons*, `--seed_everything 2`: 78 %, stuck as most of the trainings above. The report says
#    `underfitted` and, among other things, to take a larger network. Four neurons with that seed: 100 %.

# %%
print(none.diagnosis[0])
faster = train_on_images("[]", "--model.optimizer.lr", "0.1")
stuck, larger = train_on_images("[2]", "--seed_everything", "2"), train_on_images("[4]", "--seed_everything", "2")
print(stuck.diagnosis[0])
assert none.diagnosis[0].startswith("no better than guessing")
assert 35 < faster.test_accuracy < 65
assert 60 < stuck.test_accuracy < 95
assert larger.test_accuracy > 95

# %% [markdown]
# ## Exercise
# Be the optimizer: find whole numbers for a network of two ReLU neurons that computes XOR, without training. Give the
# weights of the hidden neurons (a row each), their biases, and the weights of the output, which has no bias, as in
# `answer = ([[1, 0], [0, 1]], [0, 0], [1, 1])`. That one computes 0, 1, 1, 2 instead of 0, 1, 1, 0.

# %%
answer = None
check_xor(answer)
