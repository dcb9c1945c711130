"""Stores of packed data sets: a folder, or a prefix of an object store, accessed by litdata."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar
from urllib.parse import urlparse

from ...errors import UserError

log = logging.getLogger(__name__)

T = TypeVar("T")

SCHEMES = ("s3", "gs")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between attempts; each pause is twice the one before
GONE = {"404", "NoSuchKey", "NoSuchBucket"}
REFUSED = {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}


class StoreError(UserError):
    """A store cannot read or write a file.

    An error in a loader's worker arrives as text with a traceback in front: only the message is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rsplit("StoreError: ", 1)[-1].strip())


class MissingError(StoreError):
    """There is no such file."""

    def __init__(self, message: str) -> None:
        super().__init__(message.rsplit("MissingError: ", 1)[-1].strip())


class Store(Protocol):
    """Files by names with forward slashes.

    Attributes:
        url: of the store, for messages.
    """

    url: str

    def get(self, name: str, target: Path, patience: float = 0.0) -> None:
        """Copy a file to ``target``; requests are repeated for ``patience`` seconds while the store does not answer."""
        ...

    def put(self, source: Path, name: str) -> None:
        """Store a file; an existing file of that name is replaced atomically."""
        ...

    def has(self, name: str) -> bool: ...

    def is_empty(self) -> bool: ...


class FolderStore:
    """A local or mounted folder.

    Args:
        root: the folder; created at the first ``put``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def get(self, name: str, target: Path, patience: float = 0.0) -> None:
        try:
            shutil.copyfile(self.root / name, target)
        except FileNotFoundError as error:
            raise MissingError(f"there is no {str(self.root / name)!r}.") from error

    def put(self, source: Path, name: str) -> None:
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            shutil.copyfile(source, temporary)
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoreError(f"{str(target)!r} cannot be written: {error.strerror}.") from error

    def has(self, name: str) -> bool:
        return (self.root / name).is_file()

    def is_empty(self) -> bool:
        return not self.root.exists() or not any(self.root.iterdir())


class ObjectStore:
    """A prefix of a bucket. boto3, or Google's client, finds the credentials.

    Args:
        url: ``s3://bucket/prefix`` or ``gs://bucket/prefix``.
        endpoint_url: of an S3-compatible server; None: Amazon's, or that of ``AWS_ENDPOINT_URL``.
    """

    def __init__(self, url: str, endpoint_url: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.endpoint_url = endpoint_url
        self._provider: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_provider": None}  # clients cannot be shared between processes

    @property
    def provider(self) -> Any:
        if self._provider is None:
            self._provider = open_provider(self.url, self.endpoint_url)
        return self._provider

    def get(self, name: str, target: Path, patience: float = 0.0) -> None:
        self._try(lambda: self.provider.download_file(f"{self.url}/{name}", str(target)), name, patience)

    def put(self, source: Path, name: str) -> None:
        self._try(lambda: self.provider.upload_file(str(source), f"{self.url}/{name}"), name, LONGEST_PAUSE)

    def has(self, name: str) -> bool:
        try:
            return bool(self._try(lambda: self.provider.exists(f"{self.url}/{name}"), name, LONGEST_PAUSE))
        except MissingError:
            return False

    def is_empty(self) -> bool:
        return bool(self._try(lambda: self.provider.is_empty(self.url), "", LONGEST_PAUSE))

    def _try(self, action: Callable[[], T], name: str, patience: float) -> T:
        """Run the action, and repeat it while the store does not answer.

        Raises:
            StoreError: there was no answer within ``patience`` seconds, or the store refused.
        """
        what, pause, deadline = f"{self.url}/{name}", FIRST_PAUSE, time.monotonic() + patience
        while True:
            try:
                return action()
            except Exception as error:
                reason = refusal(error, what, self.endpoint_url)
                if reason is not None:
                    raise reason from error
                left = deadline - time.monotonic()
                if left <= 0:
                    raise StoreError(
                        f"the object store does not answer: {what} ({short(error)}), after {patience:.0f} seconds of "
                        "repeated requests. When it answers again, resume a training with: fit --resume last"
                    ) from error
                log.warning("%s: no answer (%s); requests are repeated for %.0f s", what, short(error), left)
                time.sleep(min(pause, left))
                pause = min(2 * pause, LONGEST_PAUSE)


def open_store(url: str, endpoint_url: str | None = None) -> Store:
    """The store at a path or URL.

    Raises:
        UserError: the URL has no bucket, or its scheme is not supported.
    """
    parsed = urlparse(url)
    if "://" not in url:
        return FolderStore(Path(url))
    if parsed.scheme not in SCHEMES or not parsed.netloc:
        known = " or ".join(f"{scheme}://bucket/folder" for scheme in SCHEMES)
        raise UserError(f"{url!r} cannot be a packed data set: only a folder, or {known}, can.")
    return ObjectStore(url, endpoint_url)


def open_provider(url: str, endpoint_url: str | None) -> Any:
    """Litdata's access to a bucket, without its own retries: ``ObjectStore`` repeats requests, with a message."""
    require_litdata()
    from litdata.streaming import fs_provider

    if url.startswith("gs://"):
        try:
            return fs_provider.GCPFsProvider()
        except ModuleNotFoundError as error:
            raise StoreError(
                "google-cloud-storage is not installed. It is needed for gs:// buckets: install the extra 'google': "
                "uv sync --extra streaming --extra google, or pip install -e '.[streaming,google]'."
            ) from error
    from botocore.config import Config

    once = Config(  # type: ignore[no-untyped-call]
        retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=10, read_timeout=60
    )
    options = {"endpoint_url": endpoint_url} if endpoint_url else {}
    try:
        provider = fs_provider.S3FsProvider({"config": once, **options})
        provider.client.client  # noqa: B018, created here, where a wrong address can be distinguished from no answer
    except ValueError as error:
        raise StoreError(f"{endpoint_url or url!r} is not an address of an object store: {error}.") from error
    return provider


def require_litdata() -> None:
    """Raise a UserError where litdata is not installed."""
    try:
        import litdata  # noqa: F401
    except ImportError as error:
        raise UserError(
            "litdata is not installed. It packs data sets and reads them from object stores: install the extra "
            "'streaming': uv sync --extra streaming, or pip install -e '.[streaming]'."
        ) from error


def refusal(error: Exception, what: str, endpoint_url: str | None) -> StoreError | None:
    """The error to raise where repeating the request cannot help; None where it may help."""
    if isinstance(error, StoreError):
        return error
    origin = error if hasattr(error, "response") else error.__context__  # boto3 wraps what an upload raises
    answer = getattr(origin, "response", None)
    code = str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""
    if code in GONE or type(error).__name__ == "NotFound":
        kind = "bucket" if code == "NoSuchBucket" else "bucket or file"
        return MissingError(f"there is no such {kind}: {what}{f' at {endpoint_url}' if endpoint_url else ''}.")
    if code in REFUSED or "Credentials" in type(error).__name__ or type(error).__name__ == "Forbidden":
        return StoreError(
            f"the object store refuses {what}: {short(error)}. Credentials come from the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), from ~/.aws, or from the role of the machine."
        )
    is_answered = bool(code) and not code.startswith("5") and code not in {"SlowDown", "InternalError", "429"}
    wrong_name = type(error).__name__ in {"ParamValidationError", "InvalidRegionError"}
    return StoreError(f"{what}: {short(error)}.") if is_answered or wrong_name else None


def short(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def read_file(store: Store, name: str, patience: float = 0.0) -> bytes:
    """The content of a small file."""
    if isinstance(store, FolderStore):
        try:
            return (store.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingError(f"there is no {str(store.root / name)!r}.") from error
    with TemporaryDirectory() as folder:
        store.get(name, Path(folder) / "file", patience)
        return (Path(folder) / "file").read_bytes()


def write_file(store: Store, name: str, content: bytes) -> None:
    with TemporaryDirectory() as folder:
        source = Path(folder) / "file"
        source.write_bytes(content)
        store.put(source, name)
