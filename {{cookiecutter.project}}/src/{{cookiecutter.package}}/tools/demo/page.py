"""The page, made with Gradio."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup
from PIL import Image, ImageOps
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import UserError, some
from ...predictor import UNDECODABLE, Prediction
from .subject import Example, Subject

NUM_CLASSES = 10  # of which the page shows probabilities
MAX_UPLOAD = "50mb"
THUMBNAIL = 240  # pixels
SECONDS = 60  # between deletions of uploads, and their age then
HINT = "<p>Drop, paste or choose an image.</p>"
STYLE = """
.gradio-container { max-width: 64rem !important; width: 100%; margin: 0 auto; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; }
#verdict h2 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
#verdict .unsure { color: #b45309; } .dark #verdict .unsure { color: #fbbf24; }
#verdict .failed { color: #b91c1c; } .dark #verdict .failed { color: #f87171; }
.examples .grid-wrap { height: auto !important; min-height: 0 !important; max-height: none !important; }
.examples .grid-wrap { padding-top: 2rem; }
.examples .grid-container { grid-template-columns: repeat(auto-fill, minmax(5.8rem, 1fr)) !important; }
.examples .caption-label { white-space: normal; max-width: 100%; text-overflow: clip; overflow-wrap: anywhere; }
.examples .caption-label { opacity: 1 !important; }
"""
# The browser then asks no other machine for anything, whatever Gradio's page or a class name contains.
SAME_ORIGIN = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"


def open_page(subject: Subject, folder: Path, host: str, port: int | None) -> tuple[gr.Blocks, str]:
    """Serve the page from a thread; returns it and its address. Examples are copied into ``folder``."""
    page = build_page(subject, folder)
    fonts = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]  # installed ones: others would be downloaded
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=MAX_UPLOAD,
            footer_links=[],
            ssr_mode=False,
            pwa=False,
            enable_monitoring=False,
            theme=gr.themes.Default(primary_hue="blue", font=fonts[0], font_mono=fonts[1]),
            css=STYLE,
            app_kwargs={"middleware": [Middleware(SameOrigin)]},
        )
    except OSError as error:
        where = f"--host {host} --port {port}" if port else f"--host {host}"
        raise UserError(f"{where} cannot be used: {error}. Give another --port, or leave it out.") from error
    return page, address


def build_page(subject: Subject, folder: Path) -> gr.Blocks:
    shown = copied(subject.examples, folder / "examples")
    with gr.Blocks(title="Classify an image", analytics_enabled=False, delete_cache=(SECONDS, SECONDS)) as page:
        gr.HTML(header(subject))
        with gr.Row():
            # With image_mode None, the file stays as it is, and is decoded as in training.
            sources: list[Any] = ["upload", "clipboard"]
            image = gr.Image(label="Image", image_mode=None, type="filepath", sources=sources, height=340, buttons=[])
            with gr.Column():
                verdict = gr.HTML(HINT, elem_id="verdict")
                shares = gr.Label(label="Probabilities", show_heading=False, visible=False)

        def classify(upload: Mapping[str, Any] | None) -> tuple[Any, ...]:
            if upload is None:  # after a broken file, whose sentence stays
                return gr.skip(), gr.skip(), gr.skip()
            predict, file = subject.predictor.predict, uploaded_file(upload, folder)
            prediction = predict([file], top_k=NUM_CLASSES, abstain_below=subject.threshold)[0]
            text = sentence(prediction, subject.threshold)
            if prediction.error is not None:
                return None, text, gr.Label(visible=False)
            return gr.skip(), text, gr.Label(prediction.top_k, visible=True)

        # With preprocess, Gradio opens the file, and has no sentence for a broken one.
        image.change(classify, image, [image, verdict, shares], preprocess=False, api_visibility="private")
        image.clear(lambda: (HINT, gr.Label(visible=False)), None, [verdict, shares], api_visibility="private")
        with gr.Row():
            for is_correct, label in (
                (True, "Test images, classified correctly"),
                (False, "Test images, misclassified"),
            ):
                gallery([copy for copy in shown if copy.example.is_correct == is_correct], label, image)
    return page


def uploaded_file(upload: Mapping[str, Any], folder: Path) -> Path:
    """The path of an upload or example. A request can name any path, so one outside of ``folder`` is refused."""
    file = Path(upload["path"]).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise gr.Error("This file was not uploaded.")
    return file


def header(subject: Subject) -> Markup:
    names, result = subject.predictor.class_names, subject.result
    lines = [
        Markup("<h1>{}</h1><p>{} with {} classes: {}</p>").format(
            "Classify an image", subject.model, len(names), some(names)
        )
    ]
    if result:
        text = "Test accuracy <strong>{:.1%}</strong> (95% interval {:.1%} to {:.1%}) on {:,} images"
        lines += [Markup(f"<p>{text}</p>").format(result.accuracy, result.low, result.high, result.num_images)]
    if subject.threshold:
        lines += [Markup("<p>Not sure if the highest probability is below {:.1%}</p>").format(subject.threshold)]
    return Markup("").join(lines)


def sentence(prediction: Prediction, threshold: float) -> Markup:
    if prediction.error is not None:
        return Markup("<h2 class=failed>No prediction</h2><p>The file cannot be used as an image: {}.</p>").format(
            prediction.error
        )
    if prediction.abstains:
        text = (
            "<h2 class=unsure>Not sure</h2><p>The most probable class is {}, with {:.1%}; the threshold is {:.1%}.</p>"
        )
        return Markup(text).format(prediction.label, prediction.probability, threshold)
    return Markup("<h2>{}</h2><p>Probability {:.1%}</p>").format(prediction.label, prediction.probability)


def gallery(copies: "list[Copy]", label: str, image: gr.Image) -> None:
    """Test images to choose from, with their true class and, if it differs, the predicted one."""
    if not copies:
        return
    pictures = [(str(copy.thumbnail), copy.caption) for copy in copies]
    show: dict[str, Any] = {"allow_preview": False, "interactive": False, "height": "auto", "buttons": []}
    examples = gr.Gallery(pictures, label=label, elem_classes="examples", object_fit="cover", **show)

    def choose(event: gr.SelectData) -> str:
        return str(copies[event.index].file)

    examples.select(choose, None, image, api_visibility="private")


@dataclass(frozen=True)
class Copy:
    """An example that Gradio may serve."""

    example: Example
    file: Path
    thumbnail: Path

    @property
    def caption(self) -> str:
        example = self.example
        return (
            example.true_class if example.is_correct else f"{example.true_class}, predicted {example.predicted_class}"
        )


def copied(examples: list[Example], folder: Path) -> list[Copy]:
    """Copies of the files, without unreadable ones."""
    folder.mkdir()
    copies = []
    for number, example in enumerate(examples):
        copy = Copy(example, folder / f"{number}{example.file.suffix}", folder / f"{number}-small.png")
        try:
            shutil.copyfile(example.file, copy.file)
            with Image.open(copy.file) as image:
                image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
                ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (THUMBNAIL, THUMBNAIL)).save(copy.thumbnail)
        except (OSError, *UNDECODABLE):
            continue
        copies.append(copy)
    return copies


class SameOrigin:
    """Adds a content security policy to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", SAME_ORIGIN.encode())
                message["headers"] = [*message.get("headers", []), policy]
            await send(message)

        await self.app(scope, receive, send_with_policy)
