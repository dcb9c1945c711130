# %% [markdown]
# # 7. Little data
#
# **Question:** you have 144 images. What helps: dropout, label smoothing, mixup, augmentation, early stopping, or more
# images?
#
# **Guess first.** An MLP reaches 91 % with 144 digits. What will it reach with each of the five methods, and what with
# eight times as many images? Write six numbers down, then run on.

# %%
from statistics import mean

from checks import check_little_data
from course import Result, fit, show
from matplotlib import pyplot as plt

# %% [markdown]
# ## Five methods, two draws each
# The splits are drawn twice (`--data.split_seed`), and so are weights and order (`--seed_everything`). The rest of the
# digits is for validation and test; with a data set of your own, validation would be as small as training.
#
# *Dropout* sets random outputs of a layer to 0 in training. *Label smoothing* takes a tenth of the probability from the
# right class and spreads it over all. *Mixup* trains on mixtures of two images with the mixture of their labels.
# *Augmentation* changes images at random. *Early stopping* ends when validation loss has not fallen for some epochs.

# %%
BASE = ["--data", "DigitsDataModule", "--model", "MLPClassifier", "--model.dropout", "0", "--trainer.max_epochs", "40"]
BASE += ["--model.optimizer.lr", "0.003"]
SEEDS = ("0", "1")


def train(name: str, *options: str, num_images: int = 144) -> list[Result]:
    """One training for each seed, with about ``num_images`` of the 1,438 images that are not for the test."""
    images = ["--data.val_fraction", str(1 - num_images / 1438)]
    draws = [["--seed_everything", seed, "--data.split_seed", seed] for seed in SEEDS]
    return [fit(*BASE, *images, *draw, *options, name=f"07_{name}_{draw[1]}") for draw in draws]


METHODS = {
    "nothing": [],
    "dropout": ["--model.dropout", "0.5"],
    "label smoothing": ["--model.label_smoothing", "0.1"],
    "mixup": ["--model.mix.name", "mixup", "--model.mix.alpha", "0.4"],
    "shifts by a pixel": ["--data.augmentation", "light"],
    "early stopping": ["--early_stopping.patience", "5"],
}
runs = {method: train(method.replace(" ", "_"), *options) for method, options in METHODS.items()}
accuracy = {method: [run.test_accuracy for run in found] for method, found in runs.items()}
for method, found in accuracy.items():
    num_epochs = mean(run.summary["num_epochs"] for run in runs[method])
    print(f"{method:18}{mean(found):5.1f} %  ({min(found):.1f} to {max(found):.1f}), {num_epochs:.0f} epochs")

# %% [markdown]
# ## More images

# %%
sizes: dict[int, list[float]] = {144: accuracy["nothing"]}
for num_images in (72, 288, 1150):
    sizes[num_images] = [run.test_accuracy for run in train(str(num_images), num_images=num_images)]
    print(f"{num_images:5} images: {mean(sizes[num_images]):.1f} %")

nothing = mean(accuracy["nothing"])
assert 87 < nothing < 94
assert all(abs(mean(accuracy[method]) - nothing) < 4 for method in ("dropout", "label smoothing", "mixup"))
assert mean(accuracy["shifts by a pixel"]) < nothing - 1
assert mean(sizes[72]) < mean(sizes[288]) < mean(sizes[1150])
assert nothing < mean(sizes[288])
assert mean(sizes[1150]) - nothing > 3

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True)
for row, found in enumerate(accuracy.values()):
    left.plot([row] * len(found), found, "o", color="C0")
    left.plot(row, mean(found), "_", color="k", markersize=22)
left.axhspan(nothing - 1.5, nothing + 1.5, color="0.85", label="nothing, and one standard error of a test")
left.set_xticks(range(len(accuracy)), [method.replace(" ", "\n", 1) for method in accuracy], fontsize=8)
left.set(ylabel="test accuracy, %", xlabel="method, 144 images")
left.set_title("Methods gain little, and shifts hurt")
left.legend(fontsize=8, loc="upper left")
order = sorted(sizes)
right.plot(order, [mean(sizes[num_images]) for num_images in order], "-", color="C0")
for num_images in order:
    right.plot([num_images] * len(SEEDS), sizes[num_images], "o", color="C0")
right.set(xscale="log", xlabel="training images")
right.set_xticks(order, [str(num_images) for num_images in order])
right.minorticks_off()
right.set_title("More images help most")
show(figure, "07_little_data")

# %% [markdown]
# Measured: nothing 91.2 %, dropout 91.5, smoothing 89.8, mixup 90.4, early stopping 91.2 in 23 of 40 epochs, shifts
# 84.4; and 90.3, 94.6 and 97.1 % with 72, 288 and 1,150 images. A test of 359 images has a standard error of 1.5
# points (see the exercise), so that differences between the methods could be chance: `compare runs/lessons/` says
# which. Shifts do hurt: a pixel is an eighth of the image, all digits are centred, and the diagnosis of these runs is
# `underfitted`.
#
# ## Break it
# 1. *Nothing against overfitting*: the diagnosis says so, and what to do.
# 2. *Too much dropout*, 0.9: what was meant against overfitting makes the model underfit.
# 3. *Fewer images than it takes*: the program says what is missing.

# %%
print(runs["nothing"][0].diagnosis[0])
drowned = fit(*BASE, "--data.val_fraction", "0.9", "--model.dropout", "0.9", name="07_drowned")
print(drowned.diagnosis[0])
assert any(finding.startswith("overfitted") for finding in runs["nothing"][0].diagnosis)
assert drowned.diagnosis[0].startswith("underfitted")
try:
    fit(*BASE, "--data.val_fraction", "0.999", name="07_too_little")
except RuntimeError as error:
    print(str(error).splitlines()[-1])

# %% [markdown]
# ## Exercise
# An accuracy p that is measured on n images has the standard error sqrt(p (1 - p) / n). How large is it, in points of
# percent, for 92 % on 359 test images?

# %%
answer = None
check_little_data(answer)
