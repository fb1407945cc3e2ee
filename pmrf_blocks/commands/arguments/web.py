"""Arguments of pmrf-blocks web."""

from __future__ import annotations

import argparse

from pmrf_blocks.commands.arguments.common import DEVICE_HELP, positive

SUMMARY = "restore photographs in a browser, on this machine"
EPILOG = (
    "The page is at http://127.0.0.1:7860 and for this machine alone, unless --host says otherwise. Nothing is sent\n"
    "elsewhere. Needs pmrf-blocks[web].\n\nexample:\n  pmrf-blocks web --port 8000"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets others in (default: 127.0.0.1)"
    )
    parser.add_argument("--port", type=positive, default=7860, help="(default: 7860)")
    parser.add_argument("--max-megabytes", type=positive, default=50, help="of one uploaded file (default: 50)")
    parser.add_argument("--detector", choices=("auto", "yunet", "dlib"), default="auto", help="(default: auto)")
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)
