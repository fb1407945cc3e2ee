"""Arguments of pmrf-blocks grid."""

from __future__ import annotations

import argparse
from pathlib import Path

from pmrf_blocks.commands.arguments.common import add_reading, positive

SUMMARY = "draw methods' results side by side, with parts enlarged"
EPILOG = (
    "A column for each folder, a row for each picture; pictures are matched by name, whatever their suffix. A picture\n"
    "that a folder lacks, or that has another size there, is an error. .png shows every pixel (--scale makes each a\n"
    "square); .pdf and .svg, which need pmrf-blocks[plots], embed the pictures as they are and the labels as text.\n\n"
    "examples:\n"
    "  pmrf-blocks grid Input=lq/ GFPGAN=gfpgan/ Ours=ours/ GT=gt/ --rows 3 -o figure4.pdf\n"
    "  pmrf-blocks grid lq/ ours/ --images 0012,0345 --zoom 200,220,64 --zoom 0345:180,300,48 -o grid.png grid.pdf"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", metavar="NAME=FOLDER", help="a column: its label and its pictures (or FOLDER, or a file)"
    )
    parser.add_argument(
        "-o", "--output", nargs="+", type=Path, required=True, metavar="OUT", help="files to write (.png, .pdf, .svg)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--rows", type=positive, default=4, metavar="N", help="the first N pictures of the first folder (default: 4)"
    )
    chosen.add_argument(
        "--images", action="append", metavar="NAMES", help="these pictures, in this order, separated by commas"
    )
    parser.add_argument(
        "--zoom",
        action="append",
        default=[],
        type=zoomed,
        metavar="[NAME:]X,Y,SIZE",
        help="enlarge the square with this left upper corner and side, in pixels of the pictures, in every row or in "
        "the picture NAME's; up to four a row",
    )
    parser.add_argument("--zoom-below", action="store_true", help="enlargements below the pictures, not in corners")
    parser.add_argument(
        "--scale", type=positive, default=1, metavar="N", help=".png: N x N pixels for each of a picture (default: 1)"
    )
    parser.add_argument(
        "--width", type=float, default=6.875, metavar="INCHES", help=".pdf, .svg: width of the page (default: 6.875)"
    )
    add_reading(parser)


def zoomed(text: str) -> tuple[str | None, tuple[int, int, int]]:
    """(the picture's name or None for all, (left, top, side))."""
    name, colon, numbers = text.rpartition(":")
    try:
        left, top, side = map(int, numbers.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be X,Y,SIZE or NAME:X,Y,SIZE; got {text!r}") from None
    return name if colon else None, (left, top, side)
