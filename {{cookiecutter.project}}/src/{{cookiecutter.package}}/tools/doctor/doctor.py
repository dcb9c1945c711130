"""Check machine, settings and data before a training, and forecast how long it takes.

Takes the options of ``fit``. Without any, only the machine is checked. Nothing is trained, downloaded or changed; a few
steps are tried out in a temporary folder.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ...engine.findings import Finding, refusal
from ...engine.recipes import VerbParser, find_recipes
from ...errors import UserError, program_name
from ...files import require_output
from .machine import examine_machine

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan", "ok": "dim"}
EPILOG = """\
Exit status: 1 if a training would fail, else 0; 2 for wrong options of doctor itself.

Examples:
  {program} doctor
  {program} doctor --config configs/digits_cnn.yaml
  {program} doctor --config configs/folder_probe.yaml --data.root photos/ --lr
"""


def doctor(options: Sequence[str], companions_when_ready: Callable[[], Sequence[Any]]) -> int:
    """Print the findings, those without torch at once; returns 1 if a training would fail, else 0.

    ``companions_when_ready`` imports torch and Lightning, which takes seconds, and returns the companions of ``fit``.
    Wrong options of ``fit`` are findings.
    """
    parser = VerbParser(
        "doctor",
        __doc__,
        EPILOG.format(program=program_name()),
        usage=f"{program_name()} doctor [--config FILE ...] [any option of fit] [--lr [FILE]] [--json]",
    )
    add = parser.add_argument
    lr_help = "also try learning rates from small to large, and draw the loss (default file: learning_rates.png)"
    add("--lr", type=Path, nargs="?", const=Path("learning_rates.png"), metavar="FILE", help=lr_help)
    add("--json", action="store_true", help="print one JSON document, for programs")
    arguments, words = parser.parse_known_args(options)
    if arguments.lr:
        require_output(arguments.lr, "--lr", [".png", ".svg", ".pdf"])
        if not words:
            raise UserError(
                "--lr needs a training to try. Give a recipe, for example --config configs/digits_cnn.yaml."
            )
    report = Report(is_json=arguments.json)
    report.add(examine_machine())
    if words:
        try:
            words = find_recipes(words)
        except UserError as error:
            report.add([refusal("settings", error)])
        else:
            begin = time.monotonic()
            companions = companions_when_ready()
            examine: Any = import_module(".training", __package__).examine_training
            examine(report, words, companions, arguments.lr, begin)
    report.close()
    return int(report.has_error)


class Report:
    """Prints findings as they are found, or all of them as JSON at the end."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self.findings: list[Finding] = []
        self.details: dict[str, Any] = {}  # for JSON: settings, forecast, learning rates
        self.console = Console(highlight=False, soft_wrap=True)

    @property
    def has_error(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding in self.findings:
                continue
            self.findings.append(finding)
            if not self.is_json:
                self.print(finding)

    def print(self, finding: Finding) -> None:
        severity = f"[{STYLES[finding.severity]}]{finding.severity:7}[/]"
        self.console.print(f"{severity}  {escape(finding.subject)}: {escape(finding.what)}")
        for label, text in (("why", finding.why), ("do", finding.remedy)):
            if text:
                self.console.print(f"[dim]{label:>12}[/] {escape(text)}")

    def say(self, title: str, lines: Iterable[str]) -> None:
        """Print lines that are no findings."""
        if not self.is_json:
            self.console.print(title)
            for line in lines:
                self.console.print(f"  {escape(line)}")

    def close(self) -> None:
        counts = {severity: sum(one.severity == severity for one in self.findings) for severity in STYLES}
        if self.is_json:
            found = [asdict(finding) for finding in self.findings]
            print(json.dumps({"findings": found, **self.details, "counts": counts}, indent=2, ensure_ascii=False))
            return
        problems = [
            f"{number} {severity}{'s' if number > 1 else ''}"
            for severity, number in counts.items()
            if number and severity in ("error", "warning")
        ]
        self.console.print(", ".join(problems) or "No problems found.")
