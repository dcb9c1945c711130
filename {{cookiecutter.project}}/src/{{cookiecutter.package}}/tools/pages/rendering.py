"""HTML pages of one file each, without JavaScript: templates, number formats and embedded pictures."""

import base64
import re
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup, escape
from PIL import Image, ImageOps
from torch import Tensor

from ...files import write_text

SIDE = 160  # of photographs, in pixels
SIDE_KEPT = 64  # up to which every pixel of an image is kept


def write_page(file: Path, package: str, filters: dict[str, Callable[..., Any]] | None = None, **values: Any) -> None:
    """Render a package's ``page.html``, which can extend ``base.html`` and use the macro of ``picture.html``.

    The page can use the given filters and values, the filters below, and ``date``, the current time.
    """
    loader = ChoiceLoader([PackageLoader(package, "."), PackageLoader(__package__, ".")])
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    shared = (breakable, count, duration, number, percent, two_digits)
    environment.filters |= {function.__name__: function for function in shared} | (filters or {})
    page = environment.get_template("page.html").render(values, date=datetime.now().strftime("%Y-%m-%d %H:%M"))
    write_text(file, page)


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def number(value: float) -> str:
    return f"{value:,}"


def count(num: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: ``1 image``, ``1,011 images``."""
    return f"{num:,} {noun if num == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """A duration: ``5.3 s``, ``28 min 40 s``, ``2 h 03 min``."""
    if seconds < 59.5:
        return f"{two_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def two_digits(value: float) -> str:
    """A measured time to two digits or the whole number: 1.9, 83, 120."""
    if value < 0.01:
        return "< 0.01"
    return f"{value:.2g}" if value < 9.95 else f"{value:.0f}"


def breakable(name: str) -> Markup:
    """A long name that a narrow column may break after ``_``, ``.`` and ``/``."""
    return Markup(re.sub(r"([_./])", r"\1<wbr>", str(escape(name))))


def thumbnail(image: Tensor | Path | Image.Image, side: int = SIDE) -> str:
    """A data URL of a uint8 tensor (C, H, W), a file (turned upright) or a picture: a PNG if small, else a JPEG."""
    if isinstance(image, Path):
        with Image.open(image) as opened:
            opened.draft("RGB", (2 * side, 2 * side))  # JPEG only: decodes at a smaller scale, which is faster
            image = ImageOps.exif_transpose(opened).convert("RGB")
    elif isinstance(image, Tensor):
        array = image.permute(1, 2, 0).contiguous().numpy()
        image = Image.fromarray(array.squeeze(axis=2) if array.shape[2] == 1 else array)
    if max(image.size) <= SIDE_KEPT:
        return data_url(image, "PNG")
    image.thumbnail((side, side))
    return data_url(image, "JPEG")


def data_url(picture: Image.Image, kind: str) -> str:
    stream = BytesIO()
    picture.save(stream, kind, quality=80)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
