"""The page, by gradio. It is served from this machine alone, without fonts, scripts or analytics from elsewhere."""

from __future__ import annotations

from typing import Any

from pmrf_blocks.web.restoring import MODELS, Outcome, Settings, Studio

INTRODUCTION = (
    "# Restore photographs\n"
    "Faces are found, restored and pasted back; everything else stays as it is. Nothing leaves this machine."
)


def build_page(studio: Studio) -> Any:
    """The gradio page (gr.Blocks) around a Studio; .launch() serves it. One photograph is restored at a time, others
    wait in a queue of 16. ImportError where gradio is not installed."""
    import gradio as gr

    def run(
        files: list[str] | None,
        weight: float,
        faces: str,
        upscale: int,
        seed: float,
        model: str,
        progress: Any = gr.Progress(),  # noqa: B008 gradio recognises it by this default
    ) -> tuple[Any, ...]:
        settings = Settings(float(weight), faces, int(upscale), int(seed or 0), model)
        outcome = studio.restore(files or [], settings, lambda share, text: progress(share, desc=text))
        names = [f"{number}. {one.name}" for number, one in enumerate(outcome.shown, 1)]
        chosen = gr.Radio(choices=names, value=names[0] if names else None, visible=len(names) > 1)
        target = None if outcome.download is None else str(outcome.download)
        download = gr.DownloadButton(value=target, interactive=target is not None)
        return outcome, outcome.message, chosen, download, *show(outcome, names[0] if names else None)

    def show(outcome: Outcome | None, name: str | None) -> tuple[Any, Any]:
        if outcome is None or name is None:
            return None, None
        one = outcome.shown[int(name.split(".")[0]) - 1]
        return (one.before, one.after), (one.before, one.faces)

    with gr.Blocks(title="pmrf-blocks", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(INTRODUCTION)
        outcome = gr.State()
        with gr.Row():
            with gr.Column(scale=1):
                files = gr.File(label="Photographs", file_count="multiple", elem_id="upload")
                weight = gr.Slider(
                    0, 1, value=Settings().weight, step=0.05, label="Weight: 0 is least error, 1 is sharp"
                )
                faces = gr.Radio(["all", "largest", "center"], value="all", label="Faces")
                upscale = gr.Radio([1, 2, 4], value=1, label="Enlarge")
                seed = gr.Number(0, precision=0, label="Seed")
                model = gr.Dropdown(list(MODELS), value=MODELS[0], label="Model")
                button = gr.Button("Restore", variant="primary", elem_id="restore")
            with gr.Column(scale=2):
                message = gr.Markdown(elem_id="message")
                chosen = gr.Radio(choices=[], visible=False, label="Photograph")
                slider = gr.ImageSlider(label="Before and after", interactive=False, elem_id="slider")
                found = gr.AnnotatedImage(label="Faces found", elem_id="faces")
                download = gr.DownloadButton("Download", interactive=False, elem_id="download")
        inputs = [files, weight, faces, upscale, seed, model]
        button.click(run, inputs, [outcome, message, chosen, download, slider, found], concurrency_limit=1)
        chosen.change(show, [outcome, chosen], [slider, found])
    return page.queue(max_size=16)
