"""No file names a machine: neither where packages come from, nor where somebody's files are."""

from __future__ import annotations

import re
import subprocess

from baking import TEMPLATE

HOST = re.compile(r"pypi[.]|python[h]osted|anaconda[.]|conda[.]io|npmjs[.]|pytorch[.]org/whl|index[-_]url|find[-]links")
HOME = re.compile(r"(?<![\w.})*])/(home|root|work|tmp|Users|mnt|opt)/|\b[A-Z]:\\Users")


def tracked_texts() -> dict[str, str]:
    """Each file that is in git, or would be at the next `git add`, and its text."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=TEMPLATE, capture_output=True, text=True, check=True)
    files = [TEMPLATE / name for name in listed.stdout.split("\0") if name]
    return {str(path): path.read_bytes().decode(errors="replace") for path in files if path.exists()}


def found(pattern: re.Pattern[str]) -> dict[str, str]:
    hits = {name: pattern.search(text) for name, text in tracked_texts().items()}
    return {name: hit.group() for name, hit in hits.items() if hit}


def test_no_registry_is_named() -> None:
    assert found(HOST) == {}


def test_no_absolute_path_is_named() -> None:
    assert found(HOME) == {}
