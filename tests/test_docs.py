"""The site builds without a warning, so no link in it is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from baking import TEMPLATE


def test_site_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=TEMPLATE, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for page in ("index.html", "quickstart", "recipes", "decisions"):
        assert (tmp_path / page).exists()
