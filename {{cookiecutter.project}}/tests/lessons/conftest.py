"""The lessons are a folder that can be deleted: then these tests are not collected."""

import sys
from pathlib import Path

LESSONS = Path(__file__).parents[2] / "lessons"
collect_ignore_glob = [] if LESSONS.is_dir() else ["test_*.py"]
sys.path.append(str(LESSONS))  # where a lesson that runs finds its modules, too
