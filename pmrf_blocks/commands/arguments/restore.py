"""Arguments of pmrf-blocks restore."""

from __future__ import annotations

import argparse

from pmrf_blocks.commands.arguments.common import DEVICE_HELP, WRITING, add_inputs, positive, size

SUMMARY = "restore photographs of faces"
EPILOG = (
    "The photographs should be aligned crops of one face, as FFHQ's are, of any size. The shorter side is brought\n"
    "to the model's working size, restored there, and brought back.\n\nexamples:\n"
    "  pmrf-blocks restore old.jpg --output restored.png\n"
    "  pmrf-blocks restore faces/ --output restored/ --compare\n"
    "  pmrf-blocks restore faces/ --output mean/ --posterior-mean-only   # least error, no invented detail\n\n"
    + WRITING
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument("--steps", type=positive, help="solver steps; more are slower (default: the model's own)")
    parser.add_argument(
        "--solver", default="euler", metavar="NAME", help="euler, midpoint, heun or rk4 (default: euler)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise on the flow's source (default: 0)")
    parser.add_argument(
        "--source-noise", type=float, metavar="SIGMA", help="noise on the flow's source (default: as trained)"
    )
    parser.add_argument(
        "--model", default="bundled", metavar="MODEL", help="'bundled', a folder, or a hub id (default: bundled)"
    )
    parser.add_argument(
        "--posterior-mean-only", action="store_true", help="stop at the posterior mean: least error, but blurred"
    )
    parser.add_argument(
        "--size",
        type=size,
        default="input",
        metavar="SIZE",
        help="'input': as large as the input, at least the working size; 'model': the working size; or the number of "
        "pixels of the shorter side (default: input)",
    )
    parser.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help="photographs restored at once, where they are of one working size (default: 4; 1 without "
        "CUDA where that size is over 256, for memory)",
    )
    parser.add_argument("--compare", action="store_true", help="also write NAME_compare.png: input, mean, restored")
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)
    parser.add_argument(
        "--dtype", default="auto", help="auto, float32 or bfloat16; auto is bfloat16 on CUDA only (default: auto)"
    )
