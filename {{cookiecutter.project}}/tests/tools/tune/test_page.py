from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from {{cookiecutter.package}}.tools.tune.page import write_search
from {{cookiecutter.package}}.tools.tune.study import PROBLEM, SHIPPED
from {{cookiecutter.package}}.tools.tune.sweep import Sweep

SPACE = {
    "model.optimizer.lr": FloatDistribution(0.001, 0.1, log=True),
    "model.dropout": FloatDistribution(0.0, 0.5),
    "data.augmentation": CategoricalDistribution(["none", "light"]),
}


@pytest.fixture
def study() -> optuna.Study:
    """Twenty completed trials whose metric depends on the learning rate only, and one that failed."""
    study = optuna.create_study()
    for number in range(20):
        params = {
            "model.optimizer.lr": 0.001 * 1.2**number,
            "model.dropout": number * 7 % 20 / 40,
            "data.augmentation": ["none", "light"][number * 3 % 2],
        }
        shipped = {SHIPPED: True} if number == 3 else {}
        study.add_trial(create_trial(value=1.0 / (number + 1), params=params, distributions=SPACE, user_attrs=shipped))
    problem = {PROBLEM: "out of <memory>"}
    study.add_trial(create_trial(state=TrialState.FAIL, params=params, distributions=SPACE, user_attrs=problem))
    return study


def test_importance_of_each_parameter_and_the_problem_of_each_failed_trial(study: optuna.Study, tmp_path: Path) -> None:
    sweep = Sweep(Path("sweep.yaml"), [], "val/loss", SPACE, {}, None)
    write_search(tmp_path / "tune.html", study, sweep, "A statement.", "", None)
    page = (tmp_path / "tune.html").read_text()
    assert page.count("<svg") == 3
    bars = page[page.index('importances">') :]
    assert bars.index("<span>lr ") < bars.index("<span>dropout ")
    assert "Share of the variance of val/loss over the 20 completed trials" in page
    assert "21 trials of sweep.yaml" in page
    assert "failed: out of &lt;memory&gt;" in page
    rows = page[page.index("Trials, best first") : page.index("failed: ")]
    assert rows.index(">19<small>best</small>") < rows.index(">3<small>shipped recipe</small>")
    assert rows.index(">3<small>shipped recipe</small>") < rows.index(">20<small>failed</small>")
