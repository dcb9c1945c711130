"""How an image is stored: as its file, as a smaller JPEG, or decoded."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from PIL import Image, ImageOps

from ..decoding import UNDECODABLE, Decoding, to_mode
from ..facts import Fit

Stored = Literal["files", "jpeg", "decoded"]
TRIAL_SIZE = 64  # pixels; files that are stored unchanged are decoded at this size as a check


@dataclass(frozen=True)
class Encoding:
    """How image files are stored.

    Attributes:
        stored: ``files`` keeps the bytes of the file, ``jpeg`` makes a smaller JPEG, ``decoded`` keeps pixels, which
            takes the most space and needs no decoding.
        image_size: the shorter side of a JPEG, or the side of a decoded square, in pixels.
        quality: of a JPEG.
        num_channels: 3 (RGB) or 1 (grey).
        fit: how decoded images are made square: see ``ImageFacts.fit``.
    """

    stored: Stored = "files"
    image_size: int | None = None
    quality: int | None = None
    num_channels: Literal[1, 3] = 3
    fit: Fit = "crop"

    @property
    def num_bytes(self) -> int | None:
        """Size of an image; None if sizes differ."""
        return self.decoding.num_bytes if self.stored == "decoded" else None

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.image_size or TRIAL_SIZE, self.num_channels, self.fit)

    def encode(self, content: bytes) -> bytes:
        """The bytes to store of a file with that content.

        Raises:
            OSError: it cannot be decoded.
        """
        if self.stored == "jpeg":
            return self._to_jpeg(content)
        pixels = self.decoding.decode(BytesIO(content))
        return pixels.tobytes() if self.stored == "decoded" else content

    def _to_jpeg(self, content: bytes) -> bytes:
        assert self.image_size is not None
        try:
            with Image.open(BytesIO(content)) as image:
                image.draft("RGB", (2 * self.image_size, 2 * self.image_size))
                ImageOps.exif_transpose(image, in_place=True)
                upright = to_mode(image, self.num_channels)
                scale = self.image_size / min(upright.size)
                if scale < 1:
                    width, height = (max(1, round(side * scale)) for side in upright.size)
                    upright = upright.resize((width, height), Image.Resampling.BILINEAR)
                stream = BytesIO()
                upright.save(stream, "JPEG", quality=self.quality or 90)
                return stream.getvalue()
        except UNDECODABLE as error:
            raise OSError(f"cannot decode: {error}") from error
