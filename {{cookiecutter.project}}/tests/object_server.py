"""A real S3-compatible server on this machine, which can go away and come back."""

from __future__ import annotations

import logging
import socket
import threading
import urllib.request
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer


class ObjectServer:
    """moto's server with one bucket, ``photos``."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server: ThreadedMotoServer | None = None
        self.start()
        self.client = boto3.client("s3", endpoint_url=self.url)  # type: ignore[no-untyped-call]
        self.client.create_bucket(Bucket="photos")

    def start(self) -> None:
        self.server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self.server.start()

    def stop(self) -> None:
        """Its content stays, as that of a real one does."""
        if self.server is not None:
            self.server.stop()
            self.server = None

    def start_in(self, seconds: float) -> None:
        threading.Timer(seconds, self.start).start()

    def forget(self) -> None:
        if self.server is None:
            self.start()
        urllib.request.urlopen(f"{self.url}/moto-api/reset", data=b"", timeout=5).close()

    def names(self) -> set[str]:
        """Of all objects."""
        return {found["Key"] for found in self.client.list_objects_v2(Bucket="photos").get("Contents", [])}


def running_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """A fixture: a server that the environment points to."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found = ObjectServer()
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
    yield found
    found.forget()
    found.stop()
