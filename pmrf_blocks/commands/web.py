"""pmrf-blocks web"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pmrf_blocks.commands.devices import choose_device
from pmrf_blocks.commands.targets import ArgumentError
from pmrf_blocks.faces import DetectorUnavailable, build_detector
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import load_restorer
from pmrf_blocks.web import Studio, build_page


def run(arguments: argparse.Namespace) -> int:
    if importlib.util.find_spec("gradio") is None:
        print("pmrf-blocks web: install pmrf-blocks[web] (gradio)", file=sys.stderr)
        return 2
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported; nothing is to leave the machine
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        device = choose_device(arguments.device)
        studio = Studio(
            lambda name: load_restorer(name, device=device, optimize=True), build_detector(arguments.detector)
        )
    except (ArgumentError, WeightsError, DetectorUnavailable) as error:
        print(f"pmrf-blocks web: {error}", file=sys.stderr)
        return 2
    import gradio as gr

    try:
        with uploads():
            build_page(studio).launch(
                server_name=arguments.host,
                server_port=arguments.port,
                max_file_size=f"{arguments.max_megabytes}mb",
                inbrowser=False,
                share=False,
                theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            )
    except OSError as error:
        print(f"pmrf-blocks web: {error}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def uploads() -> Iterator[None]:
    """gradio keeps its copies of uploads in a folder that goes when the server ends, unless a place is set for them."""
    if "GRADIO_TEMP_DIR" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="pmrf-blocks-uploads-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["GRADIO_TEMP_DIR"]
