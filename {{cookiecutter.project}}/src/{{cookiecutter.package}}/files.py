"""The one place through which files are written, and the sentence for a lack of permission, space or memory."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from .errors import UserError, brief, causes_of

fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None  # not on Windows

# Why the operating system refuses to write, and what to do.
NO_SPACE = {
    errno.ENOSPC: ("the disk is full", "Free disk space."),
    errno.EDQUOT: ("your quota of disk space is used up", "Remove files, or ask for more."),
    errno.EFBIG: ("a file would be larger than this shell allows", "Raise the limit: ulimit -f unlimited."),
}
OF_MACHINE = {*NO_SPACE, errno.EIO, errno.EMFILE, errno.ENOMEM}
PAGES = (".html", ".htm")  # endings of files that a page may replace
LONGEST_PATH = 500  # in a message; the name of the file is at the end
LESS_MEMORY = "Use smaller batches or images, a smaller network or fewer workers, or close other programs."
# What to do about other errors, which are named by the operating system.
REMEDIES = {
    errno.EACCES: "Change its permissions, or give another path.",
    errno.EPERM: "Change its permissions, or give another path.",
    errno.EROFS: "Work in a folder that can be written, or give another path.",
    errno.EEXIST: "It is a file or a link where a folder is needed. Remove it, or give another path.",
    errno.ENOTDIR: "A part of the path is a file where a folder is needed. Remove it, or give another path.",
    errno.EISDIR: "It is a folder where a file is needed. Remove it, or give another path.",
    errno.ELOOP: "Its links lead in a circle. Remove them, or give another path.",
    errno.ENAMETOOLONG: "Give a shorter name.",
    errno.EIO: "Check the disk.",
    errno.EMFILE: "Raise the limit: ulimit -n 4096.",
    errno.ENOMEM: LESS_MEMORY,
}
# Of errors of torch, which has no type for those of the CPU.
OUT_OF_MEMORY = ("out of memory", "not enough memory", "allocate memory", "shared memory", "can't start new thread")


@contextmanager
def replacing(file: Path, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """Open a temporary file beside ``file``, which it replaces at the end of the block; after an error nothing changes.

    ``options`` are arguments of ``open``. Texts are UTF-8 and keep their line ends, unless these say otherwise. Paths
    that are not UTF-8 are written with escapes, which JSON restores. An error in writing names ``file``.
    """
    options = ({} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}) | options
    is_complete = False
    try:
        temporary, stream = open_temporary(file, mode, options)
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if fcntl is None:  # Windows renames no open file
                stream.close()
            temporary.replace(file)
            is_complete = True
        finally:
            with suppress(OSError):
                if fcntl is None:
                    stream.close()
                if not is_complete:
                    temporary.unlink()
            with suppress(OSError):
                stream.close()  # last, as this releases the lock
    except OSError as error:
        is_temporary = str(error.filename).startswith(str(file.with_name(f".{file.name}.")))
        if is_temporary or (error.filename is None and error.errno in NO_SPACE):
            error.filename, error.filename2 = str(file), None
        raise


def open_temporary(file: Path, mode: str, options: dict[str, Any]) -> tuple[Path, IO[Any]]:
    """An empty temporary file beside ``file``: its path, and the file opened in that mode.

    Its name is the same each time, so that the file of a process that was killed is used again. A lock, which holds
    until it is closed, keeps a second process from using it too; that one uses a name of its own.
    """
    shared, own = file.with_name(f".{file.name}.tmp"), file.with_name(f".{file.name}.{os.getpid()}.tmp")
    descriptor = None if fcntl is None else lock(shared)
    if descriptor is None:
        return own, own.open(mode, **options)
    os.ftruncate(descriptor, 0)
    return shared, os.fdopen(descriptor, mode, **options)


def lock(file: Path) -> int | None:
    """Create or open a file, and lock it; None if it is in use, belongs to another user, or cannot be locked."""
    descriptor = None
    with suppress(OSError):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), file.stat()):  # else its process has renamed it by now
            return descriptor
    if descriptor is not None:
        os.close(descriptor)
    return None


def write_text(file: Path, text: str) -> None:
    """Write or replace a text file."""
    with replacing(file) as stream:
        stream.write(text)


def move(source: Path, target: Path) -> None:
    """Move a file into a folder, which is created; on another disk, it appears only when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if source.is_symlink():
            target.symlink_to(source.readlink())
        else:
            with source.open("rb") as content, replacing(target, "wb") as stream:
                shutil.copyfileobj(content, stream)
            shutil.copystat(source, target)
        source.unlink()


def explain(error: BaseException) -> str | None:
    """The sentence for an error of the file system or of memory: what, why and what to do; None for another error."""
    if isinstance(error, MemoryError | RuntimeError):
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        is_memory = isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY)
        return f"out of memory: {first.rstrip('.')}. {LESS_MEMORY}" if is_memory else None
    if not isinstance(error, OSError):
        return None
    reason, is_named = reason_of(error), isinstance(error.filename, str | bytes)
    if is_named and error.errno is not None:
        name, reading = brief(error.filename, LONGEST_PATH), "" if error.errno in NO_SPACE else "read or "
        return f"{name} cannot be {reading}written: {reason}"
    return reason if error.errno in OF_MACHINE else None


def is_of_machine(error: BaseException) -> bool:
    """Whether the machine lacks space or memory, or fails, as said by the error or by one that has caused it."""
    origin = next((cause for cause in causes_of(error) if isinstance(cause, OSError)), None)
    if origin is not None:
        return origin.errno in OF_MACHINE
    return any(explain(cause) is not None for cause in causes_of(error))


def reason_of(error: OSError | ValueError) -> str:
    """Why a file cannot be read or written, and what to do."""
    number = getattr(error, "errno", None) or 0
    default = (getattr(error, "strerror", None) or str(error), REMEDIES.get(number, "Check the path."))
    reason, remedy = NO_SPACE.get(number, default)
    return f"{reason}. {remedy}"


@contextmanager
def writing(option: str, value: Path | str) -> Iterator[None]:
    """Raise an error of the file system as a UserError that names the option."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        if isinstance(error, OSError) and error.errno is None:  # not of the file system: the timeout of a lock
            raise
        name = getattr(error, "filename", None)
        where = f"where {name!r}" if isinstance(name, str) and Path(name) != Path(value) else "which"
        raise UserError(f"{option} is {brief(str(value))}, {where} cannot be written: {reason_of(error)}") from error


def is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def megabytes(num_bytes: float) -> str:
    """A size to read, in megabytes or gigabytes."""
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:,.3g} MB"


def nearest_folder(path: Path) -> Path:
    """The path, or the nearest of its parents that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def require_folder(folder: Path, option: str) -> None:
    """Refuse a folder, the value of ``option``, that is a file or cannot be created or written; creates nothing."""
    near = nearest_folder(folder)
    problem = 0 if is_writable(near) else errno.EACCES
    problem = problem if near.is_dir() else errno.ENOTDIR
    with writing(option, folder):
        if problem:
            raise OSError(problem, os.strerror(problem), str(near))


def require_output(file: Path, option: str = "--output", suffixes: Sequence[str] = ()) -> None:
    """Refuse a path to write, the value of ``option``, that cannot be written or has none of ``suffixes`` (if any)."""
    if file.is_dir():
        raise UserError(f"{option} is {str(file)!r}, which is a folder. Give a file.")
    if file.exists() and not file.is_file():  # it would be replaced
        raise UserError(f"{option} is {str(file)!r}, which is a device or a pipe. Give a file.")
    if suffixes and file.suffix.lower() not in suffixes:
        raise UserError(f"{option} is {str(file)!r}; it must be a file that ends in {', '.join(suffixes)}.")
    if not file.parent.is_dir():
        raise UserError(f"{option} is {str(file)!r}, but there is no folder {str(file.parent)!r}. Create it.")
    if not is_writable(file.parent):
        raise UserError(f"{option} is {str(file)!r}, but the folder {str(file.parent)!r} is not writable.")
