import pytest

from {{cookiecutter.package}}.evaluation.comparison.table import count, duration, percent, two_digits


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.004, "< 0.01 s"), (5.32, "5.3 s"), (59.2, "59 s"), (75, "1 min 15 s"), (7385, "2 h 03 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers() -> None:
    assert [two_digits(number) for number in (0.73, 62.4, 123.4)] == ["0.73", "62", "123"]
    assert [count(number) for number in (None, 812, 19_562, 3_373_570)] == ["-", "812", "19,562", "3.37 M"]
    assert (percent(0.98764, 359), percent(0.98764, 10_000)) == ("98.8 %", "98.76 %")
