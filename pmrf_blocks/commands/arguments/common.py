"""What several commands ask for, and the types of arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

DEVICE_HELP = "'auto' takes the first of cuda, mps and cpu that works (default: auto)"

WRITING = """\
Results keep the input's file name; formats that cannot be written, or cannot hold the transparency, become .png.
Colour profile, EXIF and resolution are kept, grey pictures stay grey. JPEG is written with quality 95.
Existing files are kept unless --overwrite is given.
The exit status is 0 if everything was done, 1 if anything was skipped, 2 for bad arguments."""


def add_inputs(parser: argparse.ArgumentParser, *, output: Path | None = None) -> None:
    """Photographs to read and where results go; without `output` as default that has to be said."""
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="PHOTO_OR_FOLDER",
        help="photographs, or folders whose pictures are taken, whatever their suffix; hidden files are not",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=output,
        required=output is None,
        metavar="OUT",
        help="folder for the results, created; or, for a single photograph, a file name with an image suffix"
        + (f" (default: {output}/)" if output else ""),
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    add_reading(parser)


def add_reading(parser: argparse.ArgumentParser, *, recursive: bool = False) -> None:
    """How image files are read, in every command that reads them."""
    parser.add_argument(
        "--recursive",
        action=argparse.BooleanOptionalAction,
        default=recursive,
        help=f"also take the pictures of folders inside (default: {'yes' if recursive else 'no'})",
    )
    parser.add_argument(
        "--strict", action="store_true", help="refuse a file with something wrong in it, though its pixels are there"
    )
    parser.add_argument(
        "--max-pixels",
        type=positive,
        metavar="N",
        help="width x height above which a file is refused (default: 250 million)",
    )


def add_directions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--higher", nargs="+", default=[], metavar="SCORE", help="scores of which more is better")
    parser.add_argument("--lower", nargs="+", default=[], metavar="SCORE", help="scores of which less is better")


def add_figures(parser: argparse.ArgumentParser, explained: str) -> None:
    parser.add_argument("-o", "--output", nargs="+", type=Path, default=[], metavar="OUT", help=explained)
    parser.add_argument(
        "--style",
        choices=("screen", "paper"),
        default="screen",
        help="'paper': as wide as a column, in Times's kind of letters; PNG of 300 pixels an inch (default: screen)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def positive(text: str) -> int:
    """A whole number of an argument, at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {number}")
    return number


def whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0; got {number}")
    return number


def named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"must be NAME=FILE; got {text!r}")
    return name, value


def size(text: str) -> str | int:
    if text in ("input", "model"):
        return text
    try:
        return positive(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be 'input', 'model' or a number of pixels; got {text!r}") from None
