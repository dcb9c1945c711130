import subprocess
import sys
from pathlib import Path

import pytest

from {{cookiecutter.package}} import __version__
from {{cookiecutter.package}}.cli import VERBS, main

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
print(sorted({"matplotlib", "scipy", "sklearn", "pandas", "wandb", "gradio"} & set(sys.modules)))
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


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_its_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: ")
    assert verb in shown.splitlines()[0]


def test_misspelt_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fitt"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: 'fitt' is not a verb. Did you mean 'fit'? "
        "Valid choices: audit, compare, fit, pack, predict, report, split, test, tune, validate.\n"
    )
