"""One HTML file that classifies images in the browser: it opens by double click, without a server or a network."""

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jinja2 import Environment

from ...errors import UserError
from ...files import write_text
from ...predictor import INT8_MODEL, MODEL, checked_model, read_description
from ..pages.rendering import count, number, percent

# Of onnxruntime-web. Tested with 1.26, 1.27, 1.29 and 1.30; the module of 1.22 needs a second JavaScript file.
VERSIONS = "1.26 - 1.30"
FIRST, END = (1, 26), (1, 31)
SCRIPT = "dist/ort.wasm.bundle.min.mjs"  # the smallest one: no WebGPU and no WebNN
WASM = "dist/ort-wasm-simd-threaded.wasm"
NUM_NAMED = 8  # classes that the header names
HOW_TO_FETCH = (
    f'On a machine with npm, run npm pack "onnxruntime-web@{VERSIONS}", and give the .tgz file with --ort_web FILE.'
)


@dataclass(frozen=True)
class Runtime:
    """ONNX Runtime for the browser: its version, its JavaScript module and its WebAssembly."""

    version: str
    script: bytes
    wasm: bytes


def write_browser_page(export: Path, file: Path, runtime: Runtime) -> None:
    """Write the page of an export folder, with its int8 model if there is one."""
    description = read_description(export)
    name = INT8_MODEL if (export / INT8_MODEL).exists() else MODEL
    model = checked_model(export, description, name).read_bytes()
    page = render(description, name, model, runtime)
    write_text(file, page)


def find_runtime(ort_web: Path | None) -> Runtime:
    """Read the npm package onnxruntime-web, a folder or a ``.tgz`` file; None fetches it with npm."""
    return fetch_runtime() if ort_web is None else read_runtime(ort_web)


def read_runtime(package: Path) -> Runtime:
    """Read onnxruntime-web from the folder of the package or from its ``.tgz`` file."""
    try:
        if package.is_dir():
            contents = {name: (package / name).read_bytes() for name in ("package.json", SCRIPT, WASM)}
        else:
            contents = read_members(package, "package.json", SCRIPT, WASM)
        version = json.loads(contents["package.json"])["version"]
    except (OSError, KeyError, ValueError, tarfile.TarError) as error:
        given = f"--ort_web is {str(package)!r}, which is not onnxruntime-web: {error}."
        raise UserError(f"{given} {HOW_TO_FETCH}") from error
    if not FIRST <= tuple(map(int, version.split(".")[:2])) < END:
        raise UserError(f"--ort_web is onnxruntime-web {version}; the page needs {VERSIONS}. {HOW_TO_FETCH}")
    return Runtime(version, contents[SCRIPT], contents[WASM])


def read_members(archive: Path, *names: str) -> dict[str, bytes]:
    """Files of an npm package, all of which are in its folder ``package``, without unpacking the others."""
    contents = {}
    with tarfile.open(archive, "r:gz") as tar:
        for name in names:
            if (stream := tar.extractfile(f"package/{name}")) is not None:
                contents[name] = stream.read()
    return contents


def fetch_runtime() -> Runtime:
    """Fetch onnxruntime-web with npm, from the registry that npm is configured for, into a temporary folder."""
    if (npm := shutil.which("npm")) is None:
        raise UserError(f"--page needs the npm package onnxruntime-web, and npm is not installed. {HOW_TO_FETCH}")
    command = [npm, "pack", f"onnxruntime-web@{VERSIONS}", "--ignore-scripts", "--silent", "--fetch-retries", "1"]
    with TemporaryDirectory() as folder:
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
        except (OSError, subprocess.SubprocessError) as error:
            raise UserError(
                f"--page needs the npm package onnxruntime-web, and npm cannot fetch it. {HOW_TO_FETCH}"
            ) from error
        return read_runtime(next(Path(folder).glob("*.tgz")))


def render(description: dict[str, Any], name: str, model: bytes, runtime: Runtime) -> str:
    resources = files(__package__)
    script = "\n".join((resources / part).read_text("utf-8") for part in ("browser_decoding.js", "browser_page.js"))
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": percent, "number": number}
    decoding, class_names = description["decoding"], description["class_names"]
    about = {
        "Model": f"{description['model']}, {name}, {len(model) / 1e6:.1f} MB, SHA-256 {description['files'][name]}",
        "Images": f"{decoding['image_size']} x {decoding['image_size']} pixels, fit: {decoding['fit']}",
        "Commit": description.get("git_commit"),
        "Runtime": f"ONNX Runtime Web {runtime.version}, Copyright (c) Microsoft Corporation, MIT licence",
    }
    return environment.from_string((resources / "browser_page.html").read_text("utf-8")).render(
        title=description["model"],
        classes=enumerate_names(class_names),
        num_classes=len(class_names),
        test=description["test"],
        abstain_below=description["abstain_below"],
        size=decoding["image_size"],
        about={term: text for term, text in about.items() if text},
        description={key: description[key] for key in ("class_names", "decoding", "abstain_below")},
        embedded={"runtime": packed(runtime.script), "wasm": packed(runtime.wasm), "model": packed(model)},
        script=script,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    )


def enumerate_names(names: list[str]) -> str:
    """``a, b and c``, or the first few and the number of the others."""
    first, last = names[:NUM_NAMED], names[NUM_NAMED:]
    if last:
        return f"{', '.join(first)} and {count(len(last), 'other class', 'other classes')}"
    return f"{', '.join(first[:-1])} and {first[-1]}" if len(first) > 1 else first[0]


def packed(content: bytes) -> str:
    """Gzip, which the browser inflates, then base64: equal contents give equal texts."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
