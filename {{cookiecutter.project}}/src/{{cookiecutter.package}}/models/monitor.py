"""The metric that early stopping, the best checkpoint and the plateau schedule use."""

from __future__ import annotations

from typing import Literal

Monitor = Literal["val/loss", "val/acc", "val/balanced_acc", "val/f1"]
Mode = Literal["min", "max"]

# The mode is derived from the metric, so that the two always agree.
MODES: dict[Monitor, Mode] = {"val/loss": "min", "val/acc": "max", "val/balanced_acc": "max", "val/f1": "max"}
