"""Files are read with a declared type: an error names the file, the field, the value and what to do."""

from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pytest

from {{cookiecutter.package}}.engine.reading import Share, arguments_of, checked, read_csv, read_json, read_yaml
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import CNNClassifier


class Result(TypedDict):
    name: str
    accuracy: NotRequired[Share]


class Results(TypedDict):
    results: list[Result]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("\0\0\0", "it is empty"),
        ("{", "it is not valid JSON"),
        ("[1]", "expected a mapping, got a list"),
        ('{"result": []}', "results is missing"),
        ('{"results": [{"name": 3}]}', r"results\[0\].name: expected text, got a whole number \(3\)"),
        ('{"results": [{"name": "a", "accuracy": 2}]}', r"results\[0\].accuracy: expected a number <= 1.0 \(2\)"),
        ('{"results": [{}]}', r"results\[0\].name is missing"),
        ("[" * 100_000, "not valid JSON|nested too deeply"),
        ('{"results": [], "results": NaN}', "not valid JSON"),
    ],
)
def test_json(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=rf"results\.json' .*({message}).* Do this\."):
        read_json(tmp_path / "results.json", Results, "Do this.")


def test_fields_that_are_not_declared_are_kept(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"results": [], "more": 1}')
    assert read_json(tmp_path / "results.json", Results, "") == {"results": [], "more": 1}


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"results: [", "is not valid YAML.* Correct that line"),
        (b"results: 2026-01-01", r"datetime.date.* Do this\."),
        (b"results: []\n3: x", r"3 is not a name.* Do this\."),
        (b"results: 2026-99-99", "not valid YAML"),
        (LAUGHS.encode(), "nested too deeply or has too many values"),
        (b"results: " + b"[" * 20_000, "nested too deeply"),
        (b"x" * 1_100_000, "at most 1,000,000"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"results: {}", r"expected a list, got a mapping.* Do this\."),
    ],
)
def test_yaml(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "results.yaml").write_bytes(content)
    with pytest.raises(UserError, match=rf"results\.yaml'.*{message}"):
        read_yaml(tmp_path / "results.yaml", Results, "Do this.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column 'path'; its columns are none"),
        (b"name\na\n", "no column 'path'; its columns are name"),
        (b"path,class\na\n", "row 2, has 1 cells, and the heading has 2"),
        (b"\xff", "not a CSV file in UTF-8"),
        (b'path\n"' + 200_000 * b"x", "not a CSV file in UTF-8: field larger"),
    ],
)
def test_csv(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.csv'.*{message}.* Do this\."):
        read_csv(tmp_path / "a.csv", ["path"], "Do this.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": [8, "x"]}, r"argument 'widths' .* \[1\]: it must be a whole number from 1 to 65536 \('x'\)"),
        ({"pool": "min"}, r"argument 'pool' cannot be used: .*'min'"),
        ({"dropout": None}, r"argument 'dropout' cannot be used: it must be a number from 0 to below 1 \(None\)"),
        ({"label_smoothing": "x"}, r"argument 'label_smoothing' cannot be used: it must be a number"),  # of the base
        ({"gamma": 1}, r"CNNClassifier has no argument 'gamma'"),
    ],
)
def test_arguments_of_a_class(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"the file.* {message}.*Do this\."):
        arguments_of(CNNClassifier, arguments, "the file", "Do this.")


def test_a_value_that_is_right() -> None:
    assert checked({"results": []}, Results, "", "") == {"results": []}
    assert arguments_of(CNNClassifier, {"widths": [8], "dropout": 0}, "", "") == {"widths": [8], "dropout": 0}
