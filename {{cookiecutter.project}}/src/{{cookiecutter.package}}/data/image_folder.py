"""Data modules for image files: a folder with one subfolder per class, or any other index of files."""

import logging
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..engine.folder import MANIFEST, FolderIndex, assign, carve_files, index_folder, read_manifest
from ..engine.image_cache import DIGESTS, FileDigests, ImageCache, decode_into_memory, refuse_or_skip
from ..engine.images import Images, LabelledImages, UndecodedImages
from ..engine.reading import require_values
from ..engine.splits import SPLITS, Split, short_digests
from ..files import is_writable
from .base import DecodedDataModule

log = logging.getLogger(__name__)


class ImageFilesDataModule(DecodedDataModule):
    """Image files and their classes, as listed by ``index``, which subclasses define.

    Splits that the index does not have are carved from train by the content of the files: an image's split depends only
    on its content and ``split_seed``, so adding images moves none, and the fractions are approximate.

    Args:
        root: folder of images.
        splits: split manifest written by ``split``; None uses ``root/splits.csv`` if it exists, else split folders and
            fractions.
        cache: where decoded images are stored. ``auto`` decodes each file once for all runs and loads the images into
            memory if they fit into ``memory_budget_gb``; ``disk`` reads them from disk; ``memory`` decodes once per
            run and writes no files; ``none`` decodes every image in every epoch.
        cache_dir: folder of the image cache (``auto`` and ``disk``).
        unreadable: what to do with unreadable images. ``error`` lists them and stops; ``skip`` lists them and
            continues without them.
    """

    def __init__(
        self,
        root: str = "data/",
        splits: str | None = None,
        cache: Literal["auto", "memory", "disk", "none"] = "auto",
        cache_dir: str = "data/cache",
        unreadable: Literal["error", "skip"] = "error",
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        require_values(type(self), locals(), "data")
        self.root = Path(root)
        self.splits = splits
        self.cache = cache
        self.cache_dir = Path(cache_dir)
        self.unreadable = unreadable

    @cached_property
    @abstractmethod
    def index(self) -> FolderIndex:
        """Class names, and the files of each split or of ``train`` alone; see ``engine.folder.index_files``."""

    @property
    def class_names(self) -> list[str]:
        return self.index.class_names

    def train_labels(self) -> Tensor:
        return torch.tensor([label for _, label in self.split_files["train"]])  # without decoding the images

    @cached_property
    def split_files(self) -> dict[Split, list[tuple[Path, int]]]:
        """The files of all splits: from the manifest, else from the index, with missing splits carved from train."""
        manifest = Path(self.splits) if self.splits else self.root / MANIFEST
        if self.splits or manifest.exists():
            log.info("splits from %s", manifest)
            return assign(self.index, read_manifest(manifest), manifest)
        if self.index.files.keys() >= set(SPLITS):
            return self.index.files
        return carve_files(self.index, self.file_digests, self.fractions, self.split_seed)

    def prepare_data(self) -> None:
        """Decode new files into the cache, on one process."""
        if self.cache in {"auto", "disk"}:
            files = [file for files in self.split_files.values() for file, _ in files]
            ImageCache(self.cache_dir, self.decoding).open(files, self.file_digests, "decoding")

    def load_split(self, split: Split) -> LabelledImages:
        files = self.split_files[split]
        images, failures = self._open([file for file, _ in files], f"decoding {split}")
        if failures:
            refuse_or_skip(failures, f"{len(files)} {split} images", skip=self.unreadable == "skip")
        kept = [(file, label) for file, label in files if file not in failures]
        names = [file.relative_to(self.root).as_posix() for file, _ in kept]
        return LabelledImages(images, torch.tensor([label for _, label in kept]), names)

    def _open(self, files: list[Path], description: str) -> tuple[Images, dict[Path, str]]:
        """The images of the readable files, and the reason for each unreadable file."""
        if self.cache == "none":
            return UndecodedImages(files, self.decoding), {}
        if self.cache == "memory":
            return decode_into_memory(files, self.decoding, description)
        mapped, failures = ImageCache(self.cache_dir, self.decoding).open(files, self.file_digests, description)
        fits = len(mapped) > 0 and self.fits_in_memory(sum(map(len, self.split_files.values())))
        return (mapped.load() if fits and self.cache == "auto" else mapped), failures

    def load_digests(self, split: Split) -> Tensor:
        return short_digests(self.file_digests[self.root / name] for name in self.split(split).names)

    @cached_property
    def file_digests(self) -> dict[Path, str]:
        """Digest of each file's content, cached next to the decoded images."""
        is_known = (self.cache_dir / DIGESTS).is_file() and is_writable(self.cache_dir)
        is_remembered = self.cache in {"auto", "disk"} or is_known
        return FileDigests(self.cache_dir if is_remembered else None).of([file for file, _ in self.index.all_files()])


class ImageFolderDataModule(ImageFilesDataModule):
    """Images in ``root/<class>/*`` or ``root/{train,val,test}/<class>/*``; missing splits are carved from train."""

    @cached_property
    def index(self) -> FolderIndex:
        return index_folder(self.root)
