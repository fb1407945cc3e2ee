"""Arguments of pmrf-blocks info."""

from __future__ import annotations

import argparse

SUMMARY = "versions, devices, attention backends, optional packages and the bundled model; or all blocks by name"
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--blocks", action="store_true", help="list what can be named instead: networks, norms, solvers, metrics, ..."
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
