import pytest
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from {{cookiecutter.package}}.engine.metrics import NUM_HELD, StageMetrics
from {{cookiecutter.package}}.models.classifier import build_metrics


@pytest.mark.parametrize("num_batches", [1, NUM_HELD, NUM_HELD + 3])
def test_values_are_those_of_all_images_at_once(num_batches: int) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(num_batches * 8 - 5, 3), torch.randint(0, 3, (num_batches * 8 - 5,))
    metrics = StageMetrics("val", build_metrics("val", 3))
    for _ in range(2):  # computing begins anew
        for start in range(0, len(targets), 8):  # the last batch is smaller
            part = slice(start, start + 8)
            metrics.update(F.cross_entropy(logits[part], targets[part]), logits[part], targets[part])
        values = metrics.compute()
        assert set(values) == {"val/loss", "val/acc", "val/balanced_acc", "val/f1"}
        torch.testing.assert_close(values["val/loss"], F.cross_entropy(logits, targets))
        torch.testing.assert_close(values["val/acc"], (logits.argmax(dim=1) == targets).float().mean())


def test_training_has_no_f1() -> None:
    metrics = StageMetrics("train", build_metrics("train", 3))
    metrics.update(torch.tensor(1.0, requires_grad=True), torch.eye(3, requires_grad=True), torch.tensor([0, 1, 1]))
    values = metrics.compute()
    assert {name: round(value.item(), 4) for name, value in values.items()} == {"train/loss": 1.0, "train/acc": 0.6667}


def test_a_name_says_whether_low_values_are_better() -> None:
    StageMetrics("val", {"calibration_error": MulticlassCalibrationError(3), "acc": MulticlassAccuracy(3)})
    with pytest.raises(ValueError, match=r"'calibration' is best when it is low.*must end in 'loss' or 'error'"):
        StageMetrics("val", {"calibration": MulticlassCalibrationError(3)})
    with pytest.raises(ValueError, match=r"'no_error' is best when it is high"):
        StageMetrics("val", {"no_error": MulticlassAccuracy(3)})


def test_state_of_any_metric_is_restored() -> None:
    """The calibration error stores all predictions in lists."""
    batches = [(torch.randn(8, 3), torch.randint(0, 3, (8,))) for _ in range(NUM_HELD + 3)]
    whole, first, second = (StageMetrics("train", {"error": MulticlassCalibrationError(3)}) for _ in range(3))
    for position, (logits, targets) in enumerate(batches):
        whole.update(torch.tensor(0.5), logits, targets)
        (first if position < NUM_HELD + 1 else second).update(torch.tensor(0.5), logits, targets)
        if position == NUM_HELD:
            second.load_state(first.state())
    assert second.compute() == whole.compute()
