"""Starts a server process and sends requests to it."""

import http.client
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
SECONDS = 120  # until a server must answer


@dataclass
class Answer:
    """Status and body of a response."""

    status: int
    body: Any


@dataclass
class Server:
    """A server process."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def get(self, path: str) -> Answer:
        with connected(self.port) as connection:
            connection.request("GET", path)
            return read(connection)

    def post(self, body: bytes | Iterator[bytes], headers: Mapping[str, str]) -> Answer:
        with connected(self.port) as connection:
            connection.request("POST", "/predict", body, headers, encode_chunked=not isinstance(body, bytes))
            return read(connection)

    def predict(self, *contents: bytes) -> Answer:
        return self.post(*form([("images", content) for content in contents]))


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(HOST, port, timeout=SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def read(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    body = response.read()
    is_json = response.headers.get_content_type() == "application/json"
    return Answer(response.status, json.loads(body) if is_json else body)


def form(parts: Sequence[tuple[str, bytes | str]]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a form whose bytes are files and whose texts are fields."""
    boundary, body = secrets.token_hex(16), b""
    for name, content in parts:
        is_file = isinstance(content, bytes)
        file = '; filename="image"\r\nContent-Type: application/octet-stream' if is_file else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        body += (content if isinstance(content, bytes) else content.encode()) + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(command: Sequence[str], folder: Path, **environment: str) -> Iterator[Server]:
    """A server that ``command`` and ``--port`` start in ``folder``; it is stopped at the end of the block."""
    port, log = free_port(), folder / "server.log"
    with log.open("wb") as stream:
        words = [*command, "--port", str(port)]
        process = subprocess.Popen(words, cwd=folder, env=os.environ | environment, stdout=stream, stderr=stream)
    server = Server(process, port, log)
    try:
        wait_for(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(server: Server) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.process.poll() is None:
        try:
            if server.get("/health").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the server does not answer:\n{server.log.read_text(errors='replace')}")
