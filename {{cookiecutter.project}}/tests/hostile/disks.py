"""Disks that are full, and permissions that also bind root."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from {{cookiecutter.package}} import files

FULL = Path("/dev/full")  # a device that is always full
# Of capset(2): the version of the interface, and the two capabilities that free root from permissions.
VERSION, OVERRIDE, READ_SEARCH = 0x20080522, 1 << 1, 1 << 2


@contextmanager
def full_disk(name: str, num_before: int = 0) -> Iterator[None]:
    """The disk is full whenever a file of that name is written, except for the first ``num_before`` times."""
    if not FULL.exists():
        pytest.skip("needs /dev/full")
    open_temporary, seen = files.open_temporary, []

    def opened(file: Path, mode: str, options: dict[str, Any]) -> tuple[Path, IO[Any]]:
        temporary, stream = open_temporary(file, mode, options)
        seen.extend([1] if file.name == name else [])
        if file.name != name or len(seen) <= num_before:
            return temporary, stream
        stream.close()
        return temporary, FULL.open(mode, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "open_temporary", opened)
        yield
    assert len(seen) > num_before, f"{name} was not written"


@contextmanager
def file_limit(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond this size, as after ``ulimit -f``; this concerns every library, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def permissions_bind() -> Iterator[None]:
    """Permissions bind this thread and those that it starts, also root's, which lose two of their capabilities."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("permissions do not bind root")
    libc, header, before = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    bound = (ctypes.c_uint32 * 6)(before[0] & ~(OVERRIDE | READ_SEARCH), *before[1:])
    assert libc.capset(header, bound) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
