# %% [markdown]
# # 2. Downhill
#
# **Question:** how large may a step of gradient descent be?
#
# **Guess first.** We look for the lowest point of (x - 3)^2, from x = 0, in 20 steps, with the learning rates 0.01,
# 0.1, 0.5, 1 and 1.1. Which one ends nearest to 3? Where does 1.1 end? Write both down, then run on.

# %%
from typing import Any

import numpy as np
import torch
from checks import check_downhill
from course import fit, show
from matplotlib import pyplot as plt

from {{cookiecutter.package}}.data import DigitsDataModule
from {{cookiecutter.package}}.engine.optimization import OptimizerSettings, ParameterGroup, build_optimizer
from {{cookiecutter.package}}.models import MLPClassifier

# %% [markdown]
# ## By hand
# The slope of (x - 3)^2 is 2 (x - 3). A step goes against the slope: x becomes x - lr * slope.


# %%
def descend(lr: float, start: Any = 0.0, lowest: float = 3.0, steepness: Any = 2.0, steps: int = 20) -> np.ndarray:
    """Position at the start and after each step, where the slope is steepness * (position - lowest)."""
    path = [np.array(start)]
    for _ in range(steps):
        path.append(path[-1] - lr * np.array(steepness) * (path[-1] - lowest))
    return np.array(path)


paths = {lr: descend(lr) for lr in (0.01, 0.1, 0.5, 1, 1.1)}
for lr, path in paths.items():
    print(f"lr {lr:<4}: {path[1]:6.2f} after 1 step, {path[-1]:9.4f} after 20")
assert [round(path[-1], 4) for path in paths.values()] == [0.9972, 2.9654, 3, 0, -112.0128]
assert paths[0.5][1] == 3
assert set(paths[1].tolist()) == {0, 6}
assert round(descend(0.1, lowest=10)[-1], 4) == 9.8847

# %% [markdown]
# 0.01 is still at 0.9972, 0.1 has come to 2.9654, 0.5 arrives in one step, 1 swings between 0 and 6 for ever, and
# 1.1 ends at -112. Why: each step multiplies the distance from the lowest point by 1 - 2 lr. It shrinks while that
# factor is between -1 and 1, so while lr is below 1. Steeper hills have a lower limit.
#
# ## The same inside the project
# `--model.optimizer.name sgd` is this step. (Momentum, which is 0 here, comes in lesson 4.)


# %%
def descend_with_torch(lr: float, clear: bool = True) -> list[float]:
    x, path = torch.nn.Parameter(torch.zeros((), dtype=torch.float64)), [0.0]
    settings = OptimizerSettings("sgd", lr=lr, momentum=0, weight_decay=0)
    optimizer = build_optimizer(settings, [ParameterGroup("x", [x])], fused=False)
    for _ in range(20):
        ((x - 3) ** 2).backward()
        optimizer.step()
        path.append(x.item())
        if clear:
            optimizer.zero_grad()
    return path


assert all(np.allclose(descend_with_torch(lr), path) for lr, path in paths.items())

# %% [markdown]
# ## Two directions
# A network has many parameters, and its loss is steeper along some than along others. The bowl (x^2 + 25 y^2) / 2 has
# the slopes x and 25 y. The steep direction sets the limit, lr below 2/25 = 0.08. Just below it, with 0.079, each step
# multiplies y by 1 - 25 lr = -0.975, which is a zigzag, and x by 1 - lr = 0.921 only, which is slow. With y scaled by 5
# the bowl is round, and one step with lr 1 arrives. Normalised inputs do the same for a network (lesson 5).

# %%
bowl: dict[str, Any] = {"start": (10.0, 1.0), "lowest": 0.0, "steepness": (1.0, 25.0)}
below, above = descend(0.079, **bowl), descend(0.081, **bowl)
rescaled = descend(1, start=(10.0, 5.0), lowest=0.0, steepness=(1.0, 1.0))
print(f"|y| after 20 steps: {abs(below[-1, 1]):.2f} with lr 0.079, {abs(above[-1, 1]):.2f} with 0.081")
assert abs(below[-1, 1]) < 1 < abs(above[-1, 1])
assert np.all(rescaled[1] == 0)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
for (lr, path), style in zip(paths.items(), ("-", "--", "o", "-.", ":"), strict=True):
    distance = np.where(path == 3, np.nan, np.abs(path - 3))  # a logarithm has no 0
    arrives = " (3 in one step)" if lr == 0.5 else ""
    left.plot(distance, style, color="black" if lr == 1.1 else None, label=f"lr {lr}{arrives}")
left.set(xlabel="step", ylabel="distance from the lowest point", yscale="log", xticks=range(0, 21, 5))
left.set_title("A step multiplies the distance by |1 - 2 lr|")
left.legend(fontsize=8)
x, y = np.meshgrid(np.linspace(-1, 11, 100), np.linspace(-1.4, 1.4, 100))
right.contour(x, y, (x**2 + 25 * y**2) / 2, levels=[1, 3, 8, 16, 32, 50], colors="0.75")
right.plot(*below.T, "o-", markersize=3, label="lr 0.079")
right.plot([10, 0], [1, 0], "s--", label="y scaled by 5, lr 1")
right.set(xlabel="x", ylabel="y")
right.set_title("The steep direction limits the step")
right.legend(fontsize=8)
show(figure, "02_downhill")

# %% [markdown]
# ## Where the slopes come from
# Backpropagation is the chain rule, from the loss back to the first layer. By hand for the network of lesson 1, by
# PyTorch's autograd, and measured: change one weight a little, and see how the loss changes.

# %%
data = DigitsDataModule()
torch.manual_seed(0)
model = MLPClassifier(data.facts, hidden_sizes=[64]).eval()
images, labels = data.split("train").images[torch.arange(64)], data.split("train").labels[:64]
weight = dict(model.network.named_parameters())["1.weight"]  # of the first layer: 64 neurons, 64 pixels
autograd = torch.autograd.grad(model.loss(model(images), labels), weight)[0].numpy()

numbers = {name: value.detach().double().numpy() for name, value in model.network.named_parameters()}
pixels = model.preprocess(images).double().numpy().reshape(64, 64)
sums = pixels @ numbers["1.weight"].T + numbers["1.bias"]
scores = np.maximum(0, sums) @ numbers["4.weight"].T + numbers["4.bias"]
slope_of_scores = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True) - np.eye(10)[labels]) / 64
slope_of_sums = slope_of_scores @ numbers["4.weight"] * (sums > 0)
by_hand = slope_of_sums.T @ pixels

model.double()
losses = []
for change in (1e-4, -2e-4):
    weight.data[0, 10] += change
    losses.append(model.loss(model(images), labels).item())
measured = (losses[0] - losses[1]) / 2e-4
print(f"largest difference {np.abs(by_hand - autograd).max():.0e}; one weight: {by_hand[0, 10]:.8f}, {measured:.8f}")
assert max(np.abs(by_hand - autograd).max(), abs(by_hand[0, 10] - measured)) < 1e-7

# %% [markdown]
# By hand and autograd differ by 2e-8, the rounding of 32-bit numbers.
#
# ## Break it
# 1. *No `zero_grad()`*: slopes of earlier steps are added up, and x swings instead of arriving.
# 2. *A rate that is too high* in a real training: the diagnosis, also in the report, says `diverged` and what to do.

# %%
lost = descend_with_torch(0.1, clear=False)
print("without zero_grad:", " ".join(f"{x:.1f}" for x in lost))
assert min(lost[10:]) < 1 < 5 < max(lost[10:])

SGD = ["--model.optimizer.name", "sgd", "--model.optimizer.momentum", "0", "--model.schedule.name", "constant"]
DIGITS = ["--data", "DigitsDataModule", "--model", "MLPClassifier", "--model.hidden_sizes", "[64]"]
result = fit(*DIGITS, *SGD, "--model.optimizer.lr", "5", name="02_too_high")
print(result.diagnosis[0])
assert result.diagnosis[0].startswith("diverged")

# %% [markdown]
# ## Exercise
# A common course prints 8.84 as the result of 20 steps on (x - 10)^2 from x = 0 with lr 0.1. You have seen that it is
# 9.8847. With which learning rate would 20 steps end at 8.84? Give it with four decimals.

# %%
answer = None
check_downhill(answer)
