"""HTML pages of one file each, without JavaScript: templates, number formats and embedded pictures."""

from __future__ import annotations

import base64
from collections.abc import Callable
from io import BytesIO
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup, escape
from PIL import Image
from torch import Tensor

SIDE = 160  # of photographs, in pixels
SIDE_KEPT = 64  # up to which every pixel of an image is kept


def render(package: str, filters: dict[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """Render a package's ``page.html``, which includes ``style.html`` of this package.

    Args:
        package: name of the package.
        filters: beside those of all pages.
        values: what the template shows, by name.
    """
    loader = ChoiceLoader([PackageLoader(package, "."), PackageLoader(__package__, ".")])
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "breakable": breakable,
        "count": count,
        "duration": duration,
        "number": number,
        "percent": percent,
        "two_digits": two_digits,
    }
    environment.filters |= filters or {}
    return environment.get_template("page.html").render(values)


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def number(value: float) -> str:
    return f"{value:,}"


def count(num: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: ``1 image``, ``1,011 images``."""
    return f"{num:,} {noun if num == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """The one format of a duration: ``5.3 s``, ``28 min 40 s``, ``2 h 03 min``."""
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
    parts = str(escape(name))
    for mark in "_./":
        parts = parts.replace(mark, f"{mark}<wbr>")
    return Markup(parts)


def thumbnail(image: Tensor) -> str:
    """A data URL of an image, uint8 (C, H, W)."""
    array = image.permute(1, 2, 0).contiguous().numpy()
    return picture_url(Image.fromarray(array.squeeze(axis=2) if array.shape[2] == 1 else array))


def picture_url(picture: Image.Image, side: int = SIDE) -> str:
    """A data URL: a PNG of a small picture, a JPEG of at most ``side`` pixels of any other."""
    if max(picture.size) <= SIDE_KEPT:
        return data_url(picture, "PNG")
    picture.thumbnail((side, side))
    return data_url(picture, "JPEG")


def data_url(picture: Image.Image, kind: str) -> str:
    stream = BytesIO()
    picture.save(stream, kind, quality=80)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
