"""Uploads that a server must refuse, and others that must not harm it."""

import base64
import json
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from PIL import Image

from .serving import Answer, Server, form

JSON = {"Content-Type": "application/json"}
TOO_MANY_BYTES, TOO_MANY_IMAGES = 21 * 2**20, 17


@dataclass
class Upload:
    """A request, and the status codes that are right answers to it."""

    kind: str
    body: bytes
    headers: dict[str, str]
    allowed: set[int] = field(default_factory=lambda: {400, 413, 415, 422})
    is_chunked: bool = False


def uploads(number: int, seed: int) -> Iterator[Upload]:
    """``number`` uploads, of each kind in turn."""
    rng = random.Random(seed)
    kinds = [truncated, bomb, no_image, wrong_field, wrong_json, broken_form, huge, empty, too_many, no_range]
    for position in range(number):
        yield kinds[position % len(kinds)](rng)


def doubtful_uploads(number: int, seed: int) -> Iterator[Upload]:
    """Image files with other bytes at some places, which a decoder may notice or not, and headers without effect."""
    rng = random.Random(seed)
    for _ in range(number):
        content = bytearray(image_file(rng))
        for _ in range(rng.randint(1, 30)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        upload = one("damaged", bytes(content), 200, 413, 415, 422)
        if rng.random() < 0.1:
            upload.headers |= {
                "Content-Encoding": "gzip",
                "Content-Type": f"{upload.headers['Content-Type']}; charset=x",
            }
            upload.allowed |= {400}
        yield upload


def send(server: Server, upload: Upload) -> tuple[Upload, Answer]:
    if not upload.is_chunked:
        return upload, server.post(upload.body, upload.headers)
    chunks = (upload.body[start : start + 2**16] for start in range(0, len(upload.body), 2**16))
    return upload, server.post(chunks, upload.headers)


def one(kind: str, content: bytes, *allowed: int) -> Upload:
    upload = Upload(kind, *form([("images", content)]))
    upload.allowed = set(allowed) or upload.allowed
    return upload


def image_file(rng: random.Random) -> bytes:
    """A photograph-like file of noise, in one of the formats that are served."""
    pixels = np.frombuffer(rng.randbytes(64 * 48 * 3), np.uint8).reshape(48, 64, 3)
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, rng.choice(["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"]))
    return stream.getvalue()


def truncated(rng: random.Random) -> Upload:
    content = image_file(rng)
    return one("truncated", content[: rng.randrange(1, int(0.9 * len(content)))], 415, 422)


def png(width: int, height: int, data: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb(rng: random.Random) -> Upload:
    """A small file with hundreds of millions of pixels, or one that says so."""
    size = rng.randrange(20_000, 60_000)
    black = zlib.compress(bytes(10_000_000))
    tiff = BytesIO()
    Image.new("1", (20_000, 20_000)).save(tiff, "TIFF", compression="group4")
    choices = [
        png(size, size, black),
        b"GIF89a" + struct.pack("<HH", size, size) + b"\x80\0\0" + bytes(6) + b",\0\0\0\0\1\0\1\0\0\2\2L\1\0;",
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 200, 0, 54, 40, size, size, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(150),
        tiff.getvalue(),
    ]
    return one("bomb", rng.choice(choices), 413)


def no_image(rng: random.Random) -> Upload:
    choices = [
        rng.randbytes(rng.randrange(1, 5_000)),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\n",
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><script>alert(1)</script></svg>",
        b"PK\3\4" + rng.randbytes(100),
        b"\xff\xd8\xff" + rng.randbytes(100),
        b"\x89PNG\r\n\x1a\n" + rng.randbytes(100),
        b"<?php system('id'); ?>",
    ]
    return one("no image", rng.choice(choices), 415, 422)


def wrong_field(rng: random.Random) -> Upload:
    content = image_file(rng)
    parts: list[list[tuple[str, bytes | str]]] = [
        [("file", content)],
        [("images", "text")],
        [("images", content), ("../../etc/passwd", content)],
        [("", content)],
    ]
    return Upload("wrong field", *form(rng.choice(parts)))


def wrong_json(rng: random.Random) -> Upload:
    text = base64.b64encode(image_file(rng)).decode()
    bodies = [
        "{",
        "[" * 100_000,
        "null",
        "[]",
        json.dumps([text]),
        json.dumps({"images": {"a": text}}),
        json.dumps({"images": [text, 3]}),
        json.dumps({"images": [f"{text[:-9]}!"]}),
        json.dumps({"images": "é\ud800"}),
        json.dumps({"picture": text}),
        '{"images": NaN}',
        "9" * 10_000,
        "\x00",
    ]
    return Upload("wrong JSON", rng.choice(bodies).encode(), JSON)


def broken_form(rng: random.Random) -> Upload:
    body, headers = form([("images", image_file(rng))])
    choices = [
        (body, {"Content-Type": "multipart/form-data"}),
        (body, {"Content-Type": "multipart/form-data; boundary=other"}),
        (body[: len(body) // 2], headers),
        (body.replace(b'name="images"', b"", 1), headers),
        (form([("images", "text")])[0].replace(b"images", b"\xff"), headers),
        (body, {"Content-Type": "image/png"}),
        (body, {"Content-Type": "application/x-www-form-urlencoded"}),
        (body, {"Content-Type": "application/json"}),
    ]
    return Upload("broken form", *rng.choice(choices))


def huge(rng: random.Random) -> Upload:
    body, headers = form([("images", bytes(TOO_MANY_BYTES))])
    return Upload("huge", body, headers, {413}, is_chunked=rng.random() < 0.5)


def empty(rng: random.Random) -> Upload:
    kinds: list[dict[str, str]] = [{}, JSON, {"Content-Type": "multipart/form-data; boundary=x"}]
    choices = [Upload("empty", b"", headers) for headers in kinds]
    return rng.choice(
        [*choices, one("empty", b""), Upload("empty", *form([])), Upload("empty", b'{"images": []}', JSON)]
    )


def too_many(rng: random.Random) -> Upload:
    content = image_file(rng)
    if rng.random() < 0.5:
        return Upload("too many", *form([("images", content)] * TOO_MANY_IMAGES))
    text = base64.b64encode(content).decode()
    return Upload("too many", json.dumps({"images": [text] * TOO_MANY_IMAGES}).encode(), JSON)


def no_range(rng: random.Random) -> Upload:
    stream = BytesIO()
    Image.fromarray(np.full((8, 8), rng.random(), np.float32)).save(stream, "TIFF")
    return one("no range", stream.getvalue(), 422)
