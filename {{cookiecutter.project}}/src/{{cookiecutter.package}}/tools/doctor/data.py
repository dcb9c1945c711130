"""The data of a training: classes, splits, leaks, sizes, and what decoded images need in memory and on the disk."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule

from ...data import ImageDataModule, ImageFolderDataModule, MNISTDataModule
from ...data.base import DecodedDataModule
from ...data.image_folder import ImageFilesDataModule
from ...engine.backbones import backbone_problem, has_packaged_weights, is_downloaded, no_download
from ...engine.findings import Finding, refusal
from ...engine.image_cache import ImageCache, read_table
from ...engine.images import LabelledImages
from ...engine.seen_images import copies_advice, count_seen, trained_on
from ...engine.splits import SPLITS, Split
from ...errors import UserError, program_name
from ...files import megabytes, require_folder
from .doctor import Report
from .machine import available_memory, shared_memory
from .settings import Trial

MAX_AUDITED = 1000  # files; an audit of all is a verb of its own
LARGE_SHARE = 0.5  # of enlarged images
TEST_IMAGES = 50  # below which an accuracy means little
FEW_IMAGES = 5  # of a class to train on
MANY = 3  # findings of a kind, of which only the first is shown
GREY = {"1", "L", "LA", "I", "I;16", "F"}  # modes of Pillow


@dataclass
class DataFound:
    """What the checks of the data have found out about the training."""

    splits: dict[Split, LabelledImages] = field(default_factory=dict)
    seconds: float = 0.0  # to list, read and compare the images, without decoding
    num_undecoded: int = 0  # images that the training will decode before its first epoch
    num_bytes: float = 0.0  # of the decoded images in memory


def examine_data(report: Report, trial: Trial) -> DataFound | None:
    """Check the data, and open the splits; None if they are not there yet."""
    data, found, begin = trial.data, DataFound(), time.monotonic()
    report.add(examine_cache_folder(trial))
    if isinstance(data, MNISTDataModule) and not data.is_there:
        report.add(examine_download(data))
        return None
    try:
        for split in SPLITS:
            found.splits[split] = data.split(split)
    except (OSError, RuntimeError) as error:
        if isinstance(data, ImageFilesDataModule) or type(data).prepare_data is LightningDataModule.prepare_data:
            raise
        why = "fit calls prepare_data first, which may download it; until then, there is no forecast"
        report.add([Finding("note", "data", f"the data set cannot be read yet ({error})", why, "see its prepare_data")])
        return None
    report.add(examine_classes(data, found.splits, trial.arguments.get("imbalance", "none")))
    report.add(examine_leaks(trial))
    found.seconds = time.monotonic() - begin
    if isinstance(data, ImageFolderDataModule):
        report.add(examine_files(data))
    report.add(examine_space(trial, found))
    return found


def examine_classes(data: ImageDataModule, splits: dict[Split, LabelledImages], imbalance: str) -> Iterator[Finding]:
    """Images of each split, and the smallest class of the training."""
    names = data.facts.class_names
    counts = {split: images.labels.bincount(minlength=len(names)) for split, images in splits.items()}
    sizes = ", ".join(f"{int(of_split.sum()):,} {split}" for split, of_split in counts.items())
    of_class = list(zip(counts["train"].tolist(), names, strict=True))
    (least, smallest), (most, largest) = (min(of_class), max(of_class))
    extremes = f"{smallest!r} has {least:,} training images, {largest!r} has {most:,}"
    yield Finding("ok", "classes", f"{len(names)} classes; {sizes} images; {extremes}")
    if most >= 10 * max(least, 1) and imbalance == "none":
        remedy = "--data.imbalance loss_weights, and --monitor val/balanced_acc"
        why = "a model that ignores small classes has a high accuracy"
        yield Finding("warning", "classes", extremes, why, remedy)
    elif least < FEW_IMAGES:
        remedy = "add images of it, or hold out fewer: --data.val_fraction, --data.test_fraction"
        yield Finding("warning", "classes", extremes, "a model learns little about a class of few images", remedy)
    for split in ("val", "test"):
        if missing := [name for name, number in zip(names, counts[split], strict=True) if not number]:
            what = f"no {split} images of {', '.join(missing[:5])}"
            why = "results say nothing about these classes"
            remedy = f"add {split} images of them, or remove the {split} folder, so that {split} is carved from train"
            yield Finding("warning", "classes", what, why, remedy)
    if (number := int(counts["test"].sum())) < TEST_IMAGES:
        what = f"{number} test images"
        why = f"one image is {100 / max(number, 1):.0f} % of accuracy, so differences of this size mean nothing"
        yield Finding("note", "classes", what, why, "add images, or raise --data.test_fraction")


def examine_leaks(trial: Trial) -> Iterator[Finding]:
    """Test images that are also training images, or were used to train the initial weights."""
    earlier = trial.origin.earlier
    seen = count_seen(trained_on(trial.data, earlier), trial.data, "test")
    if not seen:
        return
    copies = count_seen(trained_on(trial.data, None), trial.data, "test")
    if copies != seen and not trial.command.config.allow_trained_images:
        remedy = "remove them from the test split, start from other weights, or give --allow_trained_images"
        yield Finding("error", "leaks", seen.sentence, "fit refuses weights that have seen the test images", remedy)
    else:
        advice = copies_advice(trial.data)
        yield Finding("warning", "leaks", seen.sentence, "the result does not hold for new images", advice)


def examine_cache_folder(trial: Trial) -> Iterator[Finding]:
    if trial.cache in {"auto", "disk"}:
        try:
            require_folder(Path(trial.arguments["cache_dir"]), "data.cache_dir")
        except UserError as error:
            yield refusal("data", error)


def examine_download(data: MNISTDataModule) -> Iterator[Finding]:
    """A data set that ``fit`` will download: whether it can."""
    if problem := data.download_problem():
        yield refusal("data", data.not_there(problem))
    else:
        what = f"data.root is {data.root!r}, without the files of {type(data).__name__}"
        why = "fit downloads them first; until then, there is no forecast"
        remedy = "--data.root with the folder that holds them, if they are on this machine"
        yield Finding("note", "data", what, why, remedy)


# Files of a folder.


def examine_files(data: ImageFolderDataModule) -> Iterator[Finding]:
    """The findings of ``audit``, which opens up to ``MAX_AUDITED`` files; none if that tool was deleted."""
    try:
        from ..audit import findings as audit  # type: ignore[import-not-found, unused-ignore]
        from ..audit.inspection import inspect_folder  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:
        return
    files = inspect_folder(data.index, MAX_AUDITED)
    num_files = len(data.index.all_files())
    command = f"{program_name()} audit {data.root}"
    if len(files) < num_files:
        what = f"{len(files):,} of {num_files:,} files were opened"
        yield Finding("note", "audit", what, "problems of the others are not found here", command)
    of_sample = {"tiny class"} if len(files) < num_files else set()
    known = {"imbalance", "missing class", *of_sample}  # examine_classes knows all files
    findings = [found for found in audit.audit(files) if found.kind not in known]
    numbers, told = Counter(found.kind for found in findings), set()
    for found in findings:
        number = numbers[found.kind]
        if number > MANY and found.kind in told:
            continue
        told.add(found.kind)
        is_fatal = found.kind == "unreadable" and found.severity == "error" and data.unreadable == "error"
        severity = "error" if is_fatal else "warning" if found.severity == "error" else found.severity
        how_often = f"{number} times; the first: " if number > MANY else ""
        message = f"{found.kind}: {how_often}{found.message.rstrip('.')}"
        if found.severity == "note":
            yield Finding("ok", "audit", message)
            continue
        examples = ", ".join(file.path.relative_to(data.root).as_posix() for file in found.files[:3])
        what = f"{message}{f' ({examples})' if examples else ''}"
        yield Finding(severity, "audit", what, *judged(found, command))
    good = [file for file in files if not file.problem]
    yield from examine_sizes(data, [min(file.width, file.height) for file in good])
    yield from examine_channels(data.decoding.num_channels, [file.mode in GREY for file in good])


def examine_channels(num_channels: int, is_grey: Sequence[bool]) -> Iterator[Finding]:
    """Compare the colours of the files with the channels that the model gets."""
    if num_channels == 3 and is_grey and all(is_grey):
        what = "all images are grey, and data.num_channels is 3"
        why = "each pixel is stored three times; a pretrained backbone takes one channel too"
        yield Finding("note", "colours", what, why, "--data.num_channels 1")
    elif num_channels == 1 and sum(is_grey) < len(is_grey) / 2:
        what = f"{len(is_grey) - sum(is_grey):,} of {len(is_grey):,} images have colours, and data.num_channels is 1"
        yield Finding("note", "colours", what, "the model sees them in grey", "--data.num_channels 3")


def judged(found: Any, command: str) -> tuple[str, str]:
    """Why a finding of the audit matters, and what to do."""
    move = f"{command} --quarantine DIR moves them away"
    if found.kind.startswith("near duplicate"):
        why = "nearly the same images count several times, and in two splits make results too good"
        split = command.replace(" audit ", " split ")
        return why, f"{command} lists them; keep one of each, or all of a group in one split: {split} --group REGEX"
    if "two labels" in found.kind:
        return "one image cannot be of two classes", f"keep the one with the correct label; all: {command}"
    return {
        "unreadable": ("fit stops at files that it cannot decode, or trains without them", move),
        "identical images": ("a model cannot learn from them", command),
        "duplicate": ("copies count several times", move),
        "duplicate across splits": ("results on copies of training images are too good", move),
        "placeholder": ("a model learns to recognise a message instead of a class", move),
        "wrong extension": ("other programs may refuse the file", f"rename the files; all: {command}"),
        "small image": ("enlarged images show no detail", f"remove them, or find larger ones; all: {command}"),
        "tiny class": ("a model learns little about a class of few images", "add images, or remove the class"),
    }.get(found.kind, ("it can spoil the result", command))


def examine_sizes(data: DecodedDataModule, sides: Sequence[int]) -> Iterator[Finding]:
    """Compare the shorter sides of images with the side of the squares that the model gets."""
    if not sides:
        return
    size, middle = data.decoding.image_size, sorted(sides)[len(sides) // 2]
    enlarged = sum(side < size for side in sides) / len(sides)
    what = f"shorter sides of {min(sides)} to {max(sides)} pixels (median {middle}), decoded to {size}"
    if enlarged > LARGE_SHARE:
        what = f"{enlarged:.0%} of the images are smaller than data.image_size, {size}: {what}"
        why = "enlarging adds time and no detail"
        yield Finding("warning", "sizes", what, why, f"--data.image_size {max(32, middle // 32 * 32)}")
    elif middle >= 8 * size:
        why = "details that distinguish classes may be lost"
        yield Finding("note", "sizes", what, why, f"--data.image_size {2 * size}, which takes four times as long")
    else:
        yield Finding("ok", "sizes", what)


# Memory and disk.


def examine_space(trial: Trial, found: DataFound) -> Iterator[Finding]:
    """Decoded images in memory and in the cache, and batches in shared memory."""
    data, num_images = trial.data, sum(map(len, found.splits.values()))
    facts = data.facts
    bytes_per_image = facts.num_channels * facts.image_size**2
    is_in_memory = (
        isinstance(data, DecodedDataModule) and data.fits_in_memory(num_images) and trial.cache in {"auto", None}
    )
    if is_in_memory or trial.cache == "memory" or not isinstance(data, DecodedDataModule):
        found.num_bytes = float(num_images * bytes_per_image)
    if isinstance(data, ImageFilesDataModule) and trial.cache != "none":
        found.num_undecoded = num_images
        if trial.cache != "memory":
            yield from examine_image_cache(data, Path(trial.arguments["cache_dir"]), found)
    available = available_memory()
    if available is not None and found.num_bytes > 0.8 * available:
        what = f"decoded images need {megabytes(found.num_bytes)}, and {megabytes(available)} of memory are available"
        remedy = "--data.cache disk, a smaller --data.image_size, or --data.memory_budget_gb below what is available"
        yield Finding("error", "memory", what, "the operating system ends the training", remedy)
    free, needed = shared_memory(), 2 * data.num_workers * data.batch_size * bytes_per_image
    if free is not None and needed > free:
        what = f"{data.num_workers} workers need {megabytes(needed)} of shared memory, and {megabytes(free)} are free"
        remedy = "--data.num_workers 0, or for a container: docker run --shm-size 2g"
        yield Finding("error", "shared memory", what, "workers end with a bus error", remedy)


def examine_image_cache(data: ImageFilesDataModule, folder: Path, found: DataFound) -> Iterator[Finding]:
    """What is in the cache of decoded images already, and whether the disk has space for the others."""
    cache = ImageCache(folder, data.decoding)
    try:
        known: dict[str, Any] = read_table(cache.index)
    except (OSError, ValueError) as error:
        known = {}
        what = f"the image cache in {cache.folder} is damaged ({error})"
        yield Finding("warning", "cache", what, "fit decodes all images again", f"rm -r {cache.folder}")
    files = {file for of_split in data.split_files.values() for file, _ in of_split}
    found.num_undecoded = sum(data.file_digests[file] not in known for file in files) if known else len(files)
    try:
        cache.require_room(found.num_undecoded)
    except UserError as error:
        yield refusal("disk", error)
    what = f"{len(files) - found.num_undecoded:,} of {len(files):,} images are decoded already, in {folder}"
    yield Finding("ok", "cache", what)


def examine_weights(backbone: str) -> tuple[list[Finding], str]:
    """Whether pretrained weights are on this machine or can be downloaded; and ``model.weights`` without a download."""
    if is_downloaded(backbone):
        return [Finding("ok", "weights", f"of {backbone}: downloaded already")], "DEFAULT"
    problem = backbone_problem(backbone)
    if problem and has_packaged_weights(backbone):
        why = "fit tries to download for up to a minute, and then uses the weights of the installed package"
        remedy = "--model.weights package, which does not ask the hub"
        return [Finding("note", "weights", f"no download ({problem})", why, remedy)], "package"
    if problem:
        return [refusal("network", UserError(no_download(backbone, problem)))], "none"
    return [Finding("note", "weights", f"of {backbone} will be downloaded", "this takes time once")], "none"
