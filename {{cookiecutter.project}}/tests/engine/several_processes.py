"""What the tests of several processes run in each of them: trainings of a list, one after the other."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.nn.modules.batchnorm import _BatchNorm

from {{cookiecutter.package}}.cli import main


class FrozenStatistics(Callback):
    """Lets batch norm normalise by its running statistics.

    Those of a batch are of one process' part of it, and SyncBatchNorm, which would share them, is for GPUs only.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for module in pl_module.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


class Strike(Callback):
    """Ends something in the second epoch of the first start: what ``STRIKE`` in the environment says."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        is_moment = (trainer.current_epoch, batch_idx) == (1, 1)
        what = os.environ.get("STRIKE", "")
        if not is_moment or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
            return
        if what == f"stop {trainer.global_rank}":
            os.kill(os.getpid(), signal.SIGTERM)
        if what in {"kill", "kill the agent"} and trainer.global_rank == 1:
            if what == "kill the agent":
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)


def train(task: dict[str, Any]) -> None:
    os.environ["STRIKE"] = task.get("strike", os.environ.get("STRIKE", ""))
    try:
        main(["fit", *task["options"]])
    except SystemExit as ended:
        if ended.code != task.get("ends with", 0):
            raise


if __name__ == "__main__":
    if sys.argv[1] == "fit":
        main(sys.argv[1:])
    else:
        for task in json.loads(Path(sys.argv[1]).read_text()):
            train(task)
