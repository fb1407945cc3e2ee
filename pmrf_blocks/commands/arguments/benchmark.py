"""Arguments of pmrf-blocks benchmark."""

from __future__ import annotations

import argparse

SUMMARY = "measure the blocks of this checkout beside their peers"
EPILOG = (
    "Same as: python -m benchmarks ACTION ARGUMENTS\n\nexamples:\n  pmrf-blocks benchmark run attention\n"
    "  pmrf-blocks benchmark report"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("run", "report"), help="measure, or write docs/benchmarks.md")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS", help="go to it (try --help)")
