from {{cookiecutter.package}}.evaluation.comparison.baselines import MAJORITY
from {{cookiecutter.package}}.evaluation.comparison.candidate import Candidate
from {{cookiecutter.package}}.evaluation.comparison.page import is_majority_hidden

from .candidates import candidate


def share(name: str, num_correct: int) -> list[Candidate]:
    return [candidate(name, [True] * num_correct + [False] * (100 - num_correct))]


def test_the_majority_class_is_hidden_only_where_it_does_not_fit() -> None:
    """It was said to be too far below where it was not."""
    assert is_majority_hidden([*share("a", 99), *share("b", 97), *share(MAJORITY, 10)])
    assert not is_majority_hidden([*share("a", 90), *share("b", 60), *share(MAJORITY, 46)])
    assert not is_majority_hidden([*share("a", 99), *share("b", 97)])
    assert not is_majority_hidden(share(MAJORITY, 46))
