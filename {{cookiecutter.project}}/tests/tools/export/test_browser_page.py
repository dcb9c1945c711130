"""The page of an export in a real browser, opened as a file and without a network; skipped where there is none."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor, nn

from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.facts import Fit
from {{cookiecutter.package}}.predictor import Decoding
from {{cookiecutter.package}}.tools.export import browser_page
from {{cookiecutter.package}}.tools.export.browser_page import (
    Runtime,
    enumerate_names,
    find_runtime,
    write_browser_page,
)

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
playwright = pytest.importorskip("playwright.sync_api")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
CLASS_NAMES = ["cat", "<img src=x onerror=alert(1)>", "</script><b>a name without any space that is very long</b>"]
DECODING = {"image_size": 24, "num_channels": 3, "fit": "crop"}
SIZES = [(24, 24), (1, 1), (5, 40), (23, 25), (49, 31), (48, 96), (130, 97), (97, 130), (311, 200), (47, 480), (24, 90)]

Page = Any  # playwright's, which is not installed everywhere


class Network(nn.Module):
    """Probabilities from colours: the first class is red, the second green, the third blue."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        pixels = images.float() / 255
        logits = (6 * pixels + 0.2 * self.conv(pixels)).mean(dim=(2, 3))
        return logits, torch.softmax(logits / 1.5, dim=1)


def write_export(folder: Path, abstain_below: float = 0.8, name: str = "model.onnx", **changes: Any) -> Path:
    """Write what the page needs of an export: a tiny model, and its description."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    images = torch.zeros(2, 3, 24, 24, dtype=torch.uint8)
    program = torch.onnx.export(
        Network().eval(),
        (images,),
        input_names=["images"],
        output_names=["logits", "probabilities"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        opset_version=20,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.save(folder / name)
    description = {
        "format": 1,
        "model": "CNNClassifier",
        "class_names": CLASS_NAMES,
        "decoding": DECODING,
        "temperature": 1.5,
        "abstain_below": abstain_below,
        "test": {"accuracy": 0.954, "low": 0.91, "high": 0.97, "num_images": 1530},
        "git_commit": None,
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest()},
    }
    (folder / "model.json").write_text(json.dumps(description | changes))
    return folder


def predict(export: Path, file: Path) -> Any:
    """Probabilities (K,) of ONNX Runtime in Python, with the decoding of this project."""
    pixels = Decoding(24, 3, "crop").decode(file)
    session = onnxruntime.InferenceSession(str(export / "model.onnx"))
    return session.run(["probabilities"], {"images": np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])})[0][0]


def noise(size: tuple[int, int], mode: str = "RGB", seed: int = 0) -> Image.Image:
    num_channels = len(mode)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], num_channels), dtype=np.uint8)
    return Image.fromarray(pixels.squeeze(axis=2) if num_channels == 1 else pixels)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def write_colours(folder: Path) -> list[Path]:
    """Photographs of several formats and colours; the last is grey, so that all classes are equally probable."""
    folder.mkdir(parents=True, exist_ok=True)
    colours = {"red.png": (250, 20, 30), "green.jpg": (20, 240, 30), "blue.webp": (10, 20, 250), "grey.png": (99,) * 3}
    for seed, (name, colour) in enumerate(colours.items()):
        image = Image.blend(noise((60, 40), seed=seed), Image.new("RGB", (60, 40), colour), 0.8)
        image.save(folder / name, quality=90)
    return [folder / name for name in colours]


@pytest.fixture(scope="session")
def ort_web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The npm package: the folder or file named by ORT_WEB, or else fetched once."""
    if given := os.environ.get("ORT_WEB"):
        return Path(given)
    folder = tmp_path_factory.mktemp("onnxruntime-web")
    try:
        runtime = find_runtime(None)
    except UserError as error:
        pytest.skip(str(error))
    contents = {browser_page.SCRIPT: runtime.script, browser_page.WASM: runtime.wasm}
    contents["package.json"] = json.dumps({"version": runtime.version}).encode()
    for name, content in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")  # playwright holds an event loop, which other tests could not start
def browser() -> Iterator[Any]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    with playwright.sync_playwright() as driver:
        if found is None and not Path(driver.chromium.executable_path).exists():
            pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}, and not playwright's own")
        yield (chromium := driver.chromium.launch(executable_path=found, args=["--no-sandbox"]))
        chromium.close()


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="session")
def html(export: Path, ort_web: Path) -> Path:
    write_browser_page(export, export / "page.html", find_runtime(ort_web))
    return export / "page.html"


@pytest.fixture(scope="module")
def decoder(browser: Any, html: Path) -> Iterator[Page]:
    """The page, for tests that only decode."""
    yield from opened(browser, html)


@pytest.fixture
def page(browser: Any, html: Path) -> Iterator[Page]:
    """The page, ready, in a browser without a network; no test may cause an error in it or a request of it."""
    yield from opened(browser, html)


def opened(browser: Any, html: Path, **options: Any) -> Iterator[Page]:
    context = browser.new_context(**options)
    context.set_offline(True)
    page = context.new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(f"dialog: {dialog.message}"))
    page.goto(html.as_uri())
    page.wait_for_selector("body[data-state=ready]", timeout=60_000)
    yield page
    context.close()
    assert not errors
    assert {url for url in requests if not url.startswith("blob:null/")} == {html.as_uri()}


def wait(page: Page, num_images: int) -> list[str]:
    """Wait until all images are classified; returns the verdicts."""
    page.wait_for_selector("#clear:not([hidden])")
    assert page.locator(".card:not(.waiting)").count() == num_images
    verdicts: list[str] = page.locator(".verdict").all_text_contents()
    return verdicts


def decode(page: Page, content: bytes, image_size: int = 24, num_channels: int = 3, fit: Fit = "crop") -> Any:
    """Pixels (H, W, C) of an image file as the page decodes them, as int."""
    call = """async ([text, decoding]) => {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        return Array.from(await decode(new Blob([bytes]), decoding));
    }"""
    decoding = {"image_size": image_size, "num_channels": num_channels, "fit": fit}
    values = page.evaluate(call, [base64.b64encode(content).decode(), decoding])
    return np.array(values).reshape(num_channels, image_size, image_size).transpose(1, 2, 0)


def difference(page: Page, content: bytes, image_size: int = 24, num_channels: int = 3, fit: Fit = "crop") -> Any:
    """Absolute differences between the pixels of the page and those of this project."""
    expected = Decoding(image_size, num_channels, fit).decode(BytesIO(content))
    return np.abs(decode(page, content, image_size, num_channels, fit) - expected)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_pixels_equal_those_of_pillow(decoder: Page, fit: Fit, num_channels: int) -> None:
    for size in SIZES:
        if fit != "pad" or min(size) * 24 > max(size) / 2:
            content = encode(noise(size))
            assert difference(decoder, content, num_channels=num_channels, fit=fit).max() <= 1, size
    shown = decode(decoder, encode(noise((90, 47))), num_channels=num_channels, fit=fit)
    assert shown.std() > 5  # not an empty picture


@pytest.mark.parametrize("image_size", [8, 33, 224])
def test_pixels_equal_those_of_pillow_for_any_size_of_the_model(decoder: Page, image_size: int) -> None:
    for size in [(640, 427), (31, 50)]:
        assert difference(decoder, encode(noise(size)), image_size=image_size).max() <= 1, size


def test_transparency_orientation_and_modes_are_as_in_pillow(decoder: Page) -> None:
    image = noise((60, 41))
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    for content in (encode(clear), encode(clear, "WEBP", lossless=True), encode(image.convert("LA"))):
        assert difference(decoder, content).max() <= 1
    for mode in ("L", "P", "1"):
        assert difference(decoder, encode(image.convert(mode)), num_channels=1).max() <= 1
    with_gamma = PngInfo()
    with_gamma.add(b"gAMA", (100_000).to_bytes(4))  # linear, which Pillow does not regard
    assert difference(decoder, encode(image, pnginfo=with_gamma)).max() <= 1
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        smooth = image.resize((6, 4)).resize((48, 32), Image.Resampling.BICUBIC)
        assert difference(decoder, encode(smooth, "JPEG", quality=95, exif=exif)).max() <= 2


def test_an_image_that_is_too_large_for_the_browser_is_refused(decoder: Page) -> None:
    with pytest.raises(playwright.Error, match=r"too large|cannot be read"):
        decode(decoder, encode(Image.new("RGB", (70_000, 4))))


@pytest.mark.parametrize(("side", "factor"), [(95, 1), (97, 2), (193, 4), (390, 8)])
def test_large_jpegs_are_reduced_as_by_pillow(decoder: Page, side: int, factor: int) -> None:
    assert decoder.evaluate("([width, height]) => draftFactor({width, height}, 24)", [side, side + 9]) == factor
    content = encode(noise((side, side + 9)), "JPEG", quality=95, subsampling=0)
    delta = difference(decoder, content)
    assert delta.max() <= 6
    assert delta.mean() < 1


def test_predictions_equal_those_of_onnxruntime(page: Page, export: Path, tmp_path: Path) -> None:
    files = write_colours(tmp_path)
    page.set_input_files("#files", files)
    expected = [predict(export, file) for file in files]
    assert [probabilities.argmax() for probabilities in expected[:3]] == [0, 1, 2]
    assert wait(page, 4) == [CLASS_NAMES[0], CLASS_NAMES[1], CLASS_NAMES[2], "Not sure"]
    for index, probabilities in enumerate(expected):
        card = page.locator(".card").nth(index)
        assert card.locator(".file").text_content() == files[index].name
        names = card.locator(".name").all_text_contents()
        shown = [float(text.rstrip("\xa0%").lstrip("<> ")) for text in card.locator(".percent").all_text_contents()]
        ranked = [CLASS_NAMES.index(name) for name in names]
        assert shown == sorted(shown, reverse=True)
        assert np.allclose(shown, 100 * probabilities[ranked], atol=0.3)
        widths = card.locator("i").evaluate_all("bars => bars.map((bar) => parseFloat(bar.style.width))")
        assert np.allclose(widths, 100 * probabilities[ranked], atol=0.3)


def test_the_page_is_not_sure_below_the_threshold_only(
    browser: Any, export: Path, ort_web: Path, tmp_path: Path
) -> None:
    red = write_colours(tmp_path)[0]
    highest = float(predict(export, red).max())
    for threshold, verdict in ((highest + 1e-3, "Not sure"), (highest - 1e-3, "cat"), (0.0, "cat")):
        write_browser_page(write_export(tmp_path / "export", threshold), tmp_path / "page.html", find_runtime(ort_web))
        for page in opened(browser, tmp_path / "page.html"):
            page.set_input_files("#files", red)
            assert wait(page, 1) == [verdict]
            assert ("No class reaches" in page.text_content(".reason")) == (verdict == "Not sure")


def test_files_that_cannot_be_read_are_named_and_the_others_classified(page: Page, tmp_path: Path) -> None:
    red, green, *_ = write_colours(tmp_path)
    (tmp_path / "half.jpg").write_bytes((content := green.read_bytes())[: 2 * len(content) // 3])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    page.set_input_files("#files", [tmp_path / "half.jpg", red, tmp_path / "text.png", tmp_path / "empty.jpg"])
    assert wait(page, 4) == ["No prediction", "cat", "No prediction", "No prediction"]
    assert page.locator(".reason").first.text_content().startswith("This file cannot be read")
    assert page.locator(".none").count() == 2  # the picture of half a file is shown


def test_images_are_dropped_pasted_and_cleared(page: Page) -> None:
    send = """([type, text]) => {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], `${type}.png`, {type: "image/png"}));
        const event = type === "paste"
            ? new ClipboardEvent(type, {clipboardData: transfer, bubbles: true, cancelable: true})
            : new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true});
        document.getElementById("drop").dispatchEvent(event);
        return event.defaultPrevented;
    }"""
    red = base64.b64encode(encode(Image.new("RGB", (30, 30), "red"))).decode()
    assert page.evaluate(send, ["dragover", red])
    assert page.locator("#drop.over").count() == 1
    assert page.evaluate(send, ["drop", red])
    assert page.locator("#drop.over").count() == 0
    assert wait(page, 1) == ["cat"]
    page.evaluate(send, ["paste", red])
    assert wait(page, 2) == ["cat", "cat"]
    assert page.locator(".file").all_text_contents() == ["paste.png", "drop.png"]  # the newest is on top
    assert page.text_content("#status") == "2 images classified"
    page.click("#clear")
    assert page.locator(".card").count() == 0


def test_the_page_fits_a_phone(browser: Any, html: Path, tmp_path: Path) -> None:
    red = write_colours(tmp_path)[0]
    file = red.rename(tmp_path / f"{'long-name-of-a-file' * 8}.png")
    for page in opened(browser, html, viewport={"width": 360, "height": 740}):
        page.set_input_files("#files", file)
        wait(page, 1)
        page.click("footer summary")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_page_is_light_or_dark_as_the_system(browser: Any, html: Path) -> None:
    lightness = {}
    for scheme in ("light", "dark"):
        for page in opened(browser, html, color_scheme=scheme):
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            lightness[scheme] = int(colour.removeprefix("rgb(").split(",")[0])
    assert lightness["light"] > 200
    assert lightness["dark"] < 60


def test_the_header_states_model_and_accuracy(page: Page) -> None:
    header = " ".join(page.inner_text("header").split())
    assert "CNNClassifier" in header
    assert "95.4 % of 1,530 test images classified correctly (95 % confidence interval: 91.0 % to 97.0 %)" in header
    assert CLASS_NAMES[1] in header  # as text
    assert page.locator("img[src=x]").count() == 0
    assert "never leave this machine" in page.inner_text("#drop")


def test_the_security_policy_forbids_connections_and_foreign_scripts(page: Page) -> None:
    violation = """(act) => new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.foreign = true";
        act === "connect" ? fetch("data:,").catch(() => {}) : document.body.append(script);
    })"""
    assert page.evaluate(violation, "connect") == "connect-src"
    assert page.evaluate(violation, "script") == "script-src-elem"
    assert page.evaluate("window.foreign") is None


def test_the_int8_model_is_preferred(ort_web: Path, tmp_path: Path) -> None:
    folder = write_export(tmp_path / "export", name="model_int8.onnx")
    write_browser_page(folder, tmp_path / "page.html", find_runtime(ort_web))
    assert "model_int8.onnx" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_classes_are_enumerated() -> None:
    assert enumerate_names(["ants"]) == "ants"
    assert enumerate_names(["ants", "bees", "cats"]) == "ants, bees and cats"
    assert enumerate_names([str(number) for number in range(1000)]).endswith("6, 7 and 992 other classes")


def test_a_changed_or_incomplete_export_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    runtime = Runtime("1.30.0", b"", b"")
    with pytest.raises(UserError, match=r"has no model\.json"):
        write_browser_page(tmp_path, page, runtime)
    folder = write_export(tmp_path / "export")
    with (folder / "model.onnx").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(UserError, match=r"model\.onnx' was changed or damaged after the export"):
        write_browser_page(folder, page, runtime)
    (folder / "model.onnx").unlink()
    with pytest.raises(UserError, match=r"has no model\.onnx"):
        write_browser_page(folder, page, runtime)
    with pytest.raises(UserError, match="its format is 2"):
        write_browser_page(write_export(tmp_path / "next", format=2), page, runtime)
    assert not page.exists()


def test_another_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ort.tgz").write_text("no archive")
    for package in (tmp_path, tmp_path / "ort.tgz", tmp_path / "missing"):
        with pytest.raises(UserError, match=r"--ort_web is .*, which is not onnxruntime-web: .*npm pack"):
            find_runtime(package)
    (tmp_path / "dist").mkdir()
    for name in (browser_page.SCRIPT, browser_page.WASM):
        (tmp_path / name).touch()
    (tmp_path / "package.json").write_text('{"version": "1.17.3"}')
    with pytest.raises(UserError, match=r"onnxruntime-web 1\.17\.3; the page needs 1\.26 - 1\.30"):
        find_runtime(tmp_path)


def test_without_npm_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"npm is not installed.*run npm pack .*--ort_web FILE"):
        find_runtime(None)
