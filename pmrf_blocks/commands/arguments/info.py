"""Arguments of pmrf-blocks info."""

from __future__ import annotations

import argparse

SUMMARY = "versions, devices, attention backends and the bundled model"
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
