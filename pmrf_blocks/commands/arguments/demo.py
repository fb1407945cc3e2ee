"""Arguments of pmrf-blocks demo."""

from __future__ import annotations

import argparse
from pathlib import Path

TYPICAL_SEED = 33  # of seeds 0 to 40, the one whose degraded picture has the median PSNR
SUMMARY = "degrade and restore a photograph that is already here, and show both"
EPILOG = "The photograph is scikit-image's astronaut (Eileen Collins; NASA, public domain)."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("demo"), metavar="FOLDER", help="(default: demo)")
    parser.add_argument(
        "--seed",
        type=int,
        default=TYPICAL_SEED,
        help="of the degradation and the restoration (default: %(default)s, a degradation of median strength)",
    )
