"""Arguments of pmrf-blocks convergence."""

from __future__ import annotations

import argparse
from pathlib import Path

from pmrf_blocks.commands.arguments.common import add_directions, add_figures, positive

SUMMARY = "how much sooner one training run reaches what another ends with"
EPILOG = (
    "The target is the last score of SLOW. FAST reaches it where the straight lines through its scores first do.\n"
    "The factor is the end of SLOW over that place (5.79 in the paper's figure 1). The exit status is 1 if FAST\n"
    "does not reach it.\n\n"
    "example:\n  pmrf-blocks convergence runs/latent runs/pixel --score val_fid val_dists --output convergence.png"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fast", type=Path, metavar="FAST", help="a run's folder, or its stats.jsonl")
    parser.add_argument("slow", type=Path, metavar="SLOW", help="the run to be compared with")
    parser.add_argument("--score", nargs="+", required=True, metavar="SCORE", help="as stats.jsonl names it")
    parser.add_argument(
        "--axis", choices=("images", "steps", "hours"), default="images", help="what is counted (default: images)"
    )
    parser.add_argument(
        "--smoothing", type=positive, default=1, metavar="N", help="mean of the last N scores (default: 1, none)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_directions(parser)
    add_figures(parser, "figure to write (.png, .svg, .pdf)")
