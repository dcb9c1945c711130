"""Values of options at their boundaries, of the wrong type and of the wrong name: refused before anything is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from {{cookiecutter.package}} import load
from {{cookiecutter.package}}.data import DATA_MODULES
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.facts import ImageFacts
from {{cookiecutter.package}}.models import CLASSIFIERS

from .campaign import Case, Outcome, try_case
from .conftest import CPU, OFF

MLP = "--tracking.wandb off --data DigitsDataModule --model MLPClassifier"
CNN = "--tracking.wandb off --data DigitsDataModule --model CNNClassifier"
TRANSFER = "--tracking.wandb off --data DigitsDataModule --model TransferClassifier"
TRANSFER += " --model.backbone resnet18 --model.weights none"
FOLDER = "--tracking.wandb off --data ImageFolderDataModule --data.root $photos --model MLPClassifier"
STREAM = "--tracking.wandb off --data StreamingImageDataModule --data.root packed --model MLPClassifier"

NO_NUMBERS = ["x", "[1]", "true", "{a: 1}", "'1'2", "nan", "''"]
WRONG = {
    "count": ["0", "-1", "1.5", "null", "9999999999999", *NO_NUMBERS],
    "size": ["0", "-3", "1000000000", "1e3", "null", *NO_NUMBERS],
    "whole": ["-1", "-2147483649", "0.5", "9999999999999", *NO_NUMBERS],
    "seed": ["true", "null", "-1", "4294967296", "1.5", "x", "[1]", "99999999999999999999999999999999999999", "{a: 1}"],
    "workers": ["-1", "1000000", "0.5", *NO_NUMBERS],
    "positive": ["null", "0", "0.0", "-1", "-1e-9", "inf", "-inf", "1e300", *NO_NUMBERS],
    "not negative": ["null", "-1", "-1e-9", "inf", "1e300", *NO_NUMBERS],
    "fraction": ["null", "0", "1", "1.0", "-0.5", "2", "inf", *NO_NUMBERS],
    "share": ["null", "1", "1.0", "-0.1", "2", "inf", *NO_NUMBERS],
    "choice": ["null", "", "x", "None", "NONE ", "[none]", "0", "true"],
    "bool": ["null", "x", "2", "yes!", "[true]", "none"],
}

# Options and the kind of their values.
OPTIONS: dict[str, list[tuple[str, str]]] = {
    MLP: [
        ("data.batch_size", "count"),
        ("data.num_workers", "workers"),
        ("data.split_seed", "seed"),
        ("data.val_fraction", "fraction"),
        ("data.test_fraction", "fraction"),
        ("data.augmentation", "choice"),
        ("model.dropout", "share"),
        ("model.batch_norm", "bool"),
        ("model.label_smoothing", "share"),
        ("model.optimizer.name", "choice"),
        ("model.optimizer.lr", "positive"),
        ("model.optimizer.weight_decay", "not negative"),
        ("model.optimizer.momentum", "share"),
        ("model.optimizer.gradient_clip_norm", "positive"),
        ("model.schedule.name", "choice"),
        ("model.schedule.warmup_fraction", "share"),
        ("model.schedule.warmup_epochs", "not negative"),
        ("model.schedule.step_epochs", "count"),
        ("model.schedule.patience", "whole"),
        ("model.schedule.factor", "fraction"),
        ("model.mix.name", "choice"),
        ("model.mix.alpha", "positive"),
        ("seed_everything", "seed"),
        ("monitor", "choice"),
        ("compile", "bool"),
        ("cache_features", "choice"),
        ("feature_views", "count"),
        ("checkpoint_every_minutes", "positive"),
        ("early_stopping.patience", "whole"),
        ("early_stopping.min_delta", "not negative"),
        ("averaging.ema_decay", "share"),
        ("tracking.wandb", "choice"),
        ("tracking.log_model", "bool"),
        ("report", "bool"),
    ],
    CNN: [("model.num_convolutions", "size"), ("model.pool", "choice")],
    TRANSFER: [
        ("model.input_size", "size"),
        ("model.head_epochs", "whole"),
        ("model.backbone_lr_factor", "not negative"),
        ("model.layer_decay", "positive"),
    ],
    FOLDER: [
        ("data.image_size", "size"),
        ("data.fit", "choice"),
        ("data.cache", "choice"),
        ("data.unreadable", "choice"),
        ("data.mirror", "bool"),
        ("data.imbalance", "choice"),
        ("data.memory_budget_gb", "not negative"),
    ],
    STREAM: [("data.shuffle_chunks", "count"), ("data.cache_gb", "positive"), ("data.retry_minutes", "not negative")],
}
NULLABLE = {"early_stopping.patience", "model.optimizer.gradient_clip_norm", "model.input_size"}
NULLABLE |= {"checkpoint_every_minutes", "averaging.ema_decay"}


def values() -> Iterator[Case]:
    for base, options in OPTIONS.items():
        for name, kind in options:
            for value in WRONG[kind]:
                if not (value == "null" and name in NULLABLE):
                    yield Case(["fit", *base.split(), f"--{name}={value}"], [f"{name} is "])


# Further values of single options, with words of the message.
SINGLE = [
    (f"{MLP} --model.hidden_sizes [0]", ["model.hidden_sizes is "]),
    (f"{MLP} --model.hidden_sizes [-3]", ["model.hidden_sizes is "]),
    (f"{MLP} --model.hidden_sizes [1000000000]", ["model.hidden_sizes is "]),
    (f"{MLP} --model.hidden_sizes [1.5]", ["model.hidden_sizes is "]),
    (f"{MLP} --model.hidden_sizes [8,x]", ["model.hidden_sizes is "]),
    (f"{MLP} --model.hidden_sizes 8", ["model.hidden_sizes is "]),
    (f"{MLP} --model.hidden_sizes null", ["model.hidden_sizes is "]),
    (f"{MLP} --model.hidden_sizes x", ["model.hidden_sizes is "]),
    (MLP + " --model.hidden_sizes '{a: 1}'", ["model.hidden_sizes is "]),
    (f"{MLP} --model.hidden_sizes [[8]]", ["model.hidden_sizes is "]),
    (f"{MLP} --model.hidden_sizes [true]", ["model.hidden_sizes is "]),
    (f"{CNN} --model.widths []", ["model.widths has 0 blocks"]),
    (f"{CNN} --model.widths [0]", ["model.widths is "]),
    (f"{CNN} --model.widths [-3]", ["model.widths is "]),
    (f"{CNN} --model.widths [1000000000]", ["model.widths is "]),
    (f"{CNN} --model.widths [8,0]", ["model.widths is "]),
    (f"{CNN} --model.widths 8", ["model.widths is "]),
    (f"{CNN} --model.widths [8,8,8,8,8]", ["5 blocks"]),
    (f"{CNN} --model.num_convolutions 1000", ["model.num_convolutions is "]),
    (f"{TRANSFER} --model.unfreeze -1", ["model.unfreeze is "]),
    (f"{TRANSFER} --model.unfreeze 0", ["model.unfreeze is "]),
    (f"{TRANSFER} --model.unfreeze 1000", ["model.unfreeze is "]),
    (f"{TRANSFER} --model.unfreeze some", ["model.unfreeze is "]),
    (f"{TRANSFER} --model.unfreeze 1.5", ["model.unfreeze is "]),
    (f"{TRANSFER} --model.backbone ''", ["model.backbone is ''"]),
    (f"{TRANSFER} --model.backbone ../../etc", ["model.backbone is '../../etc'"]),
    (f"{TRANSFER} --model.backbone timm/", ["model.backbone is 'timm/'"]),
    (f"{TRANSFER} --model.backbone timm/../x", ["model.backbone is 'timm/../x'"]),
    (f"{TRANSFER} --model.weights $image", ["model.weights is ", "plain tensors"]),
    (f"{TRANSFER} --model.weights $photos", ["model.weights is ", "no such file"]),
    (f"{TRANSFER} --model.weights package", ["model.weights is 'package'"]),
    (f"{TRANSFER} --model.weights $digits/checkpoints/best.ckpt", ["does not fit the backbone"]),
    (f"{TRANSFER} --model.weights ''", ["model.weights is "]),
    (f"{FOLDER} --data.num_channels 2", ["data.num_channels is "]),
    (f"{FOLDER} --data.image_size 65536", ["out of memory", "a smaller network"]),
    (f"{FOLDER} --data.num_channels 0", ["data.num_channels is "]),
    (f"{FOLDER} --data.num_channels true", ["data.num_channels is "]),
    (f"{FOLDER} --data.splits nowhere.csv", ["'nowhere.csv' cannot be read", "restore the file"]),
    (f"{FOLDER} --data.splits $image", ["image 0.png' is not a CSV file in UTF-8"]),
    (f"{FOLDER} --data.splits $photos", ["photos' cannot be read: Is a directory"]),
    (f"{FOLDER} --data.root ''", ["--data.root is ''"]),
    (f"{FOLDER} --data.root $image", ["data.root is ", "not a folder"]),
    (f"{FOLDER} --data.root nowhere", ["data.root is 'nowhere'"]),
    (f"{FOLDER} --data.root /dev/null", ["data.root is '/dev/null'"]),
    (f"{STREAM} --data.root $photos", ["data.root is "]),
    (f"{STREAM} --data.root $image", ["data.root is "]),
    (f"{STREAM} --data.root nowhere", ["data.root is "]),
    (f"{STREAM} --data.root ftp://host/x", ["'ftp://host/x' cannot be"]),
    (f"{STREAM} --data.root s3://", ["'s3://' cannot be"]),
    ("--data MNISTDataModule --model MLPClassifier --tracking.wandb off --data.root $image", ["data.root is "]),
    (f"{MLP} --data.val_fraction 0.000001", ["cannot carve a val split", "data.val_fraction"]),
    (f"{MLP} --data.test_fraction 0.999", ["cannot carve a test split", "data.test_fraction"]),
    (f"{MLP} --data.test_fraction 0.6 --data.val_fraction 0.99", ["data.val_fraction"]),
    (f"{MLP} --model.schedule.name cosine --model.schedule.warmup_epochs 10", ["model.schedule.warmup_epochs is 10"]),
    (f"{MLP} --run.name {300 * 'n'}", ["run.name is "]),
    (f"{MLP} --run.name ../../elsewhere", ["run.name is "]),
    (f"{MLP} --run.name /absolute", ["run.name is "]),
    (f"{MLP} --run.name a/../b", ["run.name is "]),
    (f"{MLP} --run.name .", ["run.name is "]),
    (f"{MLP} --run.name ''", ["run.name is "]),
    (f"{MLP} --run.name '  '", ["run.name is "]),
    (f"{MLP} --run.name '-x'", ["--run.name"]),
    (f"{MLP} --run.name=-x", ["run.name is '-x'"]),
    (f"{MLP} --run.name 'a\nb'", ["run.name is "]),
    (f"{MLP} --run.directory $digits", ["run.directory is ", "not empty"]),
    (f"{MLP} --run.directory $image", ["run.directory is "]),
    (f"{MLP} --run.directory $image/x", ["image 0.png"]),
    (f"{MLP} --run.root $image", ["image 0.png"]),
    (f"{MLP} --run.directory {300 * 'n'}", ["run.directory is "]),
    (f"{MLP} --run.root {300 * 'n'}", ["nnn"]),
    (f"{MLP} --tracking.tags x", ["tracking.tags is "]),
    (f"{MLP} --tracking.tags [[x]]", ["tracking.tags is "]),
    (f"{MLP} --init_from $image", ["--init_from is ", "image 0.png"]),
    (f"{MLP} --init_from $photos", ["--init_from is "]),
    (f"{MLP} --init_from ''", ["--init_from is "]),
    (f"{MLP} --init_from $run", ["other layers"]),
    (f"{MLP} --init_from $digits", ["other layers"]),
    (f"{MLP} --ckpt_path $image", ["--ckpt_path is ", "image 0.png"]),
    (f"{MLP} --ckpt_path $run --trainer.max_epochs 1", ["the run has"]),
    (f"{MLP} --ckpt_path ''", ["--ckpt_path is "]),
    ("--resume nowhere", ["--resume is 'nowhere'"]),
    ("--resume $digits", ["which is finished", "--init_from"]),
    ("--resume $image", ["--resume is "]),
    ("--resume last", ["--resume is 'last'"]),
    ("--resume", ["--resume"]),
    ("--resume $runs", ["is unfinished"]),
    ("--seed_everything", ["--seed_everything has no value"]),
    ("--config", ["--config has no value"]),
    (f"{MLP} --config null", ["--config is 'null'", "digits_cnn"]),
    (f"{MLP} --data.batch_size", ["--data.batch_size has no value"]),
    (f"{MLP} --model.optimizer.lr -.inf", ["--model.optimizer.lr=-.inf"]),
    (f"{MLP} --model.optimizer.name []", ["model.optimizer.name is '[]'"]),
    (f"{MLP} --trainer.strategy ddp_notebook", ["trainer.strategy is 'ddp_notebook'"]),
    (f"{MLP} --trainer.strategy ddp_spawn", ["trainer.strategy is 'ddp_spawn'"]),
    (f"{MLP} --trainer.max_epochs 1 --trainer.check_val_every_n_epoch 2", ["no epoch would be validated"]),
    (f"{MLP} --trainer.accelerator cpu --trainer.val_check_interval 1000000", ["the trainer failed", "1000000"]),
    (f"{MLP} --model.optimizer 3", ["model.optimizer"]),
    (f"{MLP} --model.optimizer.lr.x 3", ["model.optimizer.lr"]),
    (f"{MLP} --model.facts.num_channels 3", ["model.facts"]),
    (f"{MLP} --model.monitor val/acc", ["model.monitor"]),
    (f"{MLP} --data.facts 3", ["data.facts"]),
    (f"{MLP} --data.init_args.batch_size 0", ["data.batch_size is "]),
    (f"{MLP} --model.class_path x", ["model is 'x'"]),
    (f"{MLP} --model os.system", ["os.system"]),
    (f"{MLP} --model torch.nn.Linear", ["torch.nn.Linear"]),
    (f"{MLP} --data builtins.dict", ["builtins.dict"]),
    (f"{MLP} --data ImageDataModule", ["ImageDataModule"]),
    (f"{MLP} --data DecodedDataModule", ["DecodedDataModule"]),
    (f"{MLP} --data ImageFilesDataModule", ["ImageFilesDataModule"]),
    (f"{MLP} --model ImageClassifier", ["ImageClassifier"]),
    (f"{MLP} --model ''", ["model is ''"]),
    (f"{MLP} --model 3", ["model is '3'"]),
    (f"{MLP} --model null", ["model"]),
    (f"{MLP} --data null", ["data"]),
    (f"{MLP} --model [MLPClassifier]", ["model is "]),
    (f"{MLP} --é 3", ["--é"]),
    (f"{MLP} -x", ["-x"]),
    (f"{MLP} --", ["--"]),
    (f"{MLP} ---", ["---"]),
    (f"{MLP} --=3", ["--=3"]),
    (f"{MLP} --.", ["--."]),
    (f"{MLP} --trainer", ["trainer"]),
    (f"{MLP} --trainer 3", ["trainer"]),
    (f"{MLP} --trainer.", ["trainer."]),
    (f"{MLP} ''", ["''"]),
    ("''", ["''"]),
    ("nowhere", ["'nowhere'"]),
    ("digits_cnn nowhere", ["'nowhere'"]),
    ("../../../etc/passwd", ["passwd"]),
    (f"{MLP} --print_config=x", ["print_config"]),
]

TRAINER = {
    "max_epochs": ["0", "-2", "-5", "1.5", "x", "[1]", "nan", "99999999999999999999", "true"],
    "min_epochs": ["-1", "1.5", "x", "nan"],
    "max_steps": ["0", "-2", "1.5", "x", "null"],
    "min_steps": ["-1", "x"],
    "limit_train_batches": ["0", "0.0", "-1", "1.5", "x", "nan", "inf", "2.0", "[1]"],
    "limit_val_batches": ["0", "0.0", "-1", "1.5", "x", "nan"],
    "limit_test_batches": ["0", "0.0", "-1", "1.5", "x"],
    "overfit_batches": ["-1", "-0.5", "1.5", "x", "nan"],
    "check_val_every_n_epoch": ["0", "-1", "1.5", "x"],
    "num_sanity_val_steps": ["-2", "1.5", "x"],
    "log_every_n_steps": ["-1", "1.5", "x"],
    "accumulate_grad_batches": ["0", "-1", "1.5", "x", "null", "[1]"],
    "gradient_clip_val": ["-1", "x", "nan", "inf"],
    "gradient_clip_algorithm": ["x", "0"],
    "devices": ["0", "-3", "1.5", "x", "[]", "[0, 0]", "nan", "null", "{a: 1}"],
    "num_nodes": ["0", "-1", "1.5", "x", "null"],
    "accelerator": ["x", "tpu", "null", "[cpu]", "''"],
    "precision": ["x", "8", "0", "[32]"],
    "fast_dev_run": ["-1", "x", "1.5", "null"],
    "callbacks": ["x", "3", "[x]", "[null]", "torch.nn.Linear", "[torch.nn.Linear]", "{class_path: x}", "os.system"],
    "logger": ["x", "torch.nn.Linear"],
    "plugins": ["x", "[x]", "3"],
    "deterministic": ["x", "3"],
    "benchmark": ["x"],
    "detect_anomaly": ["x"],
    "inference_mode": ["x"],
    "sync_batchnorm": ["x"],
    "reload_dataloaders_every_n_epochs": ["-1", "x"],
    "barebones": ["x"],
    "enable_checkpointing": ["x"],
}


# Options that Lightning checks: its sentence names what is allowed.
LIGHTNING = [
    *((f"--trainer.strategy={value}", "ddp") for value in ("x", "null", "3", "''")),
    *((f"--trainer.max_time={value}", "DD:HH:MM:SS") for value in ("x", "-1", "[1]")),
    *((f"--trainer.profiler={value}", "simple") for value in ("x", "3")),
    ("--trainer.enable_checkpointing=false", "enable_checkpointing"),
    *((f"--trainer.val_check_interval={value}", "val_check_interval") for value in ("0", "0.0", "-1", "1.5", "x")),
]


def cases() -> Iterator[Case]:
    yield from values()
    for options, expected in SINGLE:
        yield Case(f"fit {options}", expected)
    for name, wrong in TRAINER.items():
        for value in wrong:
            yield Case(["fit", *MLP.split(), f"--trainer.{name}={value}"], [f"trainer.{name}"])
    for option, expected_word in LIGHTNING:
        yield Case(["fit", *MLP.split(), option], ["the trainer cannot be set up", expected_word])


@pytest.mark.parametrize("case", cases(), ids=str)
def test_refused(case: Case, tmp_path: Path, paths: Mapping[str, Path]) -> None:
    assert try_case(case, tmp_path, paths) == []
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["data"])  # the image cache


def has(name: str, value: object) -> Callable[[Path, Outcome], None]:
    """A check that the config of the only run has the value."""

    def check(folder: Path, outcome: Outcome) -> None:
        run = folder / outcome.out.strip().splitlines()[-1]
        found = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        for part in name.split("."):
            found = found["init_args"][part] if "init_args" in found else found[part]
        assert found == value

    return check


# The least and largest allowed values are used as they are given.
ALLOWED = [
    ("data.batch_size", 1294),
    ("data.batch_size", 2147483647),
    ("data.split_seed", 0),
    ("data.split_seed", 4294967295),
    ("seed_everything", 0),
    ("seed_everything", 4294967295),
    ("model.dropout", 0.0),
    ("model.dropout", 0.999),
    ("model.hidden_sizes", []),
    ("model.hidden_sizes", [1]),
    ("model.optimizer.weight_decay", 0.0),
    ("model.optimizer.lr", 1e-12),
    ("model.optimizer.momentum", 0.0),
    ("model.schedule.warmup_fraction", 0.0),
    ("model.mix.alpha", 1e-06),
    ("early_stopping.patience", 0),
    ("averaging.ema_decay", 0.0),
    ("run.name", "name with spaces é"),
    ("run.name", 100 * "n"),
    ("trainer.limit_train_batches", 1),
    ("trainer.limit_val_batches", 1.0),
    ("trainer.num_sanity_val_steps", 0),
    ("trainer.accumulate_grad_batches", 1000),
]


@pytest.mark.parametrize(("name", "value"), ALLOWED, ids=str)
def test_allowed(name: str, value: object, tmp_path: Path, paths: Mapping[str, Path]) -> None:
    words = [*MLP.split(), *CPU, *OFF, "--trainer.max_epochs=1", f"--{name}={value}"]
    assert try_case(Case(["fit", *words], status=0, check=has(name, value)), tmp_path, paths) == []


# Values of arguments in Python, where no command line has checked them.
def folder_of(**arguments: Any) -> Any:
    return DATA_MODULES["ImageFolderDataModule"](**arguments)


def mlp_of(**arguments: Any) -> Any:
    return CLASSIFIERS["MLPClassifier"](facts=ImageFacts(["a", "b"], 1, 8, [0.5], [0.5]), **arguments)


IN_PYTHON = [
    (lambda _: folder_of(fit="x"), "data.fit is 'x'; it must be one of 'crop', 'pad', 'squash'"),
    (lambda _: folder_of(cache="x"), "data.cache is 'x'"),
    (lambda _: folder_of(unreadable="x"), "data.unreadable is 'x'"),
    (lambda _: folder_of(augmentation="x"), "data.augmentation is 'x'"),
    (lambda _: mlp_of(activation="x"), "model.activation is 'x'"),
    (lambda _: mlp_of(hidden_sizes=[64, 0]), "model.hidden_sizes[1] is 0; it must be a whole number from 1"),
    (lambda _: mlp_of(hidden_sizes=64), "model.hidden_sizes is 64; it must be a list"),
    (lambda _: mlp_of(hidden_sizes="64"), "model.hidden_sizes is '64'; it must be a list"),
    (lambda _: mlp_of(optimizer=5), "5 is given for settings of the type OptimizerSettings"),
    (lambda paths: load(paths["run"]).predict(paths["image"], batch_size=0), "batch_size is 0"),
    (lambda paths: load(paths["run"]).predict(paths["image"], batch_size=1.5), "batch_size is 1.5"),  # type: ignore[arg-type]
    (lambda paths: load(paths["run"]).predict(paths["image"], top_k=-1), "top_k is -1"),
    (lambda paths: load(paths["run"]).predict(paths["image"], abstain_below=float("nan")), "abstain_below is nan"),
    (lambda paths: load(paths["run"]).predict(torch.zeros(3, 8, 8, device="meta")), "images cannot be read"),
    (lambda _: load(None), "run is None; it must be a path"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("call", "message"), IN_PYTHON, ids=[message for _, message in IN_PYTHON])
def test_in_python(call: Callable[[Mapping[str, Path]], Any], message: str, paths: Mapping[str, Path]) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        call(paths)
