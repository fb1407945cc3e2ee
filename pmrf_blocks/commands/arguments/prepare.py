"""Arguments of pmrf-blocks prepare."""

from __future__ import annotations

import argparse
from pathlib import Path

from pmrf_blocks.commands.arguments.common import add_reading, positive

EPILOG = """\
SET is one of:
  ffhq         1024x1024 faces, brought to 512x512; first-10000.txt lists those that the VAE trains on
  lsdir        photographs, cut into 512x512 patches, 384 apart; kept are those with a Q-Align score of
               at least 3.5, by a file of scores, or by pyiqa where it is installed
  celeba-test  pairs of sharp and degraded faces, by name, into OUT/hq and OUT/lq
  lfw, webphoto, wider
               real degraded faces, each file decoded and copied
  faces        any photographs: their faces, aligned as FFHQ's are, --size pixels squared; those that would
               have to be enlarged are left out
  folder       any images, as they are or, with --size, brought to a size

The published number of images is checked. Folders inside SOURCE are kept in OUT. What is in OUT already is not
made again: the same command goes on where it was stopped. OUT/problems.txt lists every file that cannot be read
or is of a wrong size; the exit status is 0 only if there are none, 2 for bad arguments.

examples:
  pmrf-blocks prepare ffhq images1024x1024/ --output data/ffhq512 --workers 16
  pmrf-blocks prepare lsdir LSDIR/train/ --output data/lsdir512 --scores qalign.csv --workers 16
  pmrf-blocks prepare celeba-test celeba_hq/ --lq celeba_lq/ --output data/celeba --expect published
  pmrf-blocks prepare faces album/ --output data/faces256 --size 256 --workers 4
  pmrf-blocks prepare folder holiday/ --output data/holiday256 --size 256"""
SUMMARY = "make training and test images out of downloaded sets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sets = ("ffhq", "lsdir", "celeba-test", "lfw", "webphoto", "wider", "faces", "folder")
    parser.add_argument("set", choices=sets, metavar="SET", help=", ".join(sets))
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder that holds the images, at any depth")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results, created"
    )
    parser.add_argument(
        "--size", type=positive, metavar="PIXELS", help="shorter side of the results, or side of the patches"
        " (default: 512 for ffhq, lsdir, celeba-test and faces; else as the images are)",
    )  # fmt: skip
    parser.add_argument("--stride", type=positive, default=384, help="between patches, in pixels (default: 384)")
    parser.add_argument(
        "--min-score", type=float, default=3.5, metavar="SCORE", help="of a patch; 0 takes all (default: 3.5)"
    )
    parser.add_argument(
        "--scores", type=Path, metavar="FILE",
        help=".csv of lines NAME,SCORE or .json of {NAME: SCORE}; NAME is the patch's in OUT, such as 0001_384_0.png "
        "(image, top, left)",
    )  # fmt: skip
    parser.add_argument(
        "--detector", choices=("auto", "yunet", "dlib"), default="auto", help="what finds faces (default: auto)"
    )
    parser.add_argument("--device", help="where Q-Align runs: cpu, cuda (default: pyiqa's choice)")
    parser.add_argument("--lq", type=Path, metavar="FOLDER", help="degraded faces of celeba-test")
    parser.add_argument(
        "--first",
        type=positive,
        default=10_000,
        metavar="N",
        help="images in ffhq's list (default: 10000)",
    )
    parser.add_argument(
        "--expect", nargs="?", const="published", type=count, metavar="N",
        help="another number of images than N (without N: than the published one) is an error, not a warning",
    )  # fmt: skip
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that work (default: 1)")
    add_reading(parser, recursive=True)


def count(text: str) -> str | int:
    return text if text == "published" else positive(text)
