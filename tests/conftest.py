"""What several test files share."""

from pathlib import Path

import pytest
from baking import bake


@pytest.fixture(scope="session")
def default_bake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the default answers, to be read and not changed."""
    return bake(tmp_path_factory.mktemp("default") / "out")
