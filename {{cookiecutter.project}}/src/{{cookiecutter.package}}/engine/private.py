"""All uses of private parts of other packages, and the issues whose solution would make each use unnecessary.

The upper version bounds in ``pyproject.toml`` and ``tests/engine/test_private.py`` guard them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # verbs without a trainer start without these
    from lightning.pytorch import Trainer
    from lightning.pytorch.strategies import DDPStrategy
    from torchmetrics import Metric


def request_stop(trainer: Trainer, is_requested: bool = True) -> None:
    """Let the trainer raise SIGTERMException after this step, as after a SIGTERM, or take that back.

    ``Trainer.received_sigterm`` can only be read. Lightning's own handler, on several processes, communicates within
    the signal and can wait forever (Lightning-AI/pytorch-lightning#20806).
    """
    trainer._signal_connector.received_sigterm = is_requested


def skip_sigterm_broadcast(trainer: Trainer) -> None:
    """Stop Lightning from asking rank zero at each step, which waits for all processes and the GPU.

    Lightning-AI/pytorch-lightning#21487.
    """
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def ddp_options(strategy: DDPStrategy) -> dict[str, Any]:
    """The options with which the strategy will create ``DistributedDataParallel``; can be changed until then.

    ``DDPStrategy`` takes them as arguments, but ``--trainer.strategy auto`` creates it within ``Trainer``. No issue
    known.
    """
    return strategy._ddp_kwargs


def mark_updated(metric: Metric) -> None:
    """Let ``compute`` know that the metric has data, if its state was not set by ``update``; otherwise it would warn.

    ``Metric.update_count`` is public since Lightning-AI/torchmetrics#1363, but can only be read.
    """
    metric._update_count = 1


def options_of_parser(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options of a parser, in the order of their definition, without positional arguments.

    argparse has no public way to list them (python/cpython#125363, python/cpython#144932).
    """
    return [action for action in parser._actions if action.option_strings]
