"""Reads checkpoints: nothing in them is executed, and their content is checked before anything is built from it."""

import logging
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import UserError, some
from ..facts import ImageFacts
from .contracts import class_named
from .named_classes import require_known_classes
from .reading import (
    NEWER,
    Amount,
    Count,
    Number,
    Temperature,
    arguments_of,
    checked,
    fields,
    from_plain,
    list_of,
    mapping_of,
)
from .seen_images import TRAINED_ON

log = logging.getLogger(__name__)

Checkpoint = dict[str, Any]
FORMAT = 1
DAMAGED = "Give another checkpoint, or restore the file from a copy."
OTHER = "Give another checkpoint, or start a new training from its weights with --init_from."
M = TypeVar("M", bound=LightningModule)

TRAINER = fields(max_epochs_=int | None)
BUNDLE = fields(
    model=str,
    config_=fields(data=fields(class_path=str, init_args_=dict[str, Any]), trainer_=TRAINER),
    format_=int,
    split_hash_=str,
    metrics_=dict[str, float],
    history_=list[dict[str, float]],
    seconds_=Amount,
    num_processes_=Number,
    temperature_=Temperature,
    versions_=dict[str, str],
    git_commit_=str | None,
    wandb_id_=str | None,
)
# What prediction needs of a checkpoint, and what a training needs besides, to continue.
CONTENT = fields(
    state_dict=dict[str, Tensor], hyper_parameters=dict[str, Any], bundle=BUNDLE, trained_on_=dict[str, Tensor]
)
FIT_LOOP = fields(epoch_progress=fields(current=fields(ready=Count, completed=Count)), state_dict=dict[str, Any])
STOPPING = fields(best_score_=Tensor, wait_count_=Count)  # the state of EarlyStopping
OPTIMIZER = fields(state=dict[int, dict[str, Any]], param_groups=list_of(fields(differentiable_=bool)))
VERSION = Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+\.\d+[\w.+]*$")]
RESUMABLE = fields(
    epoch=Count,
    global_step=Count,
    loops=fields(fit_loop=FIT_LOOP),
    callbacks=mapping_of(STOPPING),
    optimizer_states=list_of(OPTIMIZER, min_length=1),
    lr_schedulers=list_of(fields(last_epoch_=int, _step_count_=int), min_length=1),
    train_metrics=list_of(dict[str, Any], min_length=1),
    bundle=fields(config=fields(trainer=TRAINER), history_=list[dict[str, float]]),
    **{"pytorch-lightning_version": VERSION},
)


def read_checkpoint(file: Path, option: str = "--ckpt") -> Checkpoint:
    """Read a checkpoint of this project, the value of ``option``, onto the CPU; nothing in it is executed."""
    what = f"{option} is {str(file)!r}, which"
    try:
        with zipfile.ZipFile(file) as parts:  # torch does not compare the checksums (1 ms for 1 MB)
            damaged = parts.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(damaged)
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # reading arbitrary bytes as a pickle can raise any exception
        raise UserError(
            f"{what} cannot be read: it is damaged, or contains objects that could run code on loading. Give a "
            "checkpoint written by this project's fit."
        ) from error
    if not isinstance(checkpoint, dict) or "bundle" not in checkpoint:
        raise UserError(
            f"{what} this project did not write: it has no class names. Give a checkpoint written by fit; use weights "
            "of other programs with --model TransferClassifier --model.weights FILE."
        )
    checked(checkpoint, CONTENT, what, DAMAGED)
    bundle = checkpoint["bundle"]
    if (found := bundle.get("format", FORMAT)) != FORMAT:
        raise UserError(f"{what} is of format {found}, and this version reads {FORMAT}. {NEWER}")
    for number, row in enumerate(bundle.get("history", [])):
        if not {"epoch", "step"} <= row.keys() or row["epoch"] != number:
            raise UserError(f"{what} cannot be used: bundle.history[{number}] is not that of epoch {number}. {DAMAGED}")
    trained_on = checkpoint.get(TRAINED_ON) or {}
    is_known = all(values.dtype == torch.int64 and values.ndim == 1 for values in trained_on.values())
    if trained_on and not (is_known and trained_on.keys() >= {"train", "val", "earlier"}):
        raise UserError(f"{what} cannot be used: trained_on is not of digests of train, val and earlier. {DAMAGED}")
    facts_of(checkpoint)
    return checkpoint


def facts_of(checkpoint: Checkpoint) -> ImageFacts:
    """The facts of the data set that the checkpoint was trained on."""
    given = checkpoint["hyper_parameters"].get("facts")
    if not isinstance(given, Mapping):
        raise UserError(f"the checkpoint cannot be used: hyper_parameters.facts is missing. {DAMAGED}")
    try:
        return from_plain(ImageFacts, given)
    except UserError as error:
        raise UserError(f"the checkpoint cannot be used: in its facts, {error}") from error


def require_resumable(checkpoint: Checkpoint, file: Path) -> None:
    """Refuse a checkpoint from which a training cannot continue."""
    what = f"{str(file)!r} cannot be resumed: it"
    checked(checkpoint, RESUMABLE, what, OTHER)
    max_epochs = checkpoint["bundle"]["config"]["trainer"].get("max_epochs")
    epoch, current = checkpoint["epoch"], checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    is_beyond = max_epochs is not None and 0 <= max_epochs < epoch
    if is_beyond or not all(0 <= count - epoch <= 1 for count in (current["ready"], current["completed"])):
        raise UserError(f"{what} was written in epoch {epoch}, and counts {current} of {max_epochs}. {OTHER}")
    history = checkpoint["bundle"].get("history")
    if history is not None and not 0 <= len(history) - epoch <= 1:
        raise UserError(f"{what} was written in epoch {epoch}, and has the metrics of {len(history)} epochs. {OTHER}")


def data_config(checkpoint: Checkpoint, data_modules: Mapping[str, type]) -> dict[str, Any]:
    """Class, which must be in the table, and arguments of the training's data set, in the format of a config."""
    config: dict[str, Any] | None = checkpoint["bundle"].get("config", {}).get("data")
    if config is None:
        raise UserError(f"the checkpoint cannot be used: bundle.config.data is missing. {DAMAGED}")
    build: type[Any] = class_named(config["class_path"], data_modules, "the checkpoint's data set")
    require_known_classes({"data": config}, {"data": data_modules}, "the checkpoint", "Give --data with your own.")
    arguments_of(build, config.get("init_args", {}), "the checkpoint's data set", NEWER)
    return config


def load_classifier(checkpoint: Checkpoint, classifiers: Mapping[str, type[M]]) -> M:
    """Rebuild the classifier, whose class must be in the table, with its weights, in eval mode."""
    build = class_named(checkpoint["bundle"]["model"], classifiers, "the checkpoint's model")
    arguments = arguments_of(build, checkpoint["hyper_parameters"], "the checkpoint", NEWER)
    if "weights" in arguments:
        arguments["weights"] = "none"  # the weights are in the checkpoint
    state = checkpoint["state_dict"]
    try:
        with NoLargerThan(state):
            classifier = build(**arguments)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise UserError(f"the checkpoint's {build.__name__} cannot be built: {error}. {DAMAGED}") from error
    if wrong := misfits(classifier.state_dict(), state):
        raise UserError(
            f"the checkpoint cannot be used: its weights do not fit its {build.__name__}: they differ in "
            f"{some(wrong)}. {DAMAGED}"
        )
    classifier.load_state_dict(state)
    if broken := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
        log.warning(
            "The weights are not finite, as after a training that diverged, so results mean nothing: %s", some(broken)
        )
    return classifier.eval()


def misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that only one of two models has, or that differ in shape or kind, as a sparse one does."""
    other = {name for name in own.keys() & state.keys() if form(own[name]) != form(state[name])}
    return sorted(other | (own.keys() ^ state.keys()))


def form(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.layout, tensor.is_floating_point(), tensor.is_quantized, tensor.is_meta


class NoLargerThan(TorchFunctionMode):
    """Refuses, before it is allocated, what a checkpoint's tensors leave no room for.

    The arguments in a checkpoint could ask for any size. A model is built from tensors of about the size of its
    weights, and from metrics of at most (K, K) for K classes, which is a side of one of its weights.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        num_classes = max((side for tensor in state.values() for side in tensor.shape), default=1)
        self.left = 4_000_000 + 8 * sum(tensor.numel() for tensor in state.values()) + 8 * num_classes**2

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in FACTORIES and args:
            size = args[0] if isinstance(args[0], tuple | list) else [side for side in args if isinstance(side, int)]
            self.left -= 4_000 + math.prod(size)  # many small ones are too many too
            if self.left < 0:
                raise ValueError(f"its arguments ask for a tensor of {tuple(size)}, and its weights are smaller")
        return function(*args, **(kwargs or {}))


FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.eye}
