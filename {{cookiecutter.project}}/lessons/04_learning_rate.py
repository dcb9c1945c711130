# %% [markdown]
# # 4. Learning rate, momentum, Adam
#
# **Question:** which learning rate is right, and how much does the optimizer matter?
#
# **Guess first.** We train a network on digits for 10 epochs with plain SGD and the learning rates 0.001, 0.01, 0.1, 1,
# 2, 5 and 10. Which one wins? Which accuracy does the worst have? Write both down, then run on.

# %%
import numpy as np
import torch
from checks import check_learning_rate
from course import Result, fit, show
from matplotlib import pyplot as plt

from {{cookiecutter.package}}.engine.optimization import OptimizerSettings, ParameterGroup, build_optimizer
from {{cookiecutter.package}}.tools.compare.candidates import read_candidates
from {{cookiecutter.package}}.tools.compare.comparison import Comparison

FIXED = ["--data", "DigitsDataModule", "--model", "MLPClassifier", "--model.hidden_sizes", "[64]"]
FIXED += ["--model.dropout", "0", "--model.optimizer.weight_decay", "0", "--model.schedule.name", "constant"]
OPTIMIZERS = {
    "SGD": ["--model.optimizer.name", "sgd", "--model.optimizer.momentum", "0"],
    "momentum": ["--model.optimizer.name", "sgd", "--model.optimizer.momentum", "0.9"],
    "Adam": ["--model.optimizer.name", "adam"],
}


def train(optimizer: str, lr: float) -> Result:
    return fit(*FIXED, *OPTIMIZERS[optimizer], "--model.optimizer.lr", str(lr), name=f"04_{optimizer}_{lr}")


# %% [markdown]
# ## Plain SGD

# %%
results = {"SGD": {lr: train("SGD", lr) for lr in (0.001, 0.01, 0.1, 1, 2, 5, 10)}}
sgd = {lr: result.test_accuracy for lr, result in results["SGD"].items()}

for lr, low, high in ((0.001, 5, 30), (0.1, 90, 95), (1, 93, 98), (2, 5, 60), (5, 5, 15), (10, 5, 15)):
    assert low < sgd[lr] < high, lr

# %% [markdown]
# Accuracy rises from 11.7 % (0.001) to 92.5 % (0.1) and 95.8 % (1), and falls to 20.1 % (2) and 10.0 % (5 and more),
# that of a guess. With a rate that is too low, training only takes more epochs. With one that is too high, it learns
# nothing at all, and the best rate is close to that.
#
# ## Momentum and Adam by hand
# *Momentum* follows a sum of all slopes so far, in which a slope counts 0.9 times as much after each step. Slopes of
# the same direction add up to 10 times the step, and zigzags cancel. *Adam* keeps two running means, that of the slopes
# and that of their squares, and divides the first by the root of the second: each parameter moves about `lr` a step,
# however steep the loss is. Here on the bowl of lesson 2, beside the optimizers that the project builds (its SGD uses
# Nesterov's momentum, which looks one step ahead).

# %%
START, STEEPNESS = np.array([10.0, 1.0]), np.array([1.0, 25.0])  # of (x^2 + 25 y^2) / 2
with_momentum, velocity = START, np.zeros(2)
with_adam, mean, square = START, np.zeros(2), np.zeros(2)
for step in range(1, 51):
    slope = STEEPNESS * with_momentum
    velocity = 0.9 * velocity + slope
    with_momentum = with_momentum - 0.02 * (slope + 0.9 * velocity)
    slope = STEEPNESS * with_adam
    mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
    with_adam = with_adam - 0.5 * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
print(f"after 50 steps: momentum {with_momentum.round(4)}, Adam {with_adam.round(4)}")

sgd_settings = OptimizerSettings("sgd", lr=0.02, momentum=0.9, weight_decay=0)
adam_settings = OptimizerSettings("adam", lr=0.5, weight_decay=0)
for settings, expected in ((sgd_settings, with_momentum), (adam_settings, with_adam)):
    point = torch.nn.Parameter(torch.tensor(START))
    built = build_optimizer(settings, [ParameterGroup("point", [point])], fused=False)
    for _ in range(50):
        built.zero_grad()
        (point**2 @ torch.tensor(STEEPNESS) / 2).backward()
        built.step()
    assert np.allclose(point.detach(), expected)

# %% [markdown]
# ## All three on digits

# %%
results["momentum"] = {lr: train("momentum", lr) for lr in (0.001, 0.01, 0.1, 0.5, 1)}
results["Adam"] = {lr: train("Adam", lr) for lr in (1e-5, 1e-4, 0.001, 0.01, 0.1, 1)}
momentum, adam = ({lr: run.test_accuracy for lr, run in results[name].items()} for name in ("momentum", "Adam"))
assert 93 < momentum[0.1] < 98
assert 93 < adam[0.01] < 99
assert max(momentum[1], adam[1]) < 70
assert adam[1e-5] < 25

figure, axes = plt.subplots(figsize=(8, 3.6))
for (optimizer, runs), style in zip(results.items(), ("o-", "s--", "^:"), strict=True):
    axes.plot(list(runs), [run.test_accuracy for run in runs.values()], style, label=optimizer)
axes.axhline(10, color="0.5", linewidth=1)
axes.annotate("a guess", (0.01, 10), xytext=(0, 5), textcoords="offset points")
axes.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %", ylim=(0, 100))
axes.set_title("Each optimizer has its own range of rates; the peaks are nearly equal")
figure.legend(loc="outside right center")
show(figure, "04_learning_rate")

# %% [markdown]
# Momentum 0.9 with 0.1 is as good as plain SGD with 1, ten times as much: 95.8 %. Adam has 7.0 % with 0.00001, 96.4 %
# with 0.01 and 23.7 % with 1: it needs smaller rates than SGD, and takes a wider range of them.
#
# ## Break it
# 1. *Plain SGD with 5*: the report says `diverged`, and to divide the rate by 10.
# 2. *Adam with 0.00001*: the report says `no better than guessing`, and to try a tenth, then ten times as much.
# 3. *Adam or momentum with 1, the best rate of plain SGD*: 23.7 and 29.2 %. A rate belongs to its optimizer.

# %%
for run in (results["SGD"][5], results["Adam"][1e-5], results["Adam"][1]):
    print(run.diagnosis[0])
assert results["SGD"][5].diagnosis[0].startswith("diverged")
assert "--model.optimizer.lr 0.0001" in results["Adam"][1e-5].diagnosis[0]

# %% [markdown]
# ## Which optimizer is best?
# We take the rate with the lowest *validation* loss of each (a choice by test images would make the test worthless),
# and ask what `compare runs/lessons/04_SGD_1 runs/lessons/04_Adam_0.01 ...` prints below its table. The best and the
# second differ by two of 359 test images, which could be chance: p is the probability of such a difference, or a larger
# one, between two networks that are equally good.

# %%
best = [min(runs.values(), key=lambda run: run.summary.get("best", np.inf)) for runs in results.values()]
comparison = Comparison(read_candidates([run.directory for run in best])[0], with_baselines=False)
for test in sorted(comparison.tests, key=lambda test: test.second.name):
    print(f"{test.first.name}, {100 * test.first.accuracy:.1f} %, against {test.second.name}: {test.verdict}")
accuracies = [run.test_accuracy for run in best]
assert max(accuracies) - min(accuracies) < 100 * 8 / 359

# %% [markdown]
# ## Exercise
# How far does Adam, with a learning rate of 0.01, move a weight in its first step, if the slope there is 1000?

# %%
answer = None
check_learning_rate(answer)
