"""What a training on very many images needs in disk, network, hosts and hours, as a table in Markdown.

    python benchmarks/scaling/plan.py
    python benchmarks/scaling/plan.py --images_per_second 2500 --hours 24

The rates are those of ``rates.py`` on two cores, or yours; the rest is arithmetic, and stated beside the table.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

LABEL_BYTES, DIGEST_BYTES, NAME_BYTES = 4, 8, 60  # in the tables of a split
CHUNK_BYTES = 64e6


@dataclass(frozen=True)
class Way:
    """How images are stored.

    Attributes:
        name: as ``pack`` has it.
        image_bytes: of an image as stored.
        images_per_second_and_core: that loader and augmentation give one core.
    """

    name: str
    image_bytes: float
    images_per_second_and_core: float


@dataclass(frozen=True)
class Wish:
    """What is to be trained, on what.

    Attributes:
        num_images: of the training split.
        epochs: over them.
        images_per_second: that the model of one host takes.
        hours: in which it should be done.
        packed_per_second_and_core: images that ``pack`` writes.
        cores: of the host that packs.
    """

    num_images: float
    epochs: int
    images_per_second: float
    hours: float
    packed_per_second_and_core: float
    cores: int


def row(wish: Wish, way: Way) -> list[str]:
    stored = wish.num_images * way.image_bytes
    hosts = max(1, math.ceil(wish.num_images * wish.epochs / wish.images_per_second / 3600 / wish.hours))
    hours = wish.num_images * wish.epochs / wish.images_per_second / 3600 / hosts
    gigabits = wish.images_per_second * way.image_bytes * 8 / 1e9
    packing = wish.num_images / wish.packed_per_second_and_core / wish.cores / 3600
    return [
        f"{wish.num_images / 1e6:,.0f} million",
        way.name,
        f"{stored / 1e12:,.2f} TB",
        f"{stored / CHUNK_BYTES:,.0f}",
        f"{wish.num_images * (LABEL_BYTES + DIGEST_BYTES + NAME_BYTES) / 1e9:,.2f} GB",
        f"{packing:,.1f} h" if packing >= 1 else f"{60 * packing:.0f} min",
        f"{hosts}",
        f"{hours:,.1f} h",
        f"{gigabits:.1f} Gbit/s",
        f"{math.ceil(wish.images_per_second / way.images_per_second_and_core)}",
        f"{stored * wish.epochs / 1e12:,.0f} TB",
    ]


HEADINGS = ["images", "stored", "disk", "chunks", "tables", "packing", "hosts", "training", "network a host",
            "cores a host", "read in all"]  # fmt: skip


def table(rows: list[list[str]]) -> str:
    lines = [HEADINGS, ["---", "---", *["---:"] * (len(HEADINGS) - 2)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--file_bytes", type=float, default=112e3, help="of an image file as it is")
    add("--jpeg_bytes", type=float, default=26e3, help="of one shrunk to 256 pixels, quality 90")
    add("--size", type=int, default=224, help="of decoded images")
    add("--epochs", type=int, default=30)
    add("--images_per_second", type=float, default=2500, help="that the model of one host takes")
    add("--hours", type=float, default=72, help="in which a training should be done")
    add("--files_rate", type=float, default=264, help="images a second and core, decoded from files as they are")
    add("--jpeg_rate", type=float, default=515, help="as --files_rate, of shrunk files")
    add("--decoded_rate", type=float, default=1428, help="as --files_rate, of decoded images, augmented")
    add("--pack_rate", type=float, default=181, help="images a second and core that pack writes")
    add("--pack_cores", type=int, default=32)
    given = parser.parse_args()
    ways = [
        Way("files", given.file_bytes, given.files_rate),
        Way("JPEG, 256 pixels", given.jpeg_bytes, given.jpeg_rate),
        Way(f"decoded, {given.size} pixels", 3 * given.size**2, given.decoded_rate),
    ]
    sizes = [1e6, 100e6]
    wishes = [
        Wish(number, given.epochs, given.images_per_second, given.hours, given.pack_rate, given.pack_cores)
        for number in sizes
    ]
    print(table([row(wish, way) for wish in wishes for way in ways]))


if __name__ == "__main__":
    main()
