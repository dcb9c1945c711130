"""What is put into git and into packages: the project's own files, with its configs, and no photograph."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from baking import TEMPLATE, bake

# What users leave in a project, and what its commands write there.
LEFT_BEHIND = ["photos/cat/1.jpg", "more-photos/dog/2.JPEG", "scans/3.tiff", "x.png", "predictions.csv"]
LEFT_BEHIND += ["compare.html", "audit/audit.html", "runs/digits_cnn/now/summary.json", "data/MNIST/raw/labels"]
LEFT_BEHIND += ["slurm-1.out", "b.ckpt"]
KEPT = ["photos/splits.csv", "uv.lock", "notes.md", "docs/logo.png"]  # committed; in no package


def run(folder: Path, *command: str, **more: str) -> str:
    result = subprocess.run(
        command, cwd=folder, env={**os.environ, **more}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def used(default_bake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in git, after its first weeks."""
    project = shutil.copytree(default_bake, tmp_path_factory.mktemp("used") / "image-classifier")
    for name in LEFT_BEHIND + KEPT:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(b"bytes")
    run(project, "git", "init", "--quiet")
    run(project, "git", "add", "--all")
    return project


@pytest.fixture(scope="module")
def built(used: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and a wheel."""
    out = tmp_path_factory.mktemp("built")
    for target in ("sdist", "wheel"):
        run(used, sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out))
    return out


def files_of(project: Path, *folders: str) -> set[str]:
    paths = [path for folder in folders for path in (project / folder).rglob("*") if path.is_file()]
    return {path.relative_to(project).as_posix() for path in paths}


def test_git_takes_what_is_written_by_hand(used: Path, default_bake: Path) -> None:
    assert set(run(used, "git", "ls-files").splitlines()) == files_of(default_bake, ".") | set(KEPT)


def test_a_clone_has_unix_line_ends_on_every_system(used: Path, tmp_path: Path) -> None:
    """A shell does not run a script whose lines end as Windows ends them."""
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    run(used, "git", *who, "commit", "--quiet", "--message", "First weeks")
    run(tmp_path, "git", "clone", "--quiet", "-c", "core.autocrlf=true", str(used), "clone")
    for script in ("scripts/torchrun.sh", "README.md"):
        assert (tmp_path / "clone" / script).read_bytes() == (used / script).read_bytes()
    attributes = run(TEMPLATE, "git", "ls-files", "--eol").splitlines()
    assert {line.split("attr/")[1].split("\t")[0].strip() for line in attributes} == {"text=auto eol=lf"}


def test_sdist(built: Path, used: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    always = {"pyproject.toml", "README.md", "LICENSE", ".gitignore", "PKG-INFO"}
    assert names == files_of(used, "configs", "deploy", "lessons", "scripts", "src", "tests") | always


def test_wheel(built: Path, used: Path) -> None:
    (file,) = built.glob("*.whl")
    names = {name for name in zipfile.ZipFile(file).namelist() if ".dist-info/" not in name}
    code = {name.removeprefix("src/") for name in files_of(used, "src")}
    assert names == code | {f"image_classifier/{name}" for name in files_of(used, "configs")}


def test_an_installed_wheel_trains_by_name_from_an_empty_folder(built: Path, tmp_path: Path) -> None:
    (file,) = built.glob("*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    offline = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run(tmp_path, sys.executable, "-m", "pip", "install", *offline, "--target", str(site), str(file))
    command = [sys.executable, str(site / "bin" / "image-classifier"), "fit", "digits_cnn", "trainer/debug"]
    printed = run(empty, *command, PYTHONPATH=str(site))
    assert (empty / printed.splitlines()[-1] / "report.html").is_file()
    assert "digits_cnn" in printed


@pytest.mark.parametrize(("choice", "is_private"), [("Proprietary", True), ("MIT", False)])
def test_what_is_proprietary_cannot_be_uploaded_by_accident(choice: str, is_private: bool, tmp_path: Path) -> None:
    project = bake(tmp_path / "out", license=choice)
    run(project, sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path))
    (file,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        (metadata,) = [archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA")]
    assert ("Classifier: Private :: Do Not Upload" in metadata) == is_private
