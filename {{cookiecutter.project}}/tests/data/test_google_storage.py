"""A packed data set in Google's object store, as an emulator of it on this machine has it."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gcp_storage_emulator.server import create_server

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import StreamingImageDataModule

from ..conftest import Fit


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
