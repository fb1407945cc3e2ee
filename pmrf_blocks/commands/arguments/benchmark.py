"""Arguments of pmrf-blocks benchmark."""

from __future__ import annotations

import argparse

SUMMARY = "measure the blocks of this checkout beside their peers"
EPILOG = (
    "Same as: python -m benchmarks ACTION ARGUMENTS\n\nexamples:\n  pmrf-blocks benchmark run attention\n"
    "  pmrf-blocks benchmark report\n  pmrf-blocks benchmark cuda"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("run", "report", "cuda"),
        help="measure, write docs/benchmarks.md, or both on a GPU in under ten minutes",
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS", help="go to it (try --help)")
