from {{cookiecutter.package}}.evaluation.comparison.table import count, percent


def test_numbers() -> None:
    assert [count(number) for number in (None, 812, 19_562, 3_373_570)] == ["-", "812", "19,562", "3.37 M"]
    assert (percent(0.98764, 359), percent(0.98764, 10_000)) == ("98.8 %", "98.76 %")
