"""Which answers of a store end a run; and a packed data set in an emulator of Google's object store."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from gcp_storage_emulator.server import create_server
from google.api_core import exceptions as google

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import StreamingImageDataModule
from {{cookiecutter.package}}.engine.streaming.stores import (
    FolderStore,
    MissingError,
    StoreError,
    final_error,
    open_store,
)
from {{cookiecutter.package}}.errors import UserError

from ...conftest import Fit


def answer(status: int, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (answer(404, "NoSuchBucket"), "there is no such bucket: s3://b/x"),
        (answer(404, "404"), "there is no such bucket or file: s3://b/x"),
        (answer(403, "SignatureDoesNotMatch"), "the object store refuses s3://b/x.*Credentials come from"),
        (answer(400, "ExpiredToken"), "the object store refuses s3://b/x.*Credentials come from"),
        (answer(400, "InvalidArgument"), "s3://b/x: An error occurred"),
        (answer(301, "PermanentRedirect"), "s3://b/x: An error occurred"),
        (google.NotFound("gone"), "there is no such bucket or file"),  # type: ignore[no-untyped-call]
        (google.Unauthorized("who"), "the object store refuses"),  # type: ignore[no-untyped-call]
        (answer(503, "ServiceUnavailable"), None),
        (answer(503, "SlowDown"), None),
        (answer(500, "InternalError"), None),
        (answer(429, "TooManyRequests"), None),
        (answer(400, "RequestTimeout"), None),
        (EndpointConnectionError(endpoint_url="http://h"), None),  # type: ignore[no-untyped-call]
        (google.ServiceUnavailable("later"), None),  # type: ignore[no-untyped-call]
        (TimeoutError(), None),
    ],
)
def test_requests_are_repeated_unless_the_answer_is_final(error: Exception, message: str | None) -> None:
    final = final_error(error, "s3://b/x", None)
    if message is None:
        assert final is None
    else:
        with pytest.raises(StoreError, match=message):
            raise final or error


def test_an_error_of_a_worker_keeps_its_message_only() -> None:
    text = "Caught MissingError in DataLoader worker process 0.\nOriginal Traceback\n  package.MissingError: no file.\n"
    assert str(MissingError(text)) == "no file."


@pytest.mark.parametrize(
    ("url", "endpoint_url"), [("s3://me:hunter2@bucket/photos", None), ("s3://bucket", "https://me:hunter2@host:9000")]
)
def test_addresses_with_passwords_are_refused_without_showing_them(url: str, endpoint_url: str | None) -> None:
    with pytest.raises(UserError, match=r"//\*\*\*@.*holds a user name or a password.*AWS_ACCESS_KEY_ID") as refused:
        open_store(url, endpoint_url)
    assert "hunter2" not in str(refused.value)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file.x' cannot be written: "):
        FolderStore(tmp_path / "file").write("x", b"1")
    assert (tmp_path / "file").read_text() == ""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="photos")  # type: ignore[no-untyped-call]
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield "gs://photos/all"
    server.stop()


def test_packed_and_trained_on(photos: Path, bucket: str, fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pack", str(photos), bucket, "--chunk_megabytes", "0.006"])
    capsys.readouterr()
    main(["pack", str(photos), bucket, "--chunk_megabytes", "0.006"])
    assert "of them existed before" in capsys.readouterr().out
    fit("--data", "StreamingImageDataModule", "--data.root", bucket, epochs=1)
    assert len(StreamingImageDataModule(bucket, image_size=16).split("test")) == 9


def test_a_bucket_that_is_not_there(bucket: str, fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fit("--data", "StreamingImageDataModule", "--data.root", bucket.replace("photos", "nowhere"))
    assert "there is no such bucket or file: gs://nowhere/all" in capsys.readouterr().err


def test_without_googles_package(
    bucket: str, fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = sys.modules.get("litdata.streaming.fs_provider") or pytest.importorskip("litdata.streaming.fs_provider")
    monkeypatch.setattr(provider, "_GOOGLE_STORAGE_AVAILABLE", False)
    with pytest.raises(SystemExit):
        fit("--data", "StreamingImageDataModule", "--data.root", bucket)
    assert "google-cloud-storage is not installed" in capsys.readouterr().err
