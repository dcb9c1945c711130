"""Temperature scaling, and thresholds below which a model abstains; both are fitted on the validation split."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from .results import SplitOutputs

NUM_BINS = 15
COVERAGES = (1.0, 0.99, 0.95, 0.9, 0.8)  # shares of the images that get an answer


def calibrate(val: SplitOutputs, test: SplitOutputs) -> dict[str, SplitOutputs]:
    """Both splits with the temperature that is fitted on ``val``; 1 if none can be fitted."""
    temperature = fit_temperature(val) or 1.0
    return {split: replace(of, temperature=temperature) for split, of in (("val", val), ("test", test))}


def fit_temperature(outputs: SplitOutputs) -> float | None:
    """Fit the temperature that maximises the likelihood of a split, usually validation (Guo et al., 2017, section 4.2).

    It divides the logits, and is above 1 if the model is overconfident. None if a logit is not finite, or if all images
    are classified correctly: the likelihood then has no maximum, because it always grows as the temperature falls.
    """
    if not np.isfinite(outputs.logits).all() or outputs.is_correct.all():
        return None
    from scipy.optimize import minimize_scalar

    logits, labels = torch.from_numpy(outputs.logits).double(), torch.from_numpy(outputs.labels)

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / math.exp(log_temperature), labels).item()

    # Outside of these bounds, all probabilities are 0 and 1, or uniform.
    return math.exp(minimize_scalar(loss, bounds=(math.log(0.05), math.log(20.0))).x)


def calibration_error(outputs: SplitOutputs) -> float:
    """Expected calibration error of the probabilities, 0 to 1 (Guo et al., 2017, section 2)."""
    shares, labels = torch.from_numpy(outputs.probabilities), torch.from_numpy(outputs.labels)
    return float(multiclass_calibration_error(shares, labels, shares.shape[1], n_bins=NUM_BINS, norm="l1"))


@dataclass(frozen=True)
class Answers:
    """Coverage and accuracy of a model that answers only if its highest probability reaches a threshold."""

    asked_coverage: float  # share of the validation images that reach the threshold
    threshold: float
    coverage: float  # share of the test images that get an answer
    num_images: int  # number of these test images
    accuracy: float | None  # accuracy on these; None if there are none


def answers_at(val: SplitOutputs, test: SplitOutputs, coverage: float) -> Answers:
    """Answers with the highest threshold that at least a share of ``coverage`` of the validation images reaches."""
    num_reached = max(1, math.ceil(coverage * len(val) - 1e-9))
    threshold = 0.0 if coverage == 1 else float(np.sort(val.probabilities.max(axis=1))[-num_reached])
    answered = test.probabilities.max(axis=1) >= threshold
    num = int(answered.sum())
    accuracy = float(test.is_correct[answered].mean()) if num else None
    return Answers(coverage, threshold, num / len(test), num, accuracy)
