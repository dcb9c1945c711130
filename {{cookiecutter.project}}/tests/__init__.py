"""A home and a temporary folder for what libraries leave there, removed at the end.

Set before the first import of torch and matplotlib, which write into both. pytest's own folders stay where the user
wants them. The libraries' are not below: the sockets of multiprocessing allow about 100 characters.
"""

import atexit
import os
import tempfile

os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
short = "/tmp" if os.name == "posix" else None
own = tempfile.TemporaryDirectory(prefix="tests-", dir=short, ignore_cleanup_errors=True)
atexit.register(own.cleanup)
os.environ |= dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), own.name)
tempfile.tempdir = own.name
