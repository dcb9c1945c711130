import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from {{cookiecutter.package}}.engine.folder import index_folder
from {{cookiecutter.package}}.tools.audit.findings import NUM_ROWS, Finding, audit, near_duplicates
from {{cookiecutter.package}}.tools.audit.inspection import inspect_folder

NAMES = ("cat", "dog")


def photograph(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Smooth random shapes in many colours, unlike those of any other seed."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """A folder with split folders in which nothing is wrong."""
    seed = 0
    for split, count in (("train", 20), ("test", 5)):
        for name in NAMES:
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                photograph(seed).save(folder / f"{number}.jpg", quality=95)
                seed += 1
    return tmp_path / "photos"


def findings(root: Path) -> dict[str, Finding]:
    found = audit(inspect_folder(index_folder(root)))
    assert len({finding.kind for finding in found}) == len(found)
    return {finding.kind: finding for finding in found}


def only(root: Path, kind: str) -> Finding:
    """The one finding beside the sizes, which are always there."""
    found = findings(root)
    assert set(found) == {kind, "sizes"}
    return found[kind]


def paths(finding: Finding, root: Path) -> list[str]:
    return sorted(file.path.relative_to(root).as_posix() for file in finding.files)


def test_nothing_wrong(clean: Path) -> None:
    found = findings(clean)
    assert set(found) == {"sizes"}
    assert found["sizes"].severity == "note"
    assert "sides of 48 to 64 pixels" in found["sizes"].message
    assert "--data.fit crop" in found["sizes"].message


def test_long_images_are_better_padded(clean: Path) -> None:
    for number, file in enumerate(sorted(clean.rglob("*.jpg"))):
        photograph(number, (128, 40)).save(file)
    assert "--data.fit pad" in findings(clean)["sizes"].message


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "is empty"), (b"no image", "cannot be decoded"), (None, "cannot be decoded")]
)
def test_unreadable_files(clean: Path, content: bytes | None, problem: str) -> None:
    bad = clean / "train" / "cat" / "bad.jpg"
    bad.write_bytes((clean / "train" / "cat" / "0.jpg").read_bytes()[:700] if content is None else content)
    finding = only(clean, "unreadable")
    assert finding.severity == "error"
    assert problem in finding.message
    assert "<_io" not in finding.message
    assert paths(finding, clean) == ["train/cat/bad.jpg"]


@pytest.mark.parametrize(("name", "problem"), [("notes.txt", "is not an image"), ("photo.dat", "is a JPEG image, but")])
def test_files_that_are_passed_over_are_told(clean: Path, name: str, problem: str) -> None:
    file = clean / "train" / "cat" / name
    file.write_bytes(b"text" if name == "notes.txt" else (clean / "train" / "cat" / "0.jpg").read_bytes())
    finding = only(clean, "unreadable")
    assert finding.severity == "warning"
    assert problem in finding.message


def test_what_systems_leave_behind_is_no_finding(clean: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "._0.jpg"):
        (clean / "train" / "cat" / name).write_bytes(b"?")
    assert set(findings(clean)) == {"sizes"}


def test_wrong_extension(clean: Path) -> None:
    photograph(900).save(clean / "train" / "cat" / "real.png")
    (clean / "train" / "cat" / "real.png").rename(clean / "train" / "cat" / "false.jpg")
    finding = only(clean, "wrong extension")
    assert ".jpg is PNG" in finding.message
    assert paths(finding, clean) == ["train/cat/false.jpg"]


@pytest.mark.parametrize(
    ("target", "kind", "severity"),
    [
        ("train/cat/copy.jpg", "duplicate", "warning"),
        ("test/cat/copy.jpg", "duplicate across splits", "error"),
        ("train/dog/copy.jpg", "duplicate, two labels", "error"),
    ],
)
def test_exact_duplicates(clean: Path, target: str, kind: str, severity: str) -> None:
    shutil.copy(clean / "train" / "cat" / "3.jpg", clean / target)
    finding = only(clean, kind)
    assert finding.severity == severity
    assert paths(finding, clean) == sorted(["train/cat/3.jpg", target])


@pytest.mark.parametrize("change", ["smaller", "brighter", "recompressed", "grey"])
def test_near_duplicates_across_splits(clean: Path, change: str) -> None:
    image = photograph(3)  # that of train/cat/3.jpg
    if change == "smaller":
        image = image.resize((48, 36))
    elif change == "grey":  # both of them
        image = image.convert("L")
        image.save(clean / "train" / "cat" / "3.jpg")
        image = image.resize((48, 36))
    elif change == "brighter":
        image = image.point(lambda value: min(255, int(1.1 * value)))
    image.save(clean / "test" / "cat" / "again.jpg", quality=40 if change == "recompressed" else 95)
    finding = only(clean, "near duplicate across splits")
    assert paths(finding, clean) == ["test/cat/again.jpg", "train/cat/3.jpg"]


def test_placeholder(clean: Path) -> None:
    image = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(image).text((30, 90), "This image is gone", fill="black")
    image.save(clean / "train" / "dog" / "1234.png")
    assert paths(only(clean, "placeholder"), clean) == ["train/dog/1234.png"]


def test_grey_images_with_a_dark_ground_are_in_order(clean: Path) -> None:
    for number in range(6):  # round shapes on black, as digits and scans are
        shape = np.hypot(*(np.mgrid[-32:32, -32:32] - number)) / (12 + number)
        pixels = (255 * np.clip(1.2 - shape, 0, 1) * np.clip(shape * 4, 0.3, 1)).astype(np.uint8)
        Image.fromarray(pixels).save(clean / "train" / "cat" / f"grey{number}.png")
    assert not {"placeholder", "near duplicate"} & findings(clean).keys()


def test_tiny_and_unequal_classes(clean: Path) -> None:
    for number in range(1, 20):
        (clean / "train" / "dog" / f"{number}.jpg").unlink()
    found = findings(clean)
    assert "'dog' has 1 of 21 images; 2 are needed, one for each of train, val." in found["tiny class"].message
    assert found["tiny class"].severity == "error"
    assert "'cat' has 20 training images, 'dog' has 1" in found["imbalance"].message


@pytest.mark.parametrize(("count", "severity"), [(2, "error"), (3, "warning")])
def test_a_class_too_small_for_the_splits_that_are_carved(clean: Path, count: int, severity: str) -> None:
    shutil.rmtree(clean / "test")
    for number in range(count, 20):
        (clean / "train" / "dog" / f"{number}.jpg").unlink()
    finding = findings(clean)["tiny class"]
    assert finding.severity == severity
    if severity == "error":
        assert "'dog' has 2 of 22 images; 3 are needed, one for each of train, val, test" in finding.message


def test_identical_images(clean: Path) -> None:
    for file in clean.rglob("*.jpg"):
        file.write_bytes((clean / "train" / "cat" / "0.jpg").read_bytes())
    found = findings(clean)["identical images"]
    assert found.severity == "error"
    assert found.message.startswith("all 50 images are the same file")


def test_class_that_is_not_tested(clean: Path) -> None:
    shutil.rmtree(clean / "test" / "dog")
    assert only(clean, "missing class").message == "test has no images of dog."


def test_small_images(clean: Path) -> None:
    photograph(901, (20, 40)).save(clean / "train" / "cat" / "small.png")
    assert paths(only(clean, "small image"), clean) == ["train/cat/small.png"]


def test_what_decoding_handles_is_a_note(clean: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph(902).save(clean / "train" / "cat" / "turned.jpg", exif=exif)
    photograph(903).convert("CMYK").save(clean / "train" / "cat" / "print.jpg")
    found = findings(clean)
    assert set(found) == {"EXIF rotation", "colour mode", "sizes"}
    assert "CMYK (1)" in found["colour mode"].message
    assert {found["EXIF rotation"].severity, found["colour mode"].severity} == {"note"}


def test_neighbours_form_groups() -> None:
    far = 0xFFFF_0000_FFFF_0000
    hashes = [0, far, 0b111, 0b111_111_111, far ^ 1, 0x00FF_00FF_00FF_00FF]
    groups = near_duplicates(hashes, max_distance=6)
    assert sorted(map(sorted, groups)) == [[0, 2, 3], [1, 4]]  # 0 and 3 differ in nine bits, and 2 links them


def test_pairs_are_found_across_chunks() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, NUM_ROWS + 50, dtype=np.uint64).tolist()
    hashes[NUM_ROWS + 10] = hashes[3] ^ 1
    assert near_duplicates(hashes) == [[3, NUM_ROWS + 10]]


def test_nothing_to_compare() -> None:
    assert near_duplicates([]) == []
    assert near_duplicates([5]) == []
