"""Planted faults: doctor names each, with a remedy; it ends with status 1 where a training would fail."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections import namedtuple
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import mnist
from {{cookiecutter.package}}.engine import backbones
from {{cookiecutter.package}}.models import MLPClassifier
from {{cookiecutter.package}}.tools.doctor import data, forecast, machine, steps

from .set_ups import CNN, MLP, PHOTOS, doctor, fake_command, fake_gpu, git, named, write_folder, write_photo

tracking = pytest.importorskip("{{cookiecutter.package}}.tools.tracking")

Plant = Callable[[Path, pytest.MonkeyPatch], None]
Usage = namedtuple("Usage", "total used free")


class Fault(NamedTuple):
    """A fault, the options of doctor, and what its finding contains."""

    name: str
    words: str
    severity: str
    parts: Sequence[str]  # of the finding, with its remedy
    plant: Plant | None = None


def put(target: object, name: str, value: object) -> Plant:
    return lambda _, patch: patch.setattr(target, name, value)


def both(*plants: Plant) -> Plant:
    def plant(folder: Path, patch: pytest.MonkeyPatch) -> None:
        for one in plants:
            one(folder, patch)

    return plant


def env(name: str, value: str) -> Plant:
    return lambda _, patch: patch.setenv(name, value)


def installed(name: str, number: str | None) -> Plant:
    """A package of another version, or none."""
    real = metadata.version

    def version(asked: str) -> str:
        if asked != name:
            return real(asked)
        if number is None:
            raise metadata.PackageNotFoundError(name)
        return number

    return put(machine, "version", version)


def gpu(row: str, cuda: str, torch: str) -> Plant:
    """A driver with a GPU, and a build of torch."""

    def plant(folder: Path, patch: pytest.MonkeyPatch) -> None:
        fake_gpu(folder / "bin", row, cuda)
        patch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        patch.setattr(machine, "gpus", REAL_GPUS)
        installed("torch", torch)(folder, patch)

    return plant


REAL_GPUS = machine.gpus


def no_gpu(folder: Path, patch: pytest.MonkeyPatch) -> None:
    fake_command(folder / "bin", "nvidia-smi", "exit 9")
    patch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")


def no_temporary(_: Path, patch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    patch.setattr(tempfile, "gettempdir", refuse)


def no_git(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PATH", str(folder / "nothing"))


def no_repository(folder: Path, _: pytest.MonkeyPatch) -> None:
    shutil.rmtree(folder / ".git")


def no_commit(folder: Path, _: pytest.MonkeyPatch) -> None:
    shutil.rmtree(folder / ".git")
    git("init", "--quiet")


def change(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder / "code.py").write_text("changed")


def file(name: str, text: str) -> Plant:
    def plant(folder: Path, _: pytest.MonkeyPatch) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return plant


def read_only(_: Path, patch: pytest.MonkeyPatch) -> None:
    real = os.access
    patch.setattr(os, "access", lambda path, mode, **more: not (mode & os.W_OK) and real(path, mode, **more))


def free(number: float) -> Plant:
    """So many bytes are free on the disk; the first part of doctor does not warn of it."""
    return put(shutil, "disk_usage", lambda _: Usage(10**12, 0, int(number)))


def shared(number: float) -> Plant:
    return put(data, "shared_memory", lambda: number)


def memory(number: float) -> Plant:
    def plant(_: Path, patch: pytest.MonkeyPatch) -> None:
        for module in (data, steps):
            patch.setattr(module, "available_memory", lambda: number)

    return plant


def no_network(_: Path, patch: pytest.MonkeyPatch) -> None:
    for module in (backbones, mnist, tracking):
        patch.setattr(module, "server_problem", lambda _: "the server cannot be reached")
    patch.setattr(data, "has_packaged_weights", lambda _: False)
    patch.setattr(data, "is_downloaded", lambda _: False)


def online(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("WANDB_API_KEY", "0" * 40)
    no_network(folder, patch)


def photos(**options: object) -> Plant:
    return lambda folder, _: write_folder(folder / "photos", **options)  # type: ignore[arg-type]


def photos_then(change_them: Callable[[Path], object], **options: object) -> Plant:
    """A folder in order, and then a fault in it."""

    def plant(folder: Path, patch: pytest.MonkeyPatch) -> None:
        photos(**options)(folder, patch)
        change_them(folder / "photos")

    return plant


def copy(source: str, target: str) -> Callable[[Path], object]:
    return lambda root: shutil.copy(root / source, root / target)


def smaller(source: Path, target: Path) -> None:
    Image.open(source).resize((48, 48)).save(target)


def in_grey(root: Path) -> None:
    for one in root.rglob("*.jpg"):
        Image.open(one).convert("L").save(one)


def carved(*numbers: int) -> Plant:
    """Class folders without splits, of so many images each."""

    def plant(folder: Path, _: pytest.MonkeyPatch) -> None:
        for label, number in enumerate(numbers):
            for index in range(number):
                write_photo(folder / "photos" / f"class{label}" / f"{index}.jpg", (label, index))

    return plant


def one_file(folder: Path, _: pytest.MonkeyPatch) -> None:
    for name in ("ant", "bee"):
        for number in range(8):
            write_photo(folder / "photos" / name / f"{number}.jpg", (0, 0))


def trained_before(_: Path, __: pytest.MonkeyPatch) -> None:
    main(["fit", *MLP.split(), "--model.hidden_sizes", "[8]", "--run.directory", "earlier", "--tracking.wandb", "off"])


def half_of_mnist(folder: Path, _: pytest.MonkeyPatch) -> None:
    raw = folder / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]))  # one of nine numbers


def broken_model(_: Path, patch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise IndexError("index 7 is out of range")

    patch.setattr(MLPClassifier, "forward", fail)


FAULTS = [
    # The machine, without torch.
    Fault("old Python", "", "error",
          ["3.9.1", ">=3.11", "uv venv"], put(platform, "python_version", lambda: "3.9.1")),
    Fault("missing package", "", "error", ["optuna is not installed", "uv sync"], installed("optuna", None)),
    Fault("old package", "", "warning", ["numpy is 1.26.4", ">=2.0", "pip install"], installed("numpy", "1.26.4")),
    Fault("bad release", "", "error",
          ["lightning is 2.6.2", "excludes", "pip install"], installed("lightning", "2.6.2")),
    Fault("new package", "", "warning", ["jsonargparse is 5.1", "<5", "uv sync"], installed("jsonargparse", "5.1")),
    Fault("torch without CUDA", "", "warning", ["without CUDA", "--torch-backend auto"],
          gpu("A100, 550.1, 81920, 81000", "12.4", "2.15.0+cpu")),
    Fault("old driver", "", "warning", ["CUDA 13.2", "CUDA 12.4 at most", "newer driver"],
          gpu("A100, 550.1, 81920, 81000", "12.4", "2.15.0+cu132")),
    Fault("GPU in use", "", "warning", ["other processes use 70 of 80 GiB", "--trainer.devices"],
          gpu("A100, 550.1, 81920, 10240", "13.2", "2.15.0+cu132")),
    Fault("GPU not found", "", "warning", ["finds no GPU", "nvidia-smi"], no_gpu),
    Fault("too many threads", "", "warning", ["OMP_NUM_THREADS is 999", "export OMP_NUM_THREADS="],
          env("OMP_NUM_THREADS", "999")),
    Fault("threads without a number", "", "warning",
          ["'many'", "unset OMP_NUM_THREADS"], env("OMP_NUM_THREADS", "many")),
    Fault("small container", "", "warning", ["may use 0.2 of", "export OMP_NUM_THREADS=1"],
          put(machine, "cpu_quota", lambda: 0.2)),
    Fault("little memory", "", "warning", ["500 MB available", "end other programs"],
          both(put(machine, "LITTLE_MEMORY", 2e9), put(machine, "available_memory", lambda: 5e8))),
    Fault("little disk", "", "warning", ["100 MB free", "--run.root"],
          both(put(machine, "LITTLE_DISK", 2e9), put(machine, "free_disk", lambda _: 1e8))),
    Fault("no temporary folder", "", "error", ["temporary files", "export TMPDIR="], no_temporary),
    Fault("no git", "", "note", ["git is not installed", "install git"], no_git),
    Fault("no repository", "", "note", ["in no repository", "git init"], no_repository),
    Fault("no commit", "", "note", ["no commit", "git commit"], no_commit),
    Fault("changed code", "", "warning", ["changes since", "code.py", "git commit"], change),
    Fault("new code", "", "warning", ["changes since", "model.py", "git add"], file("model.py", "")),
    # Options and configs.
    Fault("missing config", "--config nowhere.yaml", "error", ["nowhere.yaml", "no such file"]),
    Fault("unknown recipe", "digits_cn", "error", ["'digits_cn'", "Did you mean 'digits_cnn'"]),
    Fault("broken YAML", "--config broken.yaml", "error", ["not valid YAML", "Correct that line"],
          file("broken.yaml", "data: [")),
    Fault("misspelt option", MLP + " --epochs 3", "error",
          ["no option '--epochs'", "Did you mean 'trainer.max_epochs'"]),
    Fault("unknown class", "--data Digits --model MLPClassifier", "error", ["data is 'Digits'", "DigitsDataModule"]),
    Fault("wrong type", MLP + " --data.batch_size big", "error", ["data.batch_size is 'big'", "a whole number"]),
    Fault("out of range", MLP + " --model.dropout 1.5", "error", ["model.dropout is 1.5", "below 1"]),
    Fault("no data set", "--model MLPClassifier", "error", ["missing: data", "Start from a recipe"]),
    Fault("arguments of another class", "digits_cnn --model MLPClassifier", "warning",
          ["sets model.widths", "model is MLPClassifier", "--help"]),
    Fault("option given twice", MLP + " --model.dropout 0.1 --model.dropout 0.2", "warning",
          ["given twice, as 0.1 and as 0.2", "leave out"]),
    Fault("patience of all epochs", MLP + " --early_stopping.patience 5", "warning",
          ["patience is 5", "never stops early", "--early_stopping.patience 1"]),
    Fault("no limit of epochs", MLP.replace("max_epochs 2", "max_epochs=-1"), "error",
          ["trainer.max_epochs is -1", "--trainer.max_epochs 20"]),
    Fault("no epochs", MLP.replace("max_epochs 2", "max_epochs=0"), "error",
          ["trainer.max_epochs is 0", "1 or more", "--help"]),
    Fault("step schedule too long", MLP + " --model.schedule.name step", "warning",
          ["step_epochs is 10", "never reduced", "--model.schedule.step_epochs"]),
    Fault("warm-up too long", MLP + " --model.schedule.name cosine --model.schedule.warmup_epochs 9", "error",
          ["warmup_epochs is 9", "less than the 2 epochs", "raise trainer.max_epochs"]),
    Fault("too many workers", PHOTOS + " --data.num_workers 999", "warning",
          ["num_workers is 999", "--data.num_workers 0"]),
    Fault("trial option left in", MLP + " --trainer.fast_dev_run true", "warning",
          ["fast_dev_run", "leave the option out"]),
    Fault("run root is a file", MLP + " --run.root code.py/runs", "error",
          ["run.root is 'code.py/runs'", "Not a directory", "Remove it"]),
    Fault("run root is not writable", MLP, "error",
          ["run.root is 'runs'", "Permission denied", "Change its permissions"], read_only),
    Fault("run directory in use", MLP + " --run.directory .", "error", ["not empty", "new or empty folder"]),
    Fault("no compiler", MLP + " --compile true", "error", ["no C++ compiler", "set the environment variable CXX"],
          env("CXX", "nowhere-cc")),
    Fault("nothing to resume", MLP + " --resume nowhere", "error",
          ["--resume is 'nowhere'", "Give a run directory"]),
    Fault("backbone never trained", "digits_transfer --model.head_epochs 99", "warning",
          ["head_epochs is 99", "never trained", "--model.unfreeze none"],
          put(data, "has_packaged_weights", lambda _: True)),
    Fault("initial weights of other layers", MLP + " --init_from earlier", "error",
          ["other layers", "the same --model"], trained_before),
    Fault("no initial weights", MLP + " --init_from nowhere", "error",
          ["--init_from is 'nowhere'", "Give a run directory"]),
    Fault("no such accelerator", MLP.replace("accelerator cpu", "accelerator abacus"), "error",
          ["'abacus'", "one of 'auto', 'cpu'", "--help"]),
    Fault("no batches", MLP + " --trainer.limit_train_batches 0", "error",
          ["limit_train_batches is 0", "1 or more", "--help"]),
    Fault("less than one batch", MLP + " --trainer.limit_train_batches 0.001", "error",
          ["is 0.001, and an epoch has 20", "--trainer.limit_train_batches 1"]),
    Fault("less than one test batch", MLP + " --trainer.limit_test_batches 0.1", "error",
          ["limit_test_batches is 0.1", "leave out"]),
    Fault("limit left in", MLP + " --trainer.limit_train_batches 2", "note", ["uses 2 of its 20", "leave out"]),
    Fault("too little time", MLP.replace("max_epochs 2", "max_epochs 99999") + " --trainer.max_time 00:00:00:02",
          "warning", ["max_time is 2 s", "--trainer.max_epochs"]),
    Fault("half precision of a CPU", MLP + " --trainer.precision 16-mixed", "warning",
          ["16-mixed", "Lightning uses bf16-mixed", "--trainer.precision 32-true"]),
    Fault("more processes than cores", MLP + " --trainer.devices 99", "warning",
          ["starts 99 processes", "--trainer.devices 1"]),
    Fault("no such device", MLP.replace("accelerator cpu", "accelerator mps"), "error",
          ["cannot be set up", "--trainer.accelerator auto"], put(torch.backends.mps, "is_available", lambda: False)),
    Fault("W&B without login", MLP + " --tracking.wandb online", "warning", ["not logged in", "wandb login"]),
    Fault("W&B without network", MLP + " --tracking.wandb online", "warning",
          ["cannot be reached", "--tracking.wandb offline"], online),
    # Data.
    Fault("no folder", PHOTOS, "error", ["data.root is 'photos'", "not a folder", "ROOT/<class>/*"]),
    Fault("one class", PHOTOS, "error", ["only the class 'class0'", "at least 2"], carved(9)),
    Fault("empty class", PHOTOS, "error", ["class 'empty' has no images", "remove the folder"],
          photos_then(lambda root: (root / "train" / "empty").mkdir())),
    Fault("class without training images", PHOTOS, "error", ["does not have", "add the classes to train"],
          photos_then(lambda root: (root / "val" / "wasp").mkdir())),
    Fault("too few images", PHOTOS, "error", ["class 'class1' has 2 of", "Add images to the class"], carved(9, 2)),
    Fault("all images alike", PHOTOS, "error", ["the same file", "Check how they were copied"], one_file),
    Fault("damaged image", PHOTOS, "error", ["unreadable", "cannot be decoded", "--quarantine"],
          photos_then(lambda root: (root / "train" / "ant" / "broken.jpg").write_text("no image"))),
    Fault("empty file", PHOTOS, "error", ["unreadable", "is empty", "--quarantine"],
          photos_then(lambda root: (root / "val" / "ant" / "empty.jpg").touch())),
    Fault("leak", PHOTOS, "warning", ["1 was trained on", "--quarantine"],
          photos_then(copy("train/ant/0.jpg", "test/ant/copy.jpg"))),
    Fault("two labels", PHOTOS, "warning", ["identical images in the classes ant and bee", "correct label"],
          photos_then(copy("train/ant/0.jpg", "train/bee/copy.jpg"))),
    Fault("leak into validation", PHOTOS, "warning", ["identical images in train and val", "--quarantine"],
          photos_then(copy("train/ant/0.jpg", "val/ant/copy.jpg"))),
    Fault("placeholder", PHOTOS, "warning", ["placeholder", "not-found.jpg", "--quarantine"],
          photos_then(copy("train/ant/0.jpg", "train/ant/not-found.jpg"))),
    Fault("wrong extension", PHOTOS, "warning", ["wrong extension", "rename the files"],
          photos_then(lambda root: (root / "train/ant/0.jpg").rename(root / "train/ant/0.png"))),
    Fault("many leaks", PHOTOS, "warning", ["20 times; the first", "photos --quarantine"],
          photos_then(lambda root: [shutil.copy(one, root / "test" / "ant" / f"copy{one.name}")
                                    for one in sorted((root / "train" / "ant").iterdir())[:20]])),
    Fault("leak of smaller copies", PHOTOS, "warning", ["near duplicate across splits", "split photos --group"],
          photos_then(lambda root: smaller(root / "train" / "ant" / "0.jpg", root / "test" / "ant" / "copy.png"))),
    Fault("grey images", PHOTOS, "note", ["all images are grey", "--data.num_channels 1"],
          photos_then(in_grey)),
    Fault("colours are lost", PHOTOS + " --data.num_channels 1", "note",
          ["96 of 96 images have colours", "--data.num_channels 3"], photos()),
    Fault("few images left to train on", PHOTOS + " --data.val_fraction 0.95", "warning",
          ["training images", "hold out fewer"], carved(25, 25)),
    Fault("damaged MNIST", "mnist_cnn --data.root root", "error",
          ["files of MNIST are damaged", "Copy complete files"], half_of_mnist),
    Fault("imbalance", PHOTOS, "warning", ["'class1' has ", "--data.imbalance loss_weights"], carved(60, 5)),
    Fault("small class", PHOTOS, "warning", ["tiny class", "aim for at least 20"], photos(num_images=12)),
    Fault("class without test images", PHOTOS, "warning", ["no test images of bee", "add test images"],
          photos_then(lambda root: shutil.rmtree(root / "test" / "bee"))),
    Fault("upscaling", PHOTOS + " --data.image_size 128", "warning",
          ["smaller than data.image_size", "--data.image_size 64"],
          photos()),
    Fault("cache folder is a file", PHOTOS + " --data.cache_dir code.py", "error",
          ["data.cache_dir is 'code.py'", "Not a directory", "Remove it"], photos()),
    Fault("no disk for the cache", PHOTOS, "error", ["data.cache_dir", "decoded images need", "Free disk space"],
          both(photos(), free(1e5))),
    Fault("damaged cache", PHOTOS, "warning", ["cache", "damaged", "rm -r"],
          both(photos(), file("data/cache/crop-32px-3ch/index.json", "damaged"))),
    Fault("no memory for images", PHOTOS + " --data.image_size 64", "error",
          ["decoded images need", "--data.cache disk"],
          both(photos(), memory(1e6))),
    Fault("no shared memory", PHOTOS + " --data.num_workers 1", "error", ["shared memory", "--shm-size"],
          both(photos(), shared(1e4))),
    Fault("manifest of other images", PHOTOS, "error", ["differ in their images", "--extend"],
          both(photos(), file("photos/splits.csv", "path,class,split,digest,group\na.jpg,ant,train,1,\n"))),
    Fault("MNIST cannot be downloaded", "mnist_cnn --data.root nowhere", "error",
          ["cannot be read there or downloaded", "Put these four files"], no_network),
    # The model, and steps of a training.
    Fault("no file of weights", "digits_transfer --model.weights nowhere.pth", "error",
          ["'nowhere.pth'", "DEFAULT, package"]),
    Fault("misspelt backbone", "digits_transfer --model.backbone resnet19", "error",
          ["'resnet19'", "Did you mean 'resnet18'"]),
    Fault("weights cannot be downloaded", "digits_transfer --model.backbone resnet18", "error",
          ["cannot be downloaded", "--model.weights FILE"], no_network),
    Fault("too many blocks", CNN + " --model.widths [8,8,8,8]", "error",
          ["4 blocks", "fewer widths or larger images"]),
    Fault("batch norm of one image", MLP + " --model.batch_norm true --data.batch_size 1", "error",
          ["batches of 1", "--data.batch_size 2"]),
    Fault("no memory for the batch", CNN + " --data.batch_size 100000", "error",
          ["a step of 100,000 images needs", "--data.batch_size"], memory(3e6)),
    Fault("batch of more than all images", MLP + " --data.batch_size 5000", "warning",
          ["one step", "1294 training images", "--data.batch_size"]),
    Fault("diverging at once", MLP + " --model.optimizer.lr 1e9 --model.schedule.name constant", "error",
          ["the training loss is nan", "--model.optimizer.lr 0."]),
    Fault("diverging at the peak", MLP + " --model.optimizer.lr 300", "warning",
          ["the highest rate of the schedule", "--model.optimizer.lr 0."]),
    Fault("Adam moves too far", MLP + " --model.optimizer.lr 50", "warning",
          ["with 50", "times their size", "--model.optimizer.lr 0."]),
    Fault("rate that changes nothing", MLP + " --model.optimizer.lr 1e-9", "warning",
          ["with 1e-09", "learns nothing", "--model.optimizer.lr 0.0"]),
    Fault("rate too low", MLP + " --model.optimizer.lr 1e-8 --lr", "warning",
          ["1e-08", "needs many epochs", "--model.optimizer.lr 0"]),
    Fault("no disk for checkpoints", MLP, "error", ["for checkpoints", "--run.root"],
          put(forecast, "free_disk", lambda _: 1e4)),
    Fault("an error in the model", MLP, "error",
          ["IndexError: index 7", "run fit with the same options"], broken_model),
]  # fmt: skip


def test_faults_are_many() -> None:
    assert len(FAULTS) >= 60
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_fault_is_named_with_its_remedy(
    fault: Fault, machine_in_order: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if fault.plant:
        fault.plant(machine_in_order, monkeypatch)
    status, found = doctor(fault.words, capsys)
    lines = named(found, ["error", "warning", "note"])
    severity = [one for one in lines if one.startswith(fault.severity) and all(part in one for part in fault.parts)]
    assert severity, "\n".join(lines)
    assert status == int(any(line.startswith("error") for line in lines))
    assert all(one["remedy"] and one["why"] for one in found["findings"] if one["severity"] != "ok")
