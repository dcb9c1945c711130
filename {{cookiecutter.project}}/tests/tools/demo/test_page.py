"""The page in a real browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.predictor import Predictor
from {{cookiecutter.package}}.tools.demo import demo
from {{cookiecutter.package}}.tools.demo.demo import build_parser, load_subject, served
from {{cookiecutter.package}}.tools.demo.subject import subject_of_export

from ...conftest import Fit

COLOURS = {"red": (230, 20, 20), "blue": (10, 30, 240), "grey": (128, 128, 128)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"there is no browser: none of {', '.join(names)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(exported: Path) -> Iterator[str]:
    predictor = Predictor(exported)
    with served(subject_of_export(predictor, predictor.description)) as address:
        yield address


@pytest.fixture(params=[1200, 360], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": request.param, "height": 800})
    page.set_default_timeout(20_000)
    asked: set[str] = set()

    def note(request: Request) -> None:
        if request.failure != "csp":  # blocked by the content security policy, before it is sent
            asked.add(re.sub(r"^(\w+:/*[^/]*).*", r"\1", request.url, flags=re.DOTALL))

    page.on("requestfinished", note)
    page.on("requestfailed", note)
    page.goto(address)
    yield page
    assert {host for host in asked if not host.startswith(("data:", "blob:"))} == {address.strip("/")}
    page.close()


def images(folder: Path) -> dict[str, Path]:
    for name, colour in COLOURS.items():
        Image.fromarray(np.full((30, 40, 3), colour, np.uint8)).save(folder / f"{name}.png")
    whole = (folder / "red.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("<script>alert(1)</script>")
    return {file.stem: file for file in folder.iterdir() if file.is_file()}


def give(page: Page, file: Path) -> None:
    remove = page.get_by_role("button", name="Remove image")
    if remove.count():
        remove.click()
        expect(page.locator("#verdict")).to_contain_text("Drop, paste or choose")
    page.locator("input[type=file]").first.set_input_files(file)


def test_images_of_an_export(page: Page, tmp_path: Path) -> None:
    verdict, files = page.locator("#verdict"), images(tmp_path)
    expect(page.locator("body")).to_contain_text("CNNClassifier with 3 classes: blue, green, red")
    expect(page.locator("body")).to_contain_text("Test accuracy 95.0% (95% interval 91.0% to 97.0%) on 153 images")
    for name in ("red", "blue"):
        give(page, files[name])
        expect(verdict).to_contain_text(re.compile(rf"{name}\s*Probability 100.0%"))
    give(page, files["grey"])
    expect(verdict).to_contain_text("Not sure")
    expect(verdict).to_contain_text("33.3%; the threshold is 80.0%.")
    for name, reason in (("broken", "truncated"), ("text", "cannot identify image file")):
        give(page, files[name])
        expect(verdict).to_contain_text(
            re.compile(f"No prediction.*The file cannot be used as an image:.*{reason}", re.DOTALL)
        )
    give(page, files["red"])
    expect(verdict).to_contain_text("Probability 100.0%")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_test_images_of_a_run_can_be_chosen(fit: Fit, browser: Browser) -> None:
    subject = load_subject(build_parser().parse_args(["--ckpt", str(fit("--model.optimizer.lr", "0.01"))]))
    page = browser.new_page()
    with served(subject) as address:
        page.goto(address)
        page.locator(".examples button img").first.click()
        expect(page.locator("#verdict")).to_contain_text(re.compile(r"Probability|Not sure"))
        page.close()


def test_the_process_leaves_nothing(exported: Path, tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    words = [sys.executable, "-m", "{{cookiecutter.package}}", "demo", "--export", str(exported)]
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Stop with Ctrl-C. Uploaded images are then deleted.\n"
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        assert len(list(tmp_path.glob("demo-*"))) == 1
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read().strip() == ""  # the address was the last line
    assert process.returncode == 0
    assert list(tmp_path.glob("demo-*")) == []
    assert not (tmp_path / ".gradio").exists()


def test_mistakes(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def error(*options: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["demo", *options])
        assert stop.value.code == 2
        return capsys.readouterr().err

    assert "one of the arguments --ckpt --ckpt_path --export is required" in error().replace("/", " ")
    assert f"{str(tmp_path)!r} is not an export: it has no model.json" in error("--export", str(tmp_path))
    assert "--ckpt is 'nowhere'" in error("--ckpt", "nowhere")
    wrong = error("--export", str(exported), "--port", "99999")
    assert "--port is 99999; it must be a whole number from 1 to 65535" in wrong
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    assert "demo needs Gradio, which is not installed. Install it: " in error("--export", str(exported))


def test_a_port_in_use(exported: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    port = address.strip("/").rpartition(":")[2]
    with pytest.raises(SystemExit):
        main(["demo", "--export", str(exported), "--port", port])
    assert f"error: --host 127.0.0.1 --port {port} cannot be used: " in capsys.readouterr().err


def test_only_uploaded_files_are_read(tmp_path: Path) -> None:
    from {{cookiecutter.package}}.tools.demo.page import uploaded_file  # imports Gradio, after its settings

    folder, other = tmp_path / "uploads", tmp_path / "other.png"
    folder.mkdir()
    (folder / "link.png").symlink_to(other)
    assert uploaded_file({"path": str(folder / "a" / "b.png")}, folder) == (folder / "a" / "b.png").resolve()
    for path in (other, folder / ".." / "other.png", folder / "link.png"):
        with pytest.raises(Exception, match="This file was not uploaded"):
            uploaded_file({"path": str(path)}, folder)
