"""Arguments of pmrf-blocks plane."""

from __future__ import annotations

import argparse

from pmrf_blocks.commands.arguments.common import add_directions, add_figures

SUMMARY = "draw methods on the perception-distortion plane"
EPILOG = (
    "Reads what 'pmrf-blocks evaluate --format json' and docs/make/bundled_results.py write, prints a table and\n"
    "marks the Pareto front. FILE, NAME=FILE, or NAME@NFE=FILE: points of one name become a curve over NFE.\n\n"
    "examples:\n"
    "  pmrf-blocks plane gfpgan.json PMRF=pmrf.json --distortion psnr --perception fid --output plane.png\n"
    "  pmrf-blocks plane Ours@1=one.json Ours@5=five.json Ours@25=all.json --output plane.svg plane.csv\n"
    "  pmrf-blocks plane docs/results/bundled.json --without degraded --output plane.png plane.md"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="evaluations as JSON; NAME=FILE, NAME@NFE=FILE")
    parser.add_argument("--distortion", metavar="SCORE", help="horizontal axis (default: the first of psnr, mse, ...)")
    parser.add_argument("--perception", metavar="SCORE", help="vertical axis (default: the first of fid, fd, mmd, ...)")
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME", help="methods to leave out")
    parser.add_argument(
        "--reference", nargs="+", default=[], metavar="NAME", help="drawn hollow and kept out of the Pareto front"
    )
    parser.add_argument("--title", default="", help="above the figure")
    add_directions(parser)
    add_figures(parser, "files to write: a figure (.png, .svg, .pdf), a table (.csv, .md)")
