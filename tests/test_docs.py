"""The site builds without a warning, so no link in it is broken; a shell takes its commands as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from baking import PROJECT_TREE, TEMPLATE

PAGES = [
    TEMPLATE / "README.md",
    TEMPLATE / "CONTRIBUTING.md",
    PROJECT_TREE / "README.md",
    *TEMPLATE.glob("docs/**/*.md"),
]
BLOCK = re.compile(r"^ *```bash\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def test_site_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=TEMPLATE, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for page in ("index.html", "quickstart", "recipes", "decisions", "learn/first-project"):
        assert (tmp_path / page).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(TEMPLATE).as_posix())
def test_no_placeholder_is_a_redirect(page: Path) -> None:
    """A shell reads `<owner>/<repo>` as files to read from and to write to: write OWNER/REPO."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert [found for block in blocks for found in re.findall("<[a-z-]+>.*", block)] == []
