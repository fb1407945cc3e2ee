"""Arguments of pmrf-blocks export."""

from __future__ import annotations

import argparse
from pathlib import Path

from pmrf_blocks.commands.arguments.common import positive

SUMMARY = "write a model, or one of its networks, as a program without Python"
EPILOG = (
    "Batch, height and width stay free, the last two as multiples of a number that the command prints. The program is\n"
    "run at three sizes and compared with the model before it is written. 'restore' is program(images, noise):\n"
    "images (B, 3, H, W) in [0, 1], noise standard normal of the flow's space, (B, C, H/8, W/8) in latents.\n\n"
    "examples:\n"
    "  pmrf-blocks export --what decoder -o decoder.pt2\n"
    "  pmrf-blocks export --what restore --steps 5 --format onnx -o restore.onnx   # pip install pmrf-blocks[onnx]\n"
    "  pmrf-blocks export --model RUNS/flow-14fcfd39/pipeline --what velocity -o velocity.pt2"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--what",
        required=True,
        choices=("restore", "decoder", "encoder", "estimator", "velocity"),
        help="the whole pipeline, or one of its networks",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write")
    parser.add_argument(
        "--model",
        default="bundled",
        metavar="MODEL",
        help="'bundled', a model's or a run's folder, a published PMRF's file, or a hub id, OWNER/NAME or "
        "OWNER/NAME@REVISION (default: bundled)",
    )
    parser.add_argument(
        "--format",
        choices=("torch", "onnx"),
        help="torch.export's .pt2, or .onnx (default: by the suffix of FILE)",
    )
    parser.add_argument("--steps", type=positive, help="Euler steps of 'restore', unrolled (default: the model's own)")
    parser.add_argument(
        "--size",
        type=positive,
        metavar="PIXELS",
        help="take square inputs of this side only, where sizes cannot stay free (default: free)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE")
