"""Each choice yields its whole text, with the year and the author as given."""

from __future__ import annotations

import hashlib
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from baking import SETTINGS, bake_at_the_prompt

AUTHOR = """Zoë "Zed" O'Neil & Söhne {{ x }} \\ <z@example.org>"""
YEAR = datetime.now(UTC).year

# Of the text as the Apache Software Foundation publishes it.
APACHE_SHA256 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"

# First line, copyright line, a sentence that only this text has, last line.
TEXTS = {
    "MIT": (
        "MIT License",
        f"Copyright (c) {YEAR} {AUTHOR}",
        "Permission is hereby granted, free of charge, to any person obtaining a copy",
        "SOFTWARE.",
    ),
    "BSD-3-Clause": (
        "BSD 3-Clause License",
        f"Copyright (c) {YEAR}, {AUTHOR}",
        "3. Neither the name of the copyright holder nor the names of its",
        "OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.",
    ),
    "Apache-2.0": (
        "",
        f"   Copyright {YEAR} {AUTHOR}",
        "   3. Grant of Patent License. Subject to the terms and conditions of",
        "   limitations under the License.",
    ),
    "Proprietary": (
        f"Copyright (c) {YEAR} {AUTHOR}. All rights reserved.",
        f"Copyright (c) {YEAR} {AUTHOR}. All rights reserved.",
        "This software and its documentation are confidential and proprietary. Without",
        "DAMAGES OR OTHER LIABILITY ARISING FROM OR IN CONNECTION WITH THE SOFTWARE.",
    ),
}


@pytest.fixture(scope="module", params=SETTINGS["license"])
def licensed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project under each licence, in a folder of the licence's name."""
    output = tmp_path_factory.mktemp("licenses") / request.param
    return bake_at_the_prompt(output, license=request.param, author=AUTHOR)


def test_text_is_the_chosen_one(licensed: Path) -> None:
    first, copyright_line, only_here, last = TEXTS[licensed.parent.name]
    text = (licensed / "LICENSE").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == (first, last)
    assert text.endswith(f"{last}\n")
    assert lines.count(copyright_line) == 1
    assert only_here in lines


def test_apache_text_is_official(licensed: Path) -> None:
    if licensed.parent.name != "Apache-2.0":
        return
    text = (licensed / "LICENSE").read_text(encoding="utf-8")
    published = text.replace(f"{YEAR} {AUTHOR}", "[yyyy] [name of copyright owner]")
    assert hashlib.sha256(published.encode()).hexdigest() == APACHE_SHA256


def test_metadata_names_the_license(licensed: Path) -> None:
    """As an SPDX expression, which has no identifier of its own for all rights reserved."""
    choice = licensed.parent.name
    settings = tomllib.loads((licensed / "pyproject.toml").read_text(encoding="utf-8"))
    identifier = "LicenseRef-Proprietary" if choice == "Proprietary" else choice
    assert settings["project"]["license"] == identifier
