from typing import Any

from {{cookiecutter.package}}.evaluation.comparison.seeds import seed_groups
from {{cookiecutter.package}}.evaluation.comparison.settings import differing_settings

from .candidates import candidate


def config(seed: int, lr: float = 0.1, **changed: Any) -> dict[str, Any]:
    model = {"class_path": "CNN", "init_args": {"widths": [8], "optimizer": {"lr": lr}}}
    return {"seed_everything": seed, "model": model, "run": {"directory": f"run {seed}"}, **changed}


def test_runs_of_one_recipe_are_a_group() -> None:
    runs = [
        candidate("a", [True, True, True, True], config(0)),
        candidate("b", [True, True, False, False], config(1, tracking={"wandb": "off"})),
        candidate("c", [True, True, True, False], config(0, lr=0.2)),
        candidate("baseline", [True, True, True, True]),
    ]
    (group,) = seed_groups(runs)
    assert group.candidates == runs[:2]
    assert (group.mean, group.spread, group.seeds) == (0.75, (0.5, 1.0), ["0", "1"])


def test_settings_have_the_names_of_options() -> None:
    mlp = {"class_path": "MLP", "init_args": {"sizes": [4, 2], "optimizer": {"lr": 0.1}}}
    runs = [candidate("a", config=config(0)), candidate("b"), candidate("c", config=config(0, model=mlp))]
    assert differing_settings(runs) == {
        "model": ["CNN", "MLP"],
        "model.widths": ["[8]", ""],
        "model.sizes": ["", "[4, 2]"],
    }
    assert differing_settings(runs[:1]) == {}
