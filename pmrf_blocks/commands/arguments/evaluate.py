"""Arguments of pmrf-blocks evaluate."""

from __future__ import annotations

import argparse
from pathlib import Path

from pmrf_blocks.commands.arguments.common import DEVICE_HELP, add_reading, named, positive, whole

SUMMARY = "measure restored images, of any method, under a named protocol"
EPILOG = (
    "Images are matched by name, whatever their suffix; nothing is resized, converted or left out. Protocols:\n"
    "images (any size; needs no downloads), celeba-test (the paper's table 4), celeba-test-vae (tables 2 and 3),\n"
    "real-faces (no ground truth; an unpaired --reference), offline-faces, offline-faces-128. docs/metrics.md has\n"
    "all metrics. What is not available here is listed with what to install or which file to give.\n\nexamples:\n"
    "  pmrf-blocks evaluate restored/ --reference originals/\n"
    "  pmrf-blocks evaluate ours/ gfpgan/ --reference gt/ --degraded lq/ --protocol celeba-test \\\n"
    "    --weights arcface=resnet18_110.pth --weights inception=pt_inception-2015-12-05-6726825d.pth\n\n"
    "The exit status is 0 if everything asked for was measured, 1 if something was not available, 2 if arguments\n"
    "or images do not fit together (then there are no numbers)."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("restored", nargs="+", type=Path, metavar="RESTORED", help="a folder of images for each row")
    parser.add_argument("--reference", type=Path, metavar="GT", help="folder of the originals")
    parser.add_argument("--degraded", type=Path, metavar="LQ", help="folder of the inputs: one row more, 'input'")
    parser.add_argument("--posterior-mean", type=Path, metavar="DIR", help="folder that IndRMSE compares with")
    parser.add_argument("--protocol", default="images", metavar="NAME", help="(default: images)")
    parser.add_argument(
        "--metrics",
        action="append",
        metavar="NAMES",
        help="separated by commas (default: the protocol's, as far as the folders that they compare with are given)",
    )
    parser.add_argument("--format", default="table", choices=("table", "json", "csv", "markdown"))
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there, not to stdout")
    parser.add_argument("--per-image", type=Path, metavar="FILE", help="also one row an image, .csv or .json")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        type=named,
        metavar="NAME=FILE",
        help="a published weight file, or OWNER/NAME[@REVISION]:FILE of the Hugging Face hub; may be repeated",
    )
    parser.add_argument(
        "--statistics",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="of a reference set, as --save-statistics wrote them; may be repeated",
    )
    parser.add_argument("--save-statistics", type=Path, metavar="FOLDER", help="write the reference's, EXTRACTOR.npz")
    parser.add_argument(
        "--statistics-name", metavar="NAME", help="of the set in what --save-statistics writes (default: its folder's)"
    )
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)
    parser.add_argument("--batch-size", type=positive, default=8, metavar="N", help="(default: 8)")
    parser.add_argument("--workers", type=positive, default=2, metavar="N", help="that decode images (default: 2)")
    parser.add_argument(
        "--bootstrap", type=whole, default=1000, metavar="N", help="resamples for intervals; 0: none (default: 1000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    add_reading(parser)
