"""Recipes are named by path or by name, from any working directory."""

import shutil
from pathlib import Path

import pytest

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.engine.recipes import find_config, find_recipes
from {{cookiecutter.package}}.errors import UserError

CONFIGS = Path(__file__).parents[2] / "configs"


def test_a_path_is_taken_as_it_is(workspace: Path) -> None:
    (workspace / "digits_cnn.yaml").touch()
    assert find_config("digits_cnn.yaml") == Path("digits_cnn.yaml")


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("given", ["configs/digits_cnn.yaml", "configs/digits_cnn", "digits_cnn.yaml", "digits_cnn"])
def test_what_came_with_the_package_is_found_from_anywhere(given: str) -> None:
    found = find_config(given)
    assert found is not None
    assert found.samefile(CONFIGS / "digits_cnn.yaml")


def test_the_nearest_project_above_comes_first(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CONFIGS, workspace / "project" / "configs")
    (workspace / "project" / "notebooks" / "deep").mkdir(parents=True)
    monkeypatch.chdir(workspace / "project" / "notebooks" / "deep")
    for given in ("configs/trainer/debug.yaml", "trainer/debug"):
        assert find_config(given) == workspace / "project" / "configs" / "trainer" / "debug.yaml"


@pytest.mark.usefixtures("workspace")
def test_words_before_the_first_option_are_configs() -> None:
    names = find_recipes(["digits_cnn", "trainer/debug", "--config", "tracking/none", "-c=digits_mlp", "--seed", "cpu"])
    files = ["digits_cnn", "trainer/debug", "tracking/none"]
    expected = [word for name in files for word in ("--config", str(CONFIGS / f"{name}.yaml"))]
    assert names == [*expected, f"-c={CONFIGS / 'digits_mlp.yaml'}", "--seed", "cpu"]


@pytest.mark.usefixtures("workspace")
def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UserError, match=r"'digit_cnn' is neither.* Did you mean 'digits_cnn'\?.*mnist_mlp"):
        find_recipes(["digit_cnn"])
    assert find_recipes(["--config", "nowhere.yaml"]) == ["--config", "nowhere.yaml"]
    inline = "data: " + 300 * "x"
    assert find_recipes([f"--config={inline}"]) == [f"--config={inline}"]


def test_fit_by_name_from_an_empty_folder(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "digits_mlp", "trainer/debug"])
    run = workspace / capsys.readouterr().out.splitlines()[-1]
    assert run.parent == workspace / "runs" / "digits_mlp"
    assert (run / "checkpoints" / "best.ckpt").is_file()
