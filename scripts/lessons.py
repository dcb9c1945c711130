"""Run the lessons of a generated project as notebooks, and write their pages, with what they print and draw.

CLASSIFIER_DATA=data python scripts/lessons.py build/project/image-classifier
python scripts/lessons.py build/project/image-classifier 01 03        # two of them

CLASSIFIER_DATA is a folder that holds MNIST/raw, FashionMNIST/raw and hymenoptera. Without it the lessons use smaller
data sets, so their pages are written to build/learn instead of docs/learn, which shows the results on the real data.
"""

from __future__ import annotations

import io
import os
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import jupytext
from jinja2 import DictLoader
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbformat import NotebookNode
from PIL import Image
from traitlets.config import Config

DATA = "CLASSIFIER_DATA"
TEMPLATE_ROOT = Path(__file__).resolve().parents[1]
NUM_COLOURS = 128  # of a figure's palette: lines, photographs of few pixels and grey images look the same
# nbconvert's template indents outputs, which looks like the code of the cell; and its figures have no description.
TEMPLATE = """
{%- extends 'markdown/index.md.j2' -%}
{% block stream %}
```text
{{ output.text | strip_ansi | trim }}
```
{% endblock stream %}
{% block data_text %}
```text
{{ output.data['text/plain'] | strip_ansi | trim }}
```
{% endblock data_text %}
{% block data_png %}
![{{ resources.description }}]({{ output.metadata.filenames['image/png'] | path2url }})
{% endblock data_png %}
"""
KINDS = Config({"NbConvertBase": {"display_data_priority": ["image/png", "text/plain"]}})
NOTE = """
*This page is `lessons/{name}` of a generated project, with what it prints and draws.
[Run it yourself](index.md#run-a-lesson) from the project's folder: `uv run python lessons/{name}`.*
"""


def environment(project: Path) -> dict[str, str]:
    """Of a kernel: it runs this project's source, even if another one of the same name is installed."""
    found = {**os.environ, "PYTHONPATH": str(project / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    if DATA in found:
        found[DATA] = str(Path(found[DATA]).resolve())
    return found


def execute(lesson: Path) -> NotebookNode:
    """The notebook of a lesson with the outputs of its cells; an error in a cell ends the program."""
    notebook: NotebookNode = jupytext.read(lesson)
    place = {"metadata": {"path": str(lesson.parent)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", coalesce_streams=True, resources=place)
    client.extra_arguments = ["--IPKernelApp.log_level=ERROR"]  # it warns of its own connections
    client.execute(env=environment(lesson.parents[1]))
    return notebook


def write_page(notebook: NotebookNode, lesson: Path, folder: Path) -> None:
    """Write the page of a lesson into ``folder``, and its figures into ``folder/images``."""
    title, *rest = notebook.cells[0].source.split("\n")
    notebook.cells[0].source = "\n".join([title, NOTE.format(name=lesson.name), *rest])
    exporter = MarkdownExporter(config=KINDS, extra_loaders=[DictLoader({"page": TEMPLATE})], template_file="page")
    described = {"unique_key": lesson.stem, "output_files_dir": "images", "description": title.removeprefix("# ")}
    text, resources = exporter.from_notebook_node(notebook, described)
    text = text.replace(f"{lesson.parents[1]}{os.sep}", "")
    require_no_path(text, lesson)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"images/{lesson.stem}_*"):
        old.unlink()
    for file, content in resources["outputs"].items():
        (folder / file).write_bytes(smaller(content))
    (folder / f"{lesson.stem}.md").write_text(text.strip() + "\n", encoding="utf-8")


def require_no_path(text: str, lesson: Path) -> None:
    paths = [str(lesson.parents[1]), str(Path.home()), sys.prefix, environment(lesson.parents[1]).get(DATA)]
    if found := [path for path in paths if path and path in text]:
        sys.exit(
            f"{lesson.name} prints {found[0]!r}, a path of this machine: print paths from the project's folder on."
        )


def smaller(png: bytes) -> bytes:
    """The same figure with a palette, and without the versions of the programs that drew it."""
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(NUM_COLOURS).save(file, "png", optimize=True)
    return file.getvalue()


def make_page(lesson: Path, folder: Path) -> tuple[float, float]:
    """Run a lesson and write its page; returns the seconds of the clock, and of the processors in its kernel."""
    start, before = time.perf_counter(), processor_seconds()
    write_page(execute(lesson), lesson, folder)
    return time.perf_counter() - start, processor_seconds() - before


def processor_seconds() -> float:
    """Of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_pages(lessons: list[Path], folder: Path) -> Iterator[tuple[float, float]]:
    """Two lessons at a time, as their tensors are too small for more than one core each."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield from pool.map(make_page, lessons, [folder] * len(lessons))


def main(project: Path, numbers: list[str]) -> None:
    folder = TEMPLATE_ROOT / ("docs/learn" if DATA in os.environ else "build/learn")
    lessons = [file for file in sorted(project.glob("lessons/[0-9]*.py")) if not numbers or file.name[:2] in numbers]
    start, used = time.perf_counter(), 0.0
    for lesson, (elapsed, of_processors) in zip(lessons, make_pages(lessons, folder), strict=True):
        used += of_processors
        print(f"{lesson.name:32} {elapsed:6.1f} s, {of_processors:6.1f} s of the processors", flush=True)
    print(f"{len(lessons)} lessons {time.perf_counter() - start:29.1f} s, {used:6.1f} s of the processors")
    print(f"pages in {folder.relative_to(TEMPLATE_ROOT)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
