import shutil
from collections import Counter
from pathlib import Path

import pytest

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import ImageFolderDataModule
from {{cookiecutter.package}}.engine.folder import ManifestRow, read_manifest

from ..conftest import COLOURS, write_images


def counts(rows: list[ManifestRow]) -> dict[str, int]:
    return dict(Counter(row.split for row in rows))


def by_path(file: Path) -> dict[str, str]:
    return {row.path: row.split for row in read_manifest(file)}


def mistake(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_stratified_and_used_by_the_data_module(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["split", str(photos)])
    rows = read_manifest(photos / "splits.csv")
    assert counts(rows) == {"train": 43, "val": 8, "test": 9}
    assert Counter(row.class_name for row in rows if row.split == "test") == {"blue": 3, "green": 3, "red": 3}
    assert "splits.csv" in capsys.readouterr().out
    data = ImageFolderDataModule(str(photos), image_size=16, cache="memory")
    assert set(data.split("test").names) == {row.path for row in rows if row.split == "test"}


def test_the_seed_decides_alone(photos: Path, workspace: Path) -> None:
    for name, seed in (("a.csv", "0"), ("b.csv", "0"), ("c.csv", "1")):
        main(["split", str(photos), "--seed", seed, "--output", str(workspace / name)])
    assert by_path(workspace / "a.csv") == by_path(workspace / "b.csv") != by_path(workspace / "c.csv")


def test_no_group_is_cut(workspace: Path) -> None:
    for seed, (name, colour) in enumerate(COLOURS.items()):
        for patient in range(8):
            write_images(workspace / "cases" / name / f"patient {seed}{patient}", 3, colour, seed=10 * seed + patient)
    main(["split", "cases", "--group", r"(patient \d+)"])
    rows = read_manifest(workspace / "cases" / "splits.csv")
    assert {row.group for row in rows} == {f"patient {seed}{patient}" for seed in range(3) for patient in range(8)}
    assert max(len({row.split for row in rows if row.group == group}) for group in {row.group for row in rows}) == 1
    assert {(row.class_name, row.split) for row in rows} == {(n, s) for n in COLOURS for s in ("train", "val", "test")}


def test_copies_of_an_image_stay_together(photos: Path) -> None:
    for number in range(20):
        source = photos / "red" / f"image {number}.{'png' if number % 3 == 0 else 'jpg'}"
        shutil.copy(source, photos / "red" / f"copy {number}{source.suffix}")
    main(["split", str(photos)])
    rows = read_manifest(photos / "splits.csv")
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row.digest, set()).add(row.split)
    assert len(splits) == 60
    assert all(len(found) == 1 for found in splits.values())


def test_split_folders_are_respected(photos: Path) -> None:
    write_images(photos / "train" / "red", 1, (1, 2, 3))  # makes `photos` a folder with split folders
    for name in COLOURS:
        shutil.move(photos / name, photos / "train" / f"{name}s")
    shutil.rmtree(photos / "train" / "red")
    for name, colour in COLOURS.items():
        write_images(photos / "val" / f"{name}s", 4, colour, seed=9)
    main(["split", str(photos), "--output", "official.csv"])
    assert {path for path, split in by_path(Path("official.csv")).items() if split == "val"} == {
        path.relative_to(photos).as_posix() for path in (photos / "val").rglob("*.*")
    }
    main(["split", str(photos), "--test_folder", "val", "--output", "tested.csv"])
    assert counts(read_manifest(Path("tested.csv"))) == {"train": 51, "val": 9, "test": 12}


def test_extending_moves_no_known_image(photos: Path) -> None:
    main(["split", str(photos)])
    before = by_path(photos / "splits.csv")
    (photos / "red" / "image 1.jpg").rename(photos / "red" / "renamed.jpg")
    write_images(photos / "red" / "new", 30, COLOURS["red"], seed=99)
    main(["split", str(photos), "--extend"])
    after = by_path(photos / "splits.csv")
    assert after["red/renamed.jpg"] == before.pop("red/image 1.jpg")
    assert {path: after[path] for path in before} == before
    assert len(after) == 90
    assert set(Counter(split for path, split in after.items() if "new" in path)) == {"train", "val", "test"}


def test_folds_share_the_test_split_and_each_image_is_validated_once(photos: Path) -> None:
    main(["split", str(photos), "--folds", "3"])
    manifests = [by_path(photos / f"splits-{number}-of-3.csv") for number in (1, 2, 3)]
    tests = [{path for path, split in manifest.items() if split == "test"} for manifest in manifests]
    assert tests[0] == tests[1] == tests[2]
    validated = Counter(path for manifest in manifests for path, split in manifest.items() if split == "val")
    assert validated == dict.fromkeys(set(manifests[0]) - tests[0], 1)
    assert not (photos / "splits.csv").exists()


def test_nothing_is_overwritten(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["split", str(photos)])
    before = (photos / "splits.csv").read_bytes()
    assert "exists already" in mistake(["split", str(photos), "--seed", "3"], capsys)
    assert (photos / "splits.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--extend"], "does not exist"),
        (["--folds", "1"], "--folds is 1; it must be 2 or more"),
        (["--folds", "50"], "--folds is 50, but outside the test split the smallest class has"),
        (["--test_fraction", "1.5"], "--test_fraction is 1.5; it must be a number above 0 and below 1"),
        (["--group", "("], "is not a regular expression"),
        (["--group", "red|green|blue"], "all images of class 'blue' are of one group"),
        (["--output", "nowhere/splits.csv"], "nowhere"),
    ],
)
def test_mistakes_are_explained(
    photos: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert message in mistake(["split", str(photos), *options], capsys)


@pytest.mark.usefixtures("workspace")
def test_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'nowhere', which is not a folder" in mistake(["split", "nowhere"], capsys)


def test_the_path_is_the_last_line_however_long(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = photos.rename(photos.with_name(200 * "p"))
    main(["split", str(root)])
    assert capsys.readouterr().out.splitlines()[-1] == str(root / "splits.csv")
    main(["split", str(root), "--folds", "2", "--output", str(root / "s.csv")])
    paths = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(root))]
    assert paths == [str(root / f"s-{number}-of-2.csv") for number in (1, 2)]
