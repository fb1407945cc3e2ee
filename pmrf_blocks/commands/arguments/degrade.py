"""Arguments of pmrf-blocks degrade."""

from __future__ import annotations

import argparse

from pmrf_blocks.commands.arguments.common import WRITING, add_inputs

SUMMARY = "make degraded copies of photographs"
EPILOG = (
    "The blind-face pipeline blurs, shrinks, adds noise, compresses as JPEG and enlarges again, each at random;\n"
    "strength scales with the picture's size. File name and --seed decide it.\n\n"
    "example:\n  pmrf-blocks degrade faces/ --output degraded/ --seed 1\n\n" + WRITING
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument("--pipeline", default="blind-face", metavar="NAME", help="(default: blind-face)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
