"""The install and start lines of the Dockerfile, in a fresh environment without torch; Docker itself is not needed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from .serving import running

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
INSTRUCTIONS = [match.groups() for match in re.finditer(r"^([A-Z]+) +(.*)$", TEXT, re.MULTILINE)]


def lines(name: str) -> list[str]:
    return [text for instruction, text in INSTRUCTIONS if instruction == name]


def copy_files(exported: Path, app: Path) -> None:
    """What COPY does, with the export folder that was asked for."""
    for text in lines("COPY"):
        source, target = text.replace("${EXPORT}", str(exported)).split()
        path = DEPLOY.parent / source
        if path.is_dir():
            shutil.copytree(path, app / target)
        else:
            shutil.copy(path, app / target)


def install(folder: Path, app: Path) -> Path:
    """Run the install line with uv in a new environment; returns its Python."""
    uv = shutil.which("uv") or shutil.which(Path(sys.executable).with_name("uv"))
    if uv is None:
        pytest.skip("uv is not installed")
    python = folder / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", str(python.parents[1])], check=True)
    (line,) = (text for text in lines("RUN") if text.startswith("pip install"))
    words = [word for word in shlex.split(line)[2:] if word != "--no-cache-dir"]
    command = [uv, "pip", "install", "--quiet", "--python", str(python), *words]
    result = subprocess.run(command, cwd=app, capture_output=True, text=True, check=False)
    if result.returncode and re.search("error sending request|dns error|Network is unreachable", result.stderr):
        pytest.skip("no package index can be reached")
    assert result.returncode == 0, result.stderr
    return python


def test_the_image_serves(exported: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    copy_files(exported, app)
    python = install(tmp_path, app)
    assert subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 1
    (start,) = lines("CMD")
    words = json.loads(start)
    assert words[0] == "python"
    stream = BytesIO()
    Image.new("RGB", (40, 30), "red").save(stream, "PNG")
    # Not on all addresses of this machine, as within a container.
    command = ["127.0.0.1" if word == "0.0.0.0" else word for word in [str(python), *words[1:]]]
    with running(command, app, PYTHONPATH="", HOME=os.devnull) as server:
        (prediction,) = server.predict(stream.getvalue()).body["predictions"]
        assert prediction["label"] == "red"
        (check,) = (text for text in lines("HEALTHCHECK"))
        healthy = json.loads(check.partition("CMD")[2])
        healthy = [str(python), *(word.replace(":8000", f":{server.port}") for word in healthy[1:])]
        assert subprocess.run(healthy, capture_output=True, check=False).returncode == 0
    assert subprocess.run(healthy, capture_output=True, check=False).returncode == 1


def test_the_image_is_small_and_not_root() -> None:
    assert [text.startswith("python:") and text.endswith("-slim") for text in lines("FROM")] == [True]
    assert lines("USER") == ["server"]
    assert not any(word in TEXT for word in ("torch", "apt-get", "COPY . "))
