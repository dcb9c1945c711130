# %% [markdown]
# # 10. Six broken trainings
#
# **Question:** how do you see what is wrong with a training, and how do you mend it?
#
# **Guess first.** Six trainings are broken: the learning rate is too high, the loss is NaN, the labels are random,
# there is too little data, test images are among the training images, all images are alike. For how many of them do
# the learning curves show it? Write your number down, then run on.

# %%
import math
import shutil
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from checks import check_six_broken
from course import RUNS, Result, captured, fit, show
from matplotlib import pyplot as plt
from PIL import Image

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import DATA_MODULES, DigitsDataModule, ImageFacts
from {{cookiecutter.package}}.engine.images import LabelledImages

# %% [markdown]
# ## A data set that breaks on request
# A data set of your own is a class and a line in the table `DATA_MODULES`; its arguments are options of `fit`. This one
# is the digits with a fault. The recipe `digits_mlp` itself is healthy: 98.3 %, `fine`.


# %%
class BrokenDigits(DigitsDataModule):
    def __init__(self, fault: str = "none", **loading: Any) -> None:
        super().__init__(**loading)
        self.fault = fault

    @property
    def facts(self) -> ImageFacts:  # pixels are divided by the std
        return replace(super().facts, std=[1e-40]) if self.fault == "std" else super().facts

    def load_split(self, split: Any) -> LabelledImages:
        whole = super().load_split(split)
        if self.fault == "labels":
            order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))
            return replace(whole, labels=whole.labels[order])
        return replace(whole, images=torch.zeros(len(whole), 1, 8, 8).byte()) if self.fault == "alike" else whole


DATA_MODULES["BrokenDigits"] = BrokenDigits
BROKEN = ["digits_mlp", "--data", "BrokenDigits", "--model.label_smoothing", "0"]
runs = {
    "rate too high": fit(*BROKEN, "--model.optimizer.lr", "5", name="10_rate"),
    "NaN": fit(*BROKEN, "--data.fault", "std", name="10_nan"),
    "random labels": fit(*BROKEN, "--data.fault", "labels", name="10_labels"),
    "too little data": fit(*BROKEN, "--data.val_fraction", "0.95", name="10_little"),
}
names = [run.diagnosis[0].split(" (")[0] for run in runs.values()]
assert names == ["diverged", "diverged", "memorised", "overfitted"]
assert runs["random labels"].test_accuracy < 25

# %% [markdown]
# ## Mend four of them
# Read what the diagnosis measured and proposes; it is at the end of `fit` and in the report.
#
# 1. *Rate too high*: the loss rises far above ln 10 = 2.3, the loss of a guess. Divide the rate:
#    the advice, 0.5, gives 96.4 %, and `unstable`, which says to lower it again. We take 0.005, the recipe's own.
# 2. *NaN*, in the first epoch. A tenth of the rate gives NaN again: a std of 1e-40 makes pixels infinite (one of 0 is
#    refused). Then the diagnosis names what else to look at: mean and std of the data set, and a loss of your own.
# 3. *Random labels*: training accuracy rises, validation accuracy stays a guess. Look at images beside their labels.
# 4. *Too little data*, 72 images: it knows them all, and fewer of the others. More images help most (lesson 7).

# %%
for run in runs.values():
    print(run.directory.name, "-", run.diagnosis[0])
again = fit(*BROKEN, "--data.fault", "std", "--model.optimizer.lr", "0.0005", name="10_nan_lower_rate")
assert not again.summary  # diverged again: no test
mended = fit(*BROKEN, "--model.optimizer.lr", "0.005", name="10_mended")
assert not mended.diagnosis[0].startswith("diverged")
assert mended.test_accuracy > 96

# %% [markdown]
# ## The leak, which no curve shows
# 40 digits of each class to train on, 20 to test. By mistake, 15 of these 20 are in the training folder, too.

# %%
folder = RUNS / "10_leak_images"
shutil.rmtree(folder, ignore_errors=True)
digits = DigitsDataModule().load_split("train")
for label in range(10):
    positions = torch.nonzero(digits.labels == label).flatten()[:60].tolist()
    for number, position in enumerate(positions):
        for split in {"train"} if number < 40 else {"test", "train"} if number < 55 else {"test"}:
            (folder / split / str(label)).mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(digits.images[torch.tensor([position])][0, 0].numpy())
            picture.resize((32, 32)).save(folder / split / str(label) / f"{number}.png")

FOLDER = ["--data", "ImageFolderDataModule", "--data.root", str(folder), "--data.image_size", "16"]
FOLDER += ["--data.num_channels", "1", "--data.augmentation", "none", "--data.cache", "memory"]
FOLDER += ["--model", "MLPClassifier", "--model.dropout", "0", "--model.optimizer.lr", "0.003"]
FOLDER += ["--trainer.max_epochs", "25"]
leak = fit(*FOLDER, name="10_leak")
print(*leak.summary["notes"])
assert "were trained on" in leak.summary["notes"][0]

# %% [markdown]
# The curves are those of a healthy training, but `fit` compares the contents of all images, and its notes and the
# report say how many test images were trained on. `audit` finds the copies before any training; its exit status 2 says
# that there are errors. `--quarantine` moves the copies away, all but the one in the test split.

# %%
aside, page = RUNS / "10_leak_aside", RUNS / "10_leak_audit"
shutil.rmtree(aside, ignore_errors=True)
with suppress(SystemExit), captured() as printed:
    main(["audit", str(folder), "--output", str(page), "--quarantine", str(aside)])
lines = printed.getvalue().splitlines()
print(*lines[:4], "...", lines[-1].split("; to undo")[0], sep="\n")
honest = fit(*FOLDER, name="10_leak_mended")
print(f"with the leak {leak.test_accuracy:.1f} %, without {honest.test_accuracy:.1f} %")
assert honest.summary["notes"] == []
assert leak.test_accuracy - honest.test_accuracy > 1

# %% [markdown]
# ## All images alike
# A wrong crop or a file that was copied over all others: `fit` refuses before the first epoch, so that there is no
# curve.

# %%
try:
    fit(*BROKEN, "--data.fault", "alike", name="10_alike")
except RuntimeError as refusal:
    message = str(refusal).splitlines()[-1]
print(message)
assert "training images are the same" in message

figure, grid = plt.subplots(2, 3, figsize=(9.5, 5), sharex=True, sharey=True)
shown: dict[str, Result | str] = {**runs, "leak": leak, "images alike": "refused before\nthe first epoch"}
for axes, (fault, told) in zip(grid.flat, shown.items(), strict=True):
    axes.axhline(math.log(10), color="0.4", linestyle=":", label="a guess, ln 10")
    if isinstance(told, Result):
        for stage, style in (("train", "-"), ("val", "--")):
            losses = told.curves.get(f"{stage}/loss", [])
            axes.plot(range(1, len(losses) + 1), losses, style, label={"train": "training", "val": "validation"}[stage])
        verdict = told.diagnosis[0].split(" (")[0]
        if not told.summary:
            axes.text(0.5, 0.3, "NaN in epoch 1", transform=axes.transAxes, ha="center")
    else:
        verdict = "no training"
        axes.text(0.5, 0.3, told, transform=axes.transAxes, ha="center")
    axes.set_title(f"{fault}: {verdict}", fontsize=10)
grid[0, 0].set_ylim(0, 5)
for axes in grid[:, 0]:
    axes.set_ylabel("loss")
for axes in grid[1]:
    axes.set_xlabel("epoch")
grid[0, 0].legend(fontsize=8)
figure.suptitle("Three faults show in the curves; a leak looks healthy, and two trainings have no curve")
show(figure, "10_six_broken_trainings")

# %% [markdown]
# ## Exercise
# A colleague films three animals in 20 videos, saves 1,800 frames as images, and lets `fit` carve the splits. Training
# accuracy is 99.8 %, validation 99.7 %, test 99.9 %; the diagnosis is `fine`, the notes are empty. In the field the
# model fails. Which of the six is it? Answer with "rate", "nan", "labels", "little data", "leak" or "alike".

# %%
answer = None
check_six_broken(answer)
