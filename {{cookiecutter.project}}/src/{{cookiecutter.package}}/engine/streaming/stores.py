"""Stores of packed data sets: a folder, or a prefix of a bucket, which litdata's clients access."""

import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlparse

from ...errors import UserError
from ...files import reason_of, replacing
from ...predictor import read_file

log = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0  # seconds between two requests


class StoreError(UserError):
    """A store cannot read or write a file."""


class MissingError(StoreError):
    """There is no such file."""


@dataclass(frozen=True)
class Chunk:
    """A file of many images, in litdata's format."""

    name: str  # of the file in the store
    num_images: int
    num_bytes: int
    sha256: str

    def is_intact(self, file: Path) -> bool:
        """Whether a file exists and has the content of the chunk."""
        if not file.is_file() or file.stat().st_size != self.num_bytes:
            return False
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256


class FolderStore:
    """A local or mounted folder, which the first ``write`` creates. Names of files have forward slashes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def read(self, name: str, patience: float = 0.0) -> bytes:
        """The content of a small file."""
        try:
            return read_file(self.root / name)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingError(f"there is no {str(self.root / name)!r}.") from error

    def write(self, name: str, content: bytes) -> None:
        """Store a file; an existing file of that name is replaced atomically."""
        target = self.root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target, "wb") as stream:
                stream.write(content)
        except OSError as error:
            raise StoreError(f"{str(target)!r} cannot be written: {reason_of(error)}") from error

    def has(self, chunk: Chunk) -> bool:
        """Whether the chunk is there, with its content."""
        return chunk.is_intact(self.root / chunk.name)

    def is_empty(self) -> bool:
        return not self.root.exists() or not any(self.root.iterdir())


class ObjectStore:
    """A prefix of a bucket (``s3://`` or ``gs://``), which litdata's clients access.

    Not obstore, whose requests hang in forked processes, such as the workers of a loader (obstore 0.12, issue 4301 of
    tokio-rs/tokio), and not s3fs, which needs an older botocore than litdata's boto3.
    """

    def __init__(self, url: str, endpoint_url: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.endpoint_url = endpoint_url

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "endpoint_url": self.endpoint_url}  # a client cannot be sent to another process

    @cached_property
    def client(self) -> Any:
        """Litdata's client, without its own retries: ``_try`` repeats requests, with a message."""
        require_litdata()
        from litdata.streaming import fs_provider

        if self.url.startswith("gs://"):
            try:
                return fs_provider.GCPFsProvider()
            except ModuleNotFoundError as error:
                raise StoreError(
                    "google-cloud-storage is not installed. It is needed for gs:// buckets: install the extra "
                    "'google': uv sync --extra streaming --extra google, or pip install -e '.[streaming,google]'."
                ) from error
        from botocore.config import Config

        once = {"total_max_attempts": 1, "mode": "standard"}
        config = Config(retries=once, connect_timeout=10, read_timeout=60)  # type: ignore[no-untyped-call]
        try:
            found = fs_provider.S3FsProvider({"config": config, "endpoint_url": self.endpoint_url})
            found.client.client  # noqa: B018, created here, where a wrong address can be told from no answer
        except ValueError as error:
            where = self.endpoint_url or self.url
            raise StoreError(f"{where!r} is not an address of an object store: {error}.") from error
        return found

    def download(self, name: str, target: Path, patience: float) -> None:
        """Copy a file to ``target``; requests are repeated for ``patience`` seconds while the store does not answer."""
        self._try(lambda: self.client.download_file(f"{self.url}/{name}", str(target)), name, patience)

    def read(self, name: str, patience: float = 0.0) -> bytes:
        """The content of a small file; requests are repeated as by ``download``."""
        with TemporaryDirectory() as folder:
            self.download(name, Path(folder) / "file", patience)
            return (Path(folder) / "file").read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Store a file; an existing file of that name is replaced atomically."""
        with TemporaryDirectory() as folder:
            source = Path(folder) / "file"
            source.write_bytes(content)
            self._try(lambda: self.client.upload_file(str(source), f"{self.url}/{name}"), name, LONGEST_PAUSE)

    def has(self, chunk: Chunk) -> bool:
        """Whether there is a file of that name; its content is not read."""
        return self._try(lambda: self.client.exists(f"{self.url}/{chunk.name}"), chunk.name, LONGEST_PAUSE)

    def is_empty(self) -> bool:
        return self._try(lambda: self.client.is_empty(self.url), "", LONGEST_PAUSE)

    def _try(self, request: Callable[[], Any], name: str, patience: float) -> Any:
        """Repeat a request while the store does not answer; raises a StoreError after ``patience`` seconds."""
        what, pause, deadline = f"{self.url}/{name}", 0.5, time.monotonic() + patience
        while True:
            try:
                return request()
            except StoreError:
                raise
            except Exception as error:
                if final := final_error(error, what, self.endpoint_url):
                    raise final from error
                left = deadline - time.monotonic()
                if left <= 0:
                    raise StoreError(
                        f"the object store does not answer: {what} ({short(error)}), after {patience:.0f} seconds of "
                        "repeated requests. When it answers again, resume a training with: fit --resume last"
                    ) from error
                log.warning("%s: no answer (%s); requests are repeated for %.0f s", what, short(error), left)
                time.sleep(min(pause, left))
                pause = min(2 * pause, LONGEST_PAUSE)


Store = FolderStore | ObjectStore


def open_store(url: str, endpoint_url: str | None = None) -> Store:
    """The store at a path or URL; refuses an address that holds a password."""
    for address in (url, endpoint_url or ""):
        if "://" in address and "@" in urlparse(address).netloc:
            raise UserError(
                f"{re.sub('//[^/]*@', '//***@', address)!r} holds a user name or a password, which would be "
                "written into config.yaml and sent to W&B. Leave it out, and put credentials into the environment "
                "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or ~/.aws."
            )
    if "://" not in url:
        return FolderStore(Path(url))
    parsed = urlparse(url)
    if parsed.scheme not in {"s3", "gs"} or not parsed.netloc:
        raise UserError(
            f"{url!r} cannot be a packed data set: only a folder, or s3://bucket/folder or gs://bucket/folder, can."
        )
    return ObjectStore(url, endpoint_url)


def require_litdata() -> None:
    """Raise a UserError where litdata is not installed."""
    try:
        import litdata  # noqa: F401
    except ImportError as error:
        raise UserError(
            "litdata is not installed. It packs data sets and reads them from object stores: install the extra "
            "'streaming': uv sync --extra streaming, or pip install -e '.[streaming]'."
        ) from error


def final_error(error: Exception, what: str, endpoint_url: str | None) -> StoreError | None:
    """The error to raise if repeating the request cannot help; None if it may help."""
    origin = error if hasattr(error, "response") else error.__context__  # boto3 wraps the error of an upload
    answer = getattr(origin, "response", None)  # a dictionary, if boto3 has received one
    name, status = type(error).__name__, getattr(error, "code", None) or 0  # Google's errors have a code
    if isinstance(answer, dict):
        name, status = answer["Error"].get("Code", ""), answer["ResponseMetadata"]["HTTPStatusCode"]
    if status == 404:
        kind = "bucket" if name == "NoSuchBucket" else "bucket or file"
        return MissingError(f"there is no such {kind}: {what}{f' at {endpoint_url}' if endpoint_url else ''}.")
    if status in {401, 403} or name == "ExpiredToken" or "Credentials" in name:
        return StoreError(
            f"the object store refuses {what}: {short(error)}. Credentials come from the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), from ~/.aws, or from the role of the machine."
        )
    is_busy = status == 429 or status >= 500 or name == "RequestTimeout"
    if (status and not is_busy) or name in {"ParamValidationError", "InvalidRegionError"}:
        return StoreError(f"{what}: {short(error)}.")
    return None


def short(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
