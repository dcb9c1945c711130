import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from {{cookiecutter.package}} import __version__
from {{cookiecutter.package}}.cli import VERBS, main
from {{cookiecutter.package}}.errors import program_name

PRINT_HEAVY_MODULES = """
import sys
from {{cookiecutter.package}}.cli import main
main(["--help"])
print(sorted({"torch", "lightning", "numpy", "wandb", "sklearn", "jsonargparse"} & set(sys.modules)))
"""

PRINT_MODULES_OF_A_FIT = """
import sys
from {{cookiecutter.package}}.cli import main
configs = ["--config", sys.argv[1], "--config", sys.argv[2]]
main(["fit", *configs, "--data.root", sys.argv[3], "--report", "false"])
print(sorted({"sklearn", "pandas", "wandb", "gradio"} & set(sys.modules)))
"""
# A process that starts another one of the same training and dies; the other one would wait for a minute.
DIE = """
import os, subprocess, sys
wait = "import time; from {{cookiecutter.package}} import cli; "
wait += "from {{cookiecutter.package}}.engine import surroundings; "
wait += "surroundings.GRACE = 0; cli.main(['--version']); time.sleep(60)"
command = [sys.executable, "-u", "-c", wait]
other = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "LOCAL_RANK": sys.argv[1]})
other.stdout.readline()
os._exit(9)
"""
END = """
import atexit, sys
from {{cookiecutter.package}} import cli

def main():
    atexit.register(print, "called at the end")
    eval(sys.argv[1])

cli.main = main
cli.run_process()
"""
CONFIGS = Path(__file__).parents[1] / "configs"


def test_help_lists_the_verbs_without_importing_torch() -> None:
    result = subprocess.run([sys.executable, "-c", PRINT_HEAVY_MODULES], capture_output=True, text=True, check=True)
    for verb in VERBS:
        assert f"  {verb} " in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_fit_imports_nothing_that_it_does_not_use(mnist_root: Path) -> None:
    configs = [str(CONFIGS / "mnist_mlp.yaml"), str(CONFIGS / "trainer" / "debug.yaml")]
    words = [sys.executable, "-c", PRINT_MODULES_OF_A_FIT, *configs, str(mnist_root)]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out.strip() == __version__


def test_an_interrupted_verb_ends_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt  # Ctrl-C while the verb's modules are imported

    monkeypatch.setattr("{{cookiecutter.package}}.cli.import_module", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["split", "photos"])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(("ending", "status"), [("None", 0), ("sys.exit()", 0), ("sys.exit(3)", 3), ("1 / 0", 1)])
def test_a_process_ends_with_its_status_and_what_was_registered(ending: str, status: int) -> None:
    ended = subprocess.run([sys.executable, "-c", END, ending], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (status, "called at the end\n")
    assert ("ZeroDivisionError" in ended.stderr) == (ending == "1 / 0")


@pytest.mark.parametrize(
    ("given", "spins"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_threads_sleep_unless_the_user_says_otherwise(
    given: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    main(["--version"])
    assert os.environ.get("GOMP_SPINCOUNT") == spins


@pytest.mark.skipif(sys.platform == "win32", reason="a process there keeps the number of its parent")
def test_a_process_of_a_training_ends_soon_after_the_one_that_started_it() -> None:
    words = [sys.executable, "-c", DIE, "1"]
    dead = subprocess.run(words, stderr=subprocess.PIPE, timeout=30, check=False)  # until both have closed it
    assert dead.returncode == 9


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_its_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: ")
    assert verb in shown.splitlines()[0]


@pytest.mark.parametrize("words", ["--help", "fit --help-all", "predict --help"])
def test_whoever_reads_the_output_may_leave(words: str) -> None:
    """As ``head`` does; here the reader has left before anything is written."""
    command = [sys.executable, "-m", "{{cookiecutter.package}}", *words.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        errors = process.stderr.read() if process.stderr else ""
    assert process.returncode == 0
    assert errors == ""


def test_a_training_is_finished_whoever_reads_its_output(workspace: Path) -> None:
    """The reader has left before the result is printed: the run is complete all the same."""
    words = ["fit", "--data", "DigitsDataModule", "--model", "MLPClassifier", "--trainer.max_epochs", "1"]
    words += ["--trainer.accelerator", "cpu", "--tracking.wandb", "off", "--report", "false", "--run.directory", "run"]
    command = [sys.executable, "-m", "{{cookiecutter.package}}", *words]
    with subprocess.Popen(command, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        process.stdout.close()
    assert json.loads((workspace / "run" / "status.json").read_text())["state"] == "finished"


def help_of(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main([*words.split(), "--help"])
    return capsys.readouterr().out


def test_help_of_fit_has_the_common_options(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    shown = help_of("fit", capsys)
    for name in ("data.batch_size", "data.image_size", "model.optimizer.lr", "trainer.max_epochs", "resume"):
        assert f"--{name}" in shown
    for internal in (":paramref:", "attrgetter", "facts", "--model.monitor", "--trainer.plugins"):
        assert internal not in shown
    assert len(shown.splitlines()) < 120


def test_help_leads_with_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of(f"fit --config {CONFIGS / 'folder_probe.yaml'} --data.root photos", capsys)
    assert "Data set: ImageFolderDataModule" in shown
    assert "pixels [288]" in shown
    assert "folder of images [photos]" in shown
    assert "--model.widths" not in shown
    assert shown.index("--data.root") < shown.index("--model.backbone") < shown.index("--trainer.max_epochs")


def test_help_all_has_every_option_of_the_trainer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help-all"])
    shown = capsys.readouterr().out
    assert "--trainer.plugins" in shown
    assert re.search(r":\w+:`|``", shown) is None


@pytest.mark.parametrize("verb", ["test", "validate"])
def test_help_of_an_evaluation_has_its_own_options_only(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of(verb, capsys)
    assert "--ckpt " in shown
    assert "--data.batch_size" in shown
    for other in ("--early_stopping", "--model", "--tracking", "--run", "--trainer.max_epochs", "--resume"):
        assert other not in shown
    with pytest.raises(SystemExit):
        main([verb, "--ckpt", "last", "--early_stopping.patience", "3"])
    assert f"{verb} has no option '--early_stopping.patience'; it is an option of fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "uv", "expected"),
    [
        ("/anywhere/image", "1", "uv run image"),
        ("/nowhere/bin/image", None, "/nowhere/bin/image"),
        ("/x/__main__.py", "1", "uv run python -m {{cookiecutter.package}}"),
    ],
)
def test_the_command_that_messages_print(
    script: str, uv: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [script])
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    if uv:
        monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", uv)
    assert program_name() == expected


def test_misspelt_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fitt"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: 'fitt' is not a verb. Did you mean 'fit'? "
        "Valid choices: audit, compare, demo, doctor, export, fit, pack, predict, "
        "report, split, test, tune, validate.\n"
    )
