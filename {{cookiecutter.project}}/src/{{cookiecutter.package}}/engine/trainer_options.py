"""Options of Lightning's trainer with the values that they may have, and the seed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any, Literal

from jsonargparse.typing import register_type
from lightning.pytorch import Callback, Trainer
from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from ..errors import UserError
from ..values import CHECKED, Count, Devices, Factor, NonNegative, Share, Whole

for checked in CHECKED.values():
    # Parsed values are plain numbers and texts, so that checkpoints and configs contain no other types.
    register_type(checked, serializer=lambda value: value, deserializer=checked.parse, type_check=lambda *_: False)


FREEZING = "TransferClassifier freezes and unfreezes its backbone: --model.head_epochs, --model.unfreeze"
# Lightning's callbacks that would fail in this project, or whose result would be lost, and what to use.
INSTEAD = {
    "BackboneFinetuning": FREEZING,
    "BaseFinetuning": FREEZING,
    "BasePredictionWriter": "fit writes predictions.csv; predict writes a table of other images",
    "BatchSizeFinder": "doctor finds a batch size that fits, for --data.batch_size",
    "LearningRateFinder": "doctor --lr tries learning rates, for --model.optimizer.lr",
    "StochasticWeightAveraging": "the weights of the best epoch are kept; --averaging.ema_decay averages in all epochs",
}


class TrainerOptions(Trainer):
    """The options of Lightning's ``Trainer``, which is created with their values; this class is never created.

    The arguments below have ranges. A value outside of its range would end a training later, and without a reason.
    """

    def __init__(
        self,
        *,
        accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto",
        devices: Count | Devices | Literal[-1, "auto"] = "auto",
        num_nodes: Count = 1,
        fast_dev_run: bool | Whole = False,
        max_epochs: Count | Literal[-1] | None = None,
        min_epochs: Whole | None = None,
        max_steps: Count | Literal[-1] = -1,
        min_steps: Whole | None = None,
        limit_train_batches: Count | Factor | None = None,
        limit_val_batches: Count | Factor | None = None,
        limit_test_batches: Count | Factor | None = None,
        limit_predict_batches: Count | Factor | None = None,
        overfit_batches: Count | Share = 0.0,
        val_check_interval: Count | Factor | str | None = None,
        check_val_every_n_epoch: Count | None = 1,
        num_sanity_val_steps: Whole | Literal[-1] | None = None,
        log_every_n_steps: Whole | None = None,
        accumulate_grad_batches: Count = 1,
        gradient_clip_val: NonNegative | None = None,
        gradient_clip_algorithm: Literal["norm", "value"] | None = None,
        reload_dataloaders_every_n_epochs: Whole = 0,
        **others: Any,
    ) -> None:
        super().__init__(**others)  # from which the command line takes all other options


TrainerOptions.__init__.__doc__ = Trainer.__init__.__doc__  # texts of the help


@contextmanager
def trainer_settings() -> Iterator[None]:
    """Raise Lightning's refusal of a setting as a UserError; its ValueErrors are such, those of other code are not."""
    try:
        yield
    except (MisconfigurationException, ValueError) as error:
        *_, (innermost, _) = walk_tb(error.__traceback__)
        if type(error) is ValueError and not str(innermost.f_globals.get("__name__")).startswith("lightning."):
            raise
        raise UserError(f"the trainer failed: {str(error).strip()}") from error


def require_callbacks(given: Sequence[Callback]) -> None:
    """Refuse Lightning's callbacks, in ``trainer.callbacks``, that do not work in this project."""
    for name, instead in INSTEAD.items():
        if getattr(lightning_callbacks, name) in map(type, given):
            raise UserError(f"trainer.callbacks contains {name}, which does not work here. Leave it out: {instead}.")
