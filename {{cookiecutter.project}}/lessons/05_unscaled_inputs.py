# %% [markdown]
# # 5. Unscaled inputs
#
# **Question:** why are pixels normalised before a network sees them?
#
# **Guess first.** The network of lesson 4 has 92.5 % with plain SGD and a learning rate of 0.1. What has it if the same
# pixels come in as 0 to 1? And as 0 to 255? Write both down, then run on.

# %%
import numpy as np
import torch
from checks import check_unscaled_inputs
from course import Result, fit, show
from matplotlib import pyplot as plt

from {{cookiecutter.package}}.data import DATA_MODULES, DigitsDataModule, ImageFacts
from {{cookiecutter.package}}.engine.bundles import load_classifier, read_checkpoint
from {{cookiecutter.package}}.engine.run_directory import BEST_CHECKPOINT
from {{cookiecutter.package}}.models import CLASSIFIERS

# %% [markdown]
# ## Three data sets that differ by the scale of the pixels
# In this project, the first layer of every model maps pixels from 0 to 255 to (pixel / 255 - mean) / std. Mean and std
# are facts of the data set. So a data set with other facts is all that is needed. Its name in the table `DATA_MODULES`
# makes it known to the command line. (In your own code, add a line to `data/__init__.py` instead.)


# %%
class ZeroToOne(DigitsDataModule):
    @property
    def facts(self) -> ImageFacts:
        return ImageFacts(super().facts.class_names, num_channels=1, image_size=8, mean=[0.0], std=[1.0])


class ZeroTo255(DigitsDataModule):
    @property
    def facts(self) -> ImageFacts:
        return ImageFacts(super().facts.class_names, num_channels=1, image_size=8, mean=[0.0], std=[1 / 255])


SCALES = {"normalised": DigitsDataModule, "0 to 1": ZeroToOne, "0 to 255": ZeroTo255}
DATA_MODULES |= {data.__name__: data for data in SCALES.values()}
train_pixels = DigitsDataModule().split("train").images[torch.arange(1294)].double() / 255
print(f"digits: mean {train_pixels.mean():.3f}, std {train_pixels.std():.3f}")
assert abs(train_pixels.mean() - DigitsDataModule().facts.mean[0]) < 0.01
assert abs(train_pixels.std() - DigitsDataModule().facts.std[0]) < 0.01

# %%
FIXED = ["--model", "MLPClassifier", "--model.hidden_sizes", "[64]", "--model.dropout", "0"]
FIXED += ["--model.optimizer.weight_decay", "0", "--model.schedule.name", "constant"]
SGD = ["--model.optimizer.name", "sgd", "--model.optimizer.momentum", "0"]


def train(scale: str, lr: float, optimizer: list[str] = SGD) -> Result:
    data = SCALES[scale].__name__
    return fit("--data", data, *FIXED, *optimizer, "--model.optimizer.lr", str(lr), name=f"05_{data}_{lr}")


RATES = (0.0001, 0.001, 0.01, 0.1, 1)
runs = {scale: {lr: train(scale, lr) for lr in RATES} for scale in SCALES}
accuracy = {scale: {lr: run.test_accuracy for lr, run in found.items()} for scale, found in runs.items()}
for scale, low, high in (("normalised", 90, 95), ("0 to 1", 85, 91), ("0 to 255", 5, 15)):
    assert low < accuracy[scale][0.1] < high, scale
assert 75 < accuracy["0 to 255"][0.001] < 93

figure, axes = plt.subplots(figsize=(8, 3.6))
for (scale, found), style in zip(accuracy.items(), ("o-", "s--", "^:"), strict=True):
    axes.plot(list(found), list(found.values()), style, label=scale)
axes.axhline(10, color="0.5", linewidth=1)
axes.annotate("a guess", (0.01, 10), xytext=(0, 5), textcoords="offset points")
axes.set(xscale="log", xlabel="learning rate of plain SGD", ylabel="test accuracy, %", ylim=(0, 100))
axes.set_title("Unscaled pixels need other rates, and the best result is worse")
figure.legend(title="pixels", loc="outside right center")
show(figure, "05_unscaled_inputs")

# %% [markdown]
# At 0.1: 92.5 % normalised, 88.9 % from 0 to 1, 10.0 % from 0 to 255. The last is best at 0.001, with 86.9 %.
#
# ## Why
# It is the bowl of lesson 2. The slope of a weight in the first layer grows with its pixel, and the steepness, which
# limits the rate, with the square: 255 times the pixels are 255^2 = 65,025 times as steep. The output layer does
# not need such a small rate, but has to live with it. Pixels from 0 to 1 have another fault: they are never negative,
# so that all of them together are one steep direction. It has 70 % of the whole steepness, normalised 49 %.

# %%
facts = DigitsDataModule().facts
unscaled = train_pixels.reshape(1294, 64).numpy()
scaled = {"normalised": (unscaled - facts.mean) / facts.std, "0 to 1": unscaled, "0 to 255": 255 * unscaled}
for scale, inputs in scaled.items():
    directions = np.linalg.eigvalsh(inputs.T @ inputs / 1294)  # steepness along each axis of a linear layer's bowl
    print(f"{scale:10}: largest {directions[-1]:10,.1f}, {directions[-1] / directions.sum():.0%} of the sum")
    assert np.isclose(directions[-1] / directions.sum(), 0.49 if scale == "normalised" else 0.70, atol=0.01)

# %% [markdown]
# ## Break it
# 1. *Hope for Adam*: it adapts the step of each parameter, and hides most of the mistake: 96.4, 95.3 and 92.8 %.
# 2. *Read the report* of 0 to 255 at 0.1: `diverged`, so it advises a lower rate. It cannot see the pixels. If a rate
#    that is fine elsewhere diverges, look at what comes into the network.
# 3. *Scale images in one place more*: the trained network gets pixels that were divided by 255 before, as many
#    scripts do. The first layer divides again, all images look black, and accuracy falls to that of a guess. So in this
#    project images are bytes from 0 to 255 until they are inside the model, for training, prediction and export.

# %%
adam = [train(scale, 0.01, ["--model.optimizer.name", "adam"]).test_accuracy for scale in SCALES]
assert 85 < adam[2] < min(adam[:2])
print(runs["0 to 255"][0.1].diagnosis[0])
assert runs["0 to 255"][0.1].diagnosis[0].startswith("diverged")

checkpoint, test = runs["normalised"][0.1].directory / BEST_CHECKPOINT, DigitsDataModule().split("test")
model, images = load_classifier(read_checkpoint(checkpoint), CLASSIFIERS), test.images[torch.arange(len(test))]
with torch.no_grad():
    once, twice = (
        100 * (model(pixels).argmax(dim=1) == test.labels).double().mean().item() for pixels in (images, images / 255)
    )
print(f"scaled once {once:.1f} %, twice {twice:.1f} %")
assert np.isclose(once, accuracy["normalised"][0.1])
assert twice < 25

# %% [markdown]
# ## Exercise
# Training a single linear layer on pixels from 0 to 1 works with learning rates up to 0.2, say. Up to which rate does
# it work on the same pixels from 0 to 255?

# %%
answer = None
check_unscaled_inputs(answer)
