"""Searches of a few tiny trainings, through the real entry point."""

import io
import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from {{cookiecutter.package}}.cli import companions, main
from {{cookiecutter.package}}.engine.record import flatten, read_run
from {{cookiecutter.package}}.engine.stopping import DivergedError
from {{cookiecutter.package}}.fit import resolve, train
from {{cookiecutter.package}}.tools.tune.study import EpochReporter
from {{cookiecutter.package}}.tools.tune.sweep import text_of

from ...test_mistakes import mistake

SHIPPED_LR = 1e-6  # with which nothing is learnt: any other trial is better
RECIPE = {
    "data": {"class_path": "DigitsDataModule"},
    "model": {
        "class_path": "MLPClassifier",
        "init_args": {"hidden_sizes": [16], "dropout": 0.0, "optimizer": {"lr": SHIPPED_LR}},
    },
    "trainer": {"max_epochs": 2, "limit_train_batches": 4, "accelerator": "cpu"},
}
SWEEP = {
    "command": ["image", "fit", "--config", "recipe.yaml", "${args}"],
    "metric": {"name": "val/loss", "goal": "minimize"},
    "parameters": {
        "model.optimizer.lr": {"distribution": "log_uniform_values", "min": SHIPPED_LR, "max": 0.1},
        "model.hidden_sizes": {"values": [[16], [32]]},
        "model.schedule.name": {"value": "constant"},
    },
}

NAME = "a [b] <i>.yaml"
STUDY = f"runs/tune/{Path(NAME).stem}"
STUDY_FILE = f"{STUDY}/study.db"
SWEEP_STUDY = "runs/tune/sweep/study.db"

Tune = Callable[..., str]


def write(file: str, content: Any) -> None:
    Path(file).write_text(yaml.safe_dump(content))


def changed(**sections: Any) -> dict[str, Any]:
    return SWEEP | sections


def trials(folder: Path, study: str = STUDY_FILE) -> list[FrozenTrial]:
    return optuna.load_study(study_name=None, storage=f"sqlite:///{folder / study}").trials


def value_of(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def losses(run: Path) -> list[float]:
    return [epoch["val/loss"] for epoch in read_run(run).epochs]


@pytest.fixture
def search(workspace: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Tune]:
    """Write a sweep, and search it; returns what was printed."""
    write(str(workspace / "recipe.yaml"), RECIPE)

    def run(*options: str, sweep: dict[str, Any] = SWEEP) -> str:
        write("sweep.yaml", sweep)
        capsys.readouterr()
        main(["tune", "--sweep", "sweep.yaml", *options])
        return " ".join(capsys.readouterr().out.split())

    handler = signal.getsignal(signal.SIGINT)
    yield run
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a whole search took place; the name of its sweep is markup for Rich and for HTML."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        patch.chdir(folder)
        write("recipe.yaml", RECIPE)
        write(NAME, SWEEP)
        main(["tune", "--sweep", NAME, "--trials", "5", "--data.val_fraction", "0.2"])
    (folder / "printed.txt").write_text(" ".join(printed.getvalue().split()))
    return folder


def test_the_first_trial_is_the_recipe_as_shipped(finished: Path) -> None:
    first, second = (dict(flatten(read_run(finished / STUDY / f"trial-000{number}").config)) for number in (0, 1))
    assert trials(finished)[0].params == {"model.optimizer.lr": SHIPPED_LR, "model.hidden_sizes": "[16]"}
    assert float(first["model.optimizer.lr"]) == SHIPPED_LR
    assert first["model.schedule.name"] == "onecycle"
    assert second["model.schedule.name"] == "constant"
    drawn = trials(finished)[1].params["model.optimizer.lr"]
    assert float(second["model.optimizer.lr"]) == pytest.approx(drawn, rel=1e-3)


def test_a_trial_is_worth_its_best_epoch_and_sees_no_test_image(finished: Path) -> None:
    for trial in trials(finished):
        run = finished / STUDY / f"trial-000{trial.number}"
        names = {path.name for path in run.iterdir()}
        assert names == {".lock", "config.yaml", "environment.json", "metrics.csv", "status.json"}
        assert "test/" not in (run / "metrics.csv").read_text()
        assert trial.value == pytest.approx(min(losses(run)))


def test_says_whether_the_best_is_better_with_other_seeds(finished: Path) -> None:
    printed = (finished / "printed.txt").read_text()
    best = min(trials(finished), key=value_of)
    assert f"Best of 5 trials: trial {best.number} with val/loss {best.value:.4f}" in printed
    assert "Better: trained again with seeds 1, 2, 3, all three of its runs beat all three runs" in printed
    for name in ("shipped", f"trial-{best.number:04}"):
        runs = [read_run(finished / STUDY / "comparison" / f"{name}-seed-{seed}") for seed in (1, 2, 3)]
        values, accuracies = ([run.summary[fact] for run in runs] for fact in ("best", "test/acc"))
        assert f"{sum(values) / 3:.4f} ({min(values):.4f} to {max(values):.4f})" in printed
        mean, low, high = (100 * share for share in (sum(accuracies) / 3, min(accuracies), max(accuracies)))
        assert f"{mean:.1f} % ({low:.1f} to {high:.1f})" in printed


def test_page_needs_nothing_else_and_takes_names_for_text(finished: Path) -> None:
    page = (finished / STUDY / "tune.html").read_text()
    assert page.count("<svg") == 2
    assert page.count("<small>shipped recipe</small>") == 1
    assert "needs at least 20 completed trials, and there are 5" in page
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert "a [b] &lt;i&gt;" in page
    assert "<i>" not in page


def test_best_recipe_is_a_card_that_trains(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    file = f"{STUDY}/best.yaml"
    text = Path(file).read_text()
    assert (finished / "printed.txt").read_text().endswith(f"fit --config '{file}'")
    assert re.search(rf"^#     .*fit --config '{re.escape(file)}'$", text, re.MULTILINE)
    assert "Best of 5 trials" in text
    assert {line[0] for line in text.splitlines()[:6]} == {"#"}
    config = yaml.safe_load(text)
    assert list(config) == ["data", "model", "trainer"]
    assert config["data"] == {"class_path": "DigitsDataModule", "init_args": {"val_fraction": 0.2}}
    assert config["trainer"] == RECIPE["trainer"]
    drawn = min(trials(finished), key=value_of).params
    options = ["--model.schedule.name=constant", "--data.val_fraction=0.2"]
    options += [f"--{name}={text_of(value)}" for name, value in drawn.items()]
    configs = [resolve(["--config", *words]) for words in ([file], ["recipe.yaml", *options])]
    assert dict(flatten(configs[0])) == dict(flatten(configs[1]))
    main(["fit", "--config", file, "--tracking.wandb", "off", "--trainer.enable_progress_bar", "false"])


def test_goes_on_to_the_total_number_of_trials(
    finished: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, workspace, dirs_exist_ok=True)
    compared = workspace / STUDY / "comparison" / "shipped-seed-1" / "summary.json"
    written = compared.stat().st_mtime_ns
    main(["tune", "--sweep", NAME, "--trials", "6", "--data.val_fraction", "0.2"])
    assert "of 6 trials" in capsys.readouterr().out
    before, after = trials(finished), trials(workspace)
    assert [trial.number for trial in after] == [0, 1, 2, 3, 4, 5]
    assert [trial.params for trial in after[:5]] == [trial.params for trial in before]
    assert len({trial.params["model.optimizer.lr"] for trial in after}) == 6
    assert compared.stat().st_mtime_ns == written


def test_a_killed_trial_is_tried_again(search: Tune, workspace: Path) -> None:
    """What a killed process leaves behind is a trial that is running for ever."""
    good = ["--model.optimizer.lr", "0.05"]
    search("--trials", "1", *good)
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{SWEEP_STUDY}")
    study.enqueue_trial({"model.optimizer.lr": 2e-6, "model.hidden_sizes": "[16]"})
    killed = study.ask(study.trials[0].distributions)
    search("--trials", "2", *good)
    found = trials(workspace, SWEEP_STUDY)
    assert [trial.state for trial in found] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert found[2].params == killed.params


def test_ctrl_c_writes_what_there_is(search: Tune, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the middle of a training that would take minutes."""
    sweep = changed(parameters={"trainer.max_epochs": {"values": [2, 20000]}})
    search("--trials", "1", sweep=sweep)
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{SWEEP_STUDY}")
    study.enqueue_trial({"trainer.max_epochs": "20000"})
    folder = workspace / "runs" / "tune" / "sweep"
    (folder / "best.yaml").unlink()

    def interrupt() -> None:
        while not (folder / "trial-0001" / "checkpoints").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(SystemExit) as stop:
        search("--trials", "2", sweep=sweep)
    thread.join()
    assert stop.value.code == 130
    assert "Stopped; the same command continues" in " ".join(capsys.readouterr().out.split())
    assert (folder / "best.yaml").exists()
    assert (folder / "tune.html").exists()
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]
    assert study.ask(study.trials[0].distributions).params == {"trainer.max_epochs": "20000"}


def test_failed_trials_are_recorded_and_the_search_goes_on(search: Tune, workspace: Path) -> None:
    parameters = {"data.val_fraction": {"values": [0.1, 0.999]}, "model.optimizer.lr": {"values": [SHIPPED_LR, 1.0e9]}}
    search("--trials", "1", sweep=changed(parameters=parameters))
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{SWEEP_STUDY}")
    study.enqueue_trial({"data.val_fraction": "0.999"})
    study.enqueue_trial({"data.val_fraction": "0.1", "model.optimizer.lr": "1000000000.0"})
    printed = search("--trials", "3", sweep=changed(parameters=parameters))
    found = trials(workspace, SWEEP_STUDY)
    assert [trial.state for trial in found] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert "cannot carve a val split" in found[1].user_attrs["problem"]
    assert found[2].user_attrs["problem"] == "val/loss is nan after epoch 1"
    assert "No trial of 3 is better than the shipped recipe" in printed
    assert "cannot carve a val split" in (workspace / "runs/tune/sweep/tune.html").read_text()


@pytest.mark.usefixtures("search")
def test_all_trials_fail(capsys: pytest.CaptureFixture[str]) -> None:
    write("sweep.yaml", changed(parameters={"model.hidden_sizes": {"values": [[16], [32]]}}))
    options = ["--model.optimizer.name", "sgd", "--model.optimizer.lr", "1e9", "--trials", "2"]
    message = mistake(["tune", "--sweep", "sweep.yaml", *options], capsys)
    assert "all 2 trials failed" in message
    assert "val/loss is nan" in message


@pytest.mark.usefixtures("search")
def test_a_recipe_that_cannot_be_trained_ends_the_search(capsys: pytest.CaptureFixture[str]) -> None:
    write("sweep.yaml", SWEEP)
    message = mistake(["tune", "--sweep", "sweep.yaml", "--data.val_fraction", "0.999"], capsys)
    assert "the shipped recipe cannot be trained" in message
    assert "cannot carve a val split" in message
    assert len(trials(Path.cwd(), SWEEP_STUDY)) == 1


def test_hopeless_trials_are_stopped_early(search: Tune, workspace: Path) -> None:
    early = changed(early_terminate={"type": "hyperband", "min_iter": 2})
    search("--trials", "1", "--trainer.max_epochs", "4", sweep=early)
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{SWEEP_STUDY}")
    first = study.trials[0]
    unbeatable = dict.fromkeys(range(4), 1e-6)
    other = create_trial(
        value=10.0, params=first.params, distributions=first.distributions, intermediate_values=unbeatable
    )
    study.add_trials([other] * 5)
    search("--trials", "7", "--trainer.max_epochs", "4", sweep=early)
    last = trials(workspace, SWEEP_STUDY)[-1]
    assert last.state == TrialState.PRUNED
    assert len(last.intermediate_values) == 2


def test_seeds_of_a_trial_are_averaged(search: Tune, workspace: Path) -> None:
    printed = search("--trials", "1", "--seeds", "2", "--seed_everything", "5")
    values = [min(losses(workspace / f"runs/tune/sweep/trial-0000/seed-{seed}")) for seed in (5, 6)]
    assert values[0] != values[1]
    assert trials(workspace, SWEEP_STUDY)[0].value == pytest.approx(sum(values) / 2)
    assert "No trial of 1" in printed


def test_time_is_a_budget(search: Tune, workspace: Path) -> None:
    search("--minutes", "0.0001")
    assert len(trials(workspace, SWEEP_STUDY)) == 1


def test_a_trial_that_diverges_is_a_failed_run(workspace: Path) -> None:
    options = ["--data=DigitsDataModule", "--model=MLPClassifier", "--model.optimizer.name=sgd"]
    options += ["--model.optimizer.lr=1e9", "--run.directory=run"]
    options += [option for companion in companions() for option in companion.off]
    with pytest.raises(DivergedError, match="epoch 1"):
        train(options, [EpochReporter("val/loss")], companions())
    assert json.loads((workspace / "run" / "status.json").read_text())["state"] == "failed"


PARAMETERS: dict[str, Any] = SWEEP["parameters"]  # type: ignore[assignment]
MISTAKES = [
    ({}, ["--trials", "0"], ["--trials is 0", "1 or more"]),
    ({}, ["--minutes", "0"], ["--minutes is 0", "above 0"]),
    ({}, ["--seeds", "-1"], ["--seeds is -1"]),
    ({}, ["--sweep", "swep.yaml"], ["--sweep is 'swep.yaml'", "no such file"]),
    ({}, ["--trails", "3"], ["no option '--trails'"]),
    ({}, ["--monitor", "val/acc"], ["metric.name is val/loss", "by val/acc", "--monitor val/loss"]),
    ({}, ["--trainer.devices", "2"], ["trainer.devices is 2", "one device", "wandb sweep"]),
    ({}, ["--model.optimizer.lr", "0.5"], ["model.optimizer.lr is 0.5 in the recipe", "outside", "change"]),
    ({"metric": {"name": "val/auc"}}, [], ["metric.name is 'val/auc'", "val/acc, val/balanced_acc"]),
    ({"metric": {"name": "val/acc"}}, [], ["metric.goal is 'minimize'", "'maximize'"]),
    ({"metric": None}, [], ["metric.name is None"]),
    ({"command": None}, [], ["command is None", "${args}"]),
    ({"command": ["image", "fit", "${args}", "--config", "recipe.yaml"]}, [], ["ends with '${args}'"]),
    ({"parameters": {}}, [], ["no parameters"]),
    ({"parameters": {"model.dropout": 0.1}}, [], ["'model.dropout' is 0.1", "value: ..."]),
    ({"parameters": {"model.dropout": {"value": 0.1}}}, [], ["nothing to search"]),
    ({"parameters": {"model.dropuot": {"min": 0.0, "max": 0.5}}}, [], ["'model.dropuot'", "'model.dropout'?"]),
    ({"parameters": {"modle.dropout": {"min": 0.0, "max": 0.5}}}, [], ["'--modle.dropout", "'model.dropout'?"]),
    ({"parameters": {"data.batch_size": {"min": 8.0, "max": 64.0}}}, [], ["data.batch_size is 8.0", "whole number"]),
    ({"parameters": {"model.dropout": {"distribution": "normal"}}}, [], ["'normal'", "log_uniform_values"]),
    ({"early_terminate": {"type": "hyperband"}}, [], ["early_terminate is", "min_iter"]),
]


@pytest.mark.usefixtures("search")
@pytest.mark.parametrize(("sections", "options", "expected"), MISTAKES, ids=[f"{s or o}" for s, o, _ in MISTAKES])
def test_mistakes(
    sections: dict[str, Any], options: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write("sweep.yaml", changed(**sections))
    message = mistake(["tune", "--sweep", "sweep.yaml", *options], capsys)
    assert [part for part in expected if part not in message] == []
    assert not list(Path("runs").rglob("trial-*"))


@pytest.mark.usefixtures("search")
def test_sweeps_that_are_no_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    Path("sweep.yaml").write_text("parameters: [")
    assert "not valid YAML" in mistake(["tune", "--sweep", "sweep.yaml"], capsys)
    Path("sweep.yaml").write_text("- 1")
    assert "A sweep file contains command, metric and parameters" in mistake(["tune", "--sweep", "sweep.yaml"], capsys)


def test_studies_that_are_not_its_own(search: Tune, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search("--trials", "1")
    again = ["tune", "--sweep", "sweep.yaml", "--trials", "1"]
    message = mistake([*again, "--trainer.max_epochs", "3"], capsys)
    assert "trainer.max_epochs was 2, and is now 3" in message
    assert "--seeds was 1, and is now 2" in mistake([*again, "--seeds", "2"], capsys)
    write("sweep.yaml", changed(parameters=PARAMETERS | {"model.dropout": {"min": 0.0, "max": 0.5}}))
    assert "parameters.model.dropout was None" in mistake(again, capsys)
    write("sweep.yaml", SWEEP)
    with FileLock(workspace / "runs" / "tune" / "sweep" / "study.lock"):
        assert "another process" in mistake(again, capsys)
    (workspace / "notes.db").write_text("no study")
    assert "which is not a study" in mistake([*again, "--study", "notes.db"], capsys)
    assert "contains trials but no other.db" in mistake([*again, "--study", "runs/tune/sweep/other.db"], capsys)
