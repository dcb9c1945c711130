import pytest
import torch
from torch.nn import functional as F

from {{cookiecutter.package}}.models.metrics import NUM_HELD, StageMetrics


@pytest.mark.parametrize("num_batches", [1, NUM_HELD, NUM_HELD + 3])
def test_values_are_those_of_all_images_at_once(num_batches: int) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(num_batches * 8 - 5, 3), torch.randint(0, 3, (num_batches * 8 - 5,))
    metrics = StageMetrics("val", 3)
    for _ in range(2):  # computing begins anew
        for start in range(0, len(targets), 8):  # the last batch is smaller
            part = slice(start, start + 8)
            metrics.update(F.cross_entropy(logits[part], targets[part]), logits[part], targets[part])
        values = metrics.compute()
        assert set(values) == {"val/loss", "val/acc", "val/balanced_acc", "val/f1"}
        torch.testing.assert_close(values["val/loss"], F.cross_entropy(logits, targets))
        torch.testing.assert_close(values["val/acc"], (logits.argmax(dim=1) == targets).float().mean())


def test_training_has_no_f1() -> None:
    metrics = StageMetrics("train", 3)
    metrics.update(torch.tensor(1.0, requires_grad=True), torch.eye(3, requires_grad=True), torch.tensor([0, 1, 1]))
    values = metrics.compute()
    assert {name: round(value.item(), 4) for name, value in values.items()} == {"train/loss": 1.0, "train/acc": 0.6667}
