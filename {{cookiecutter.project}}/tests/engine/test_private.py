"""Fails when a new version of a package changes a private part that ``engine.private`` uses."""

import ast
import inspect
import os
import warnings
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.nn.parallel import DistributedDataParallel
from torchmetrics import SumMetric

from {{cookiecutter.package}}.engine import private


def quiet_trainer(folder: Path, *callbacks: Callback) -> Trainer:
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    options |= {"enable_progress_bar": False, "max_epochs": 1, "limit_train_batches": 5, "limit_val_batches": 0}
    return Trainer(accelerator="cpu", default_root_dir=folder, callbacks=[*callbacks], **options)


class StopInStep(Callback):
    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: object) -> None:
        if trainer.global_step == 2:
            private.request_stop(trainer)


def test_a_stop_ends_the_training_after_the_step(tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, StopInStep())
    with pytest.raises(SIGTERMException):
        trainer.fit(BoringModel())
    assert trainer.global_step == 2
    assert trainer.received_sigterm


def test_lightning_asks_rank_zero_by_this_method(tmp_path: Path) -> None:
    """On several processes, ``advance`` calls it at each step; an instance attribute replaces it."""
    trainer = quiet_trainer(tmp_path)
    loop = trainer.fit_loop.epoch_loop
    assert "self._broadcast_sigterm_tensor()" in inspect.getsource(type(loop).advance)
    assert not inspect.signature(loop._broadcast_sigterm_tensor).parameters
    private.skip_sigterm_broadcast(trainer)
    assert "_broadcast_sigterm_tensor" in vars(loop)


def test_options_of_ddp_reach_torch() -> None:
    strategy = DDPStrategy(find_unused_parameters=True)
    assert private.ddp_options(strategy) == {"find_unused_parameters": True}
    private.ddp_options(strategy)["static_graph"] = False
    assert "**self._ddp_kwargs" in inspect.getsource(DDPStrategy._setup_model)
    assert private.ddp_options(strategy).keys() <= inspect.signature(DistributedDataParallel).parameters.keys()


def test_a_metric_that_is_marked_computes_without_a_warning() -> None:
    metric = SumMetric()
    private.mark_updated(metric)
    assert metric.update_called
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metric.compute() == torch.tensor(0.0)


def test_options_of_a_parser() -> None:
    parser = ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--size", default=3, help="in pixels")
    size = private.options_of_parser(parser)[-1]
    assert (size.dest, size.default, size.help) == ("size", 3, "in pixels")
    assert [action.dest for action in private.options_of_parser(parser)] == ["help", "size"]


def test_private_parts_of_packages_are_used_in_no_other_file() -> None:
    """Allowed are names of ``self``, ``cls`` and of this project; ``os._exit`` and two underscores are public."""
    root = Path(private.__file__).parents[1]
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in root.rglob("*.py")}
    nodes = {file: list(ast.walk(tree)) for file, tree in trees.items()}
    own = {node.name for found in nodes.values() for node in found if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own.add(os._exit.__name__)
    used = []
    for file, found in nodes.items():
        for node in found:
            names: list[str] = []
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in {"self", "cls", "super()"}:
                names = [node.attr]
            elif isinstance(node, ast.ImportFrom | ast.Import):
                imported = [alias.name for alias in node.names]
                names = ".".join([*imported, getattr(node, "module", None) or ""]).split(".")
            used += [(file.name, name) for name in names if name.startswith("_") and not name.startswith("__")]
    assert {file for file, name in used if name not in own} == {"private.py"}
