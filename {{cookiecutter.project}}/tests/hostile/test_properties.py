"""Properties that hold for random options, folders and manifests; ``HOSTILE_EXAMPLES=1000`` tries more of them."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .campaign import judge, run
from .conftest import CPU, OFF
from .test_values import MLP, OPTIONS

MORE = int(os.environ.get("HOSTILE_EXAMPLES", "0"))


def bounded(num_examples: int) -> settings:
    """The same examples each time, unless more are asked for."""
    return settings(
        max_examples=MORE or num_examples,
        derandomize=not MORE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


SCALARS = st.one_of(
    st.integers(),
    st.integers(-2, 4),
    st.floats(),
    st.floats(0, 1),
    st.booleans(),
    st.none(),
    st.text(max_size=8).filter(lambda text: "\0" not in text),
    st.sampled_from(
        ["none", "auto", "1e3", "-0", "0x10", "1_000", "~", "null", "[", "{", "'", "!!int 3", "*a", "&a 3"]
    ),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
NAMES = [name for options in (OPTIONS[MLP],) for name, _ in options]


def word(value: object) -> str:
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


@bounded(60)
@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), min_size=1, max_size=3))
def test_options_are_used_or_refused(pairs: Sequence[tuple[str, object]]) -> None:
    """What is accepted is resolved to a config that is accepted again, with the same result."""
    with tempfile.TemporaryDirectory() as folder:
        words = [f"--{name}={word(value)}" for name, value in pairs]
        outcome = run(["fit", *MLP.split(), *words, "--print_config"], Path(folder))
        assert judge(outcome, statuses=[0, 2]) == []
        if outcome.status == 0:
            file = Path(folder, "again.yaml")
            file.write_text(outcome.out, encoding="utf-8")
            again = run(["fit", "--config", str(file), "--print_config"], Path(folder))
            assert again.out == outcome.out
        else:
            names = [name for name, _ in pairs]
            assert any(name in outcome.err for name in names) or "UTF-8" in outcome.err


@bounded(8)
@given(
    st.fixed_dictionaries(
        {
            "data.batch_size": st.integers(1, 3000),
            "data.val_fraction": st.floats(0.0, 1.0),
            "model.hidden_sizes": st.lists(st.integers(1, 40), max_size=2),
            "model.dropout": st.floats(0.0, 1.0),
            "model.optimizer.lr": st.floats(0.0, 1e9),
            "model.optimizer.name": st.sampled_from(["sgd", "adam", "adamw"]),
            "model.schedule.name": st.sampled_from(["onecycle", "cosine", "plateau", "step", "constant"]),
            "model.schedule.warmup_fraction": st.floats(0.0, 1.0),
            "model.label_smoothing": st.floats(0.0, 1.0),
            "seed_everything": st.integers(0, 2**32 - 1),
        }
    )
)
def test_trainings_end_with_a_result_or_a_reason(values: Mapping[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = [f"--{name}={word(value)}" for name, value in values.items()]
        outcome = run(
            ["fit", *MLP.split(), *CPU, *OFF, "--trainer.fast_dev_run=true", *words], Path(folder), seconds=60
        )
        assert judge(outcome, statuses=[0, 1, 2]) == []
        if outcome.status == 1:
            assert "diverged" in outcome.err


FILE_NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
FOLDERS = st.dictionaries(
    FILE_NAMES.filter(lambda name: name not in {".", ".."}),
    st.lists(st.tuples(FILE_NAMES, st.sampled_from(["png", "jpg", "txt", "broken", "empty", "folder"])), max_size=6),
    max_size=4,
)


def make(root: Path, folders: Mapping[str, Sequence[tuple[str, str]]], image: Path) -> None:
    for name, files in folders.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number, (stem, kind) in enumerate(files):
            path = root / name / f"{stem}{number}.{'png' if kind in {'broken', 'empty', 'folder'} else kind}"
            if kind == "folder":
                path.mkdir()
            elif kind in {"png", "jpg"}:
                shutil.copy(image, path)
                with path.open("ab") as stream:
                    stream.write(bytes([number]))  # another content
            else:
                path.write_bytes(b"" if kind == "empty" else b"broken")


@pytest.mark.parametrize("command", ["audit root", "split root --output s.csv"])
def test_random_folders(command: str, paths: Mapping[str, Path]) -> None:
    @bounded(25)
    @given(FOLDERS)
    def check(folders: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "root")
            root.mkdir()
            make(root, folders, paths["image"])
            outcome = run(command.split(), Path(folder))
            assert judge(outcome, statuses=[0, 1, 2]) == []
            if outcome.status == 0 and command.startswith("split"):
                with Path(folder, "s.csv").open(encoding="utf-8", newline="") as stream:
                    rows = list(csv.DictReader(stream))
                assert len(rows) == len({row["path"] for row in rows})
                assert all((root / row["path"]).is_file() for row in rows)
                splits_of: dict[str, set[str]] = {}
                for row in rows:
                    splits_of.setdefault(row["digest"], set()).add(row["split"])
                assert all(len(splits) == 1 for splits in splits_of.values())  # copies stay together

    check()


@pytest.mark.parametrize("verb", ["split", "fit"])
def test_random_manifests(verb: str, paths: Mapping[str, Path]) -> None:
    cells = st.sampled_from(["red/image 0.png", "red", "train", "val", "x", "", "0" * 32, "é", "../x", "/etc/passwd"])
    lines = st.lists(st.lists(cells, max_size=7), max_size=5)

    @bounded(20)
    @given(st.one_of(lines, st.binary(max_size=60)), st.booleans())
    def check(content: list[list[str]] | bytes, has_heading: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            heading = "path,class,split,digest,group\n" if has_heading else ""
            text = content if isinstance(content, bytes) else "\n".join(map(",".join, content)).encode()
            Path(folder, "s.csv").write_bytes(heading.encode() + text)
            if verb == "split":
                words = ["split", str(paths["photos"]), "--output", "s.csv", "--extend"]
            else:
                words = ["fit", "--data=ImageFolderDataModule", f"--data.root={paths['photos']}", "--data.splits=s.csv"]
                words += ["--model=MLPClassifier", "--data.cache=memory", "--data.image_size=8", *CPU, *OFF]
            assert judge(run(words, Path(folder)), statuses=[2] if verb == "fit" else [0, 2]) == []

    check()
