"""Arguments of pmrf-blocks restore."""

from __future__ import annotations

import argparse
from pathlib import Path

from pmrf_blocks.commands.arguments.common import DEVICE_HELP, WRITING, add_inputs, positive, size

SUMMARY = "restore the faces of photographs"
EPILOG = (
    "The faces of each photograph are found, aligned, restored and pasted back; everything else stays as it is. A\n"
    "face larger than --max-face is left alone: the model has less detail than it. OUT/index.html shows before and\n"
    "after. Face crops that are aligned as FFHQ's need no detector: --aligned. Videos, given by their names, are\n"
    "restored frame by frame with their sound.\n\n"
    "examples:\n"
    "  pmrf-blocks restore family.jpg -o restored/\n"
    "  pmrf-blocks restore album/ --recursive --report report.json\n"
    "  pmrf-blocks restore small.png -o large.png --upscale 2 --weight 1\n"
    "  pmrf-blocks restore clip.mp4 -o new.mp4        # with pip install pmrf-blocks[video]\n"
    "  pmrf-blocks restore faces/ -o restored/ --aligned --compare\n\n" + WRITING
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser, output=Path("restored"))
    faces = parser.add_argument_group("faces")
    faces.add_argument(
        "--faces", choices=("all", "largest", "center"), default="all", help="which to restore (default: all)"
    )
    faces.add_argument(
        "--min-face", type=positive, default=24, metavar="PIXELS", help="smaller faces are not looked for (default: 24)"
    )
    faces.add_argument(
        "--max-face",
        type=positive,
        metavar="PIXELS",
        help="larger faces are left alone (default: twice the model's working size)",
    )
    faces.add_argument(
        "--min-change",
        type=float,
        default=0.55,
        metavar="SHARE",
        help="a face that the posterior mean changes by less than this share of its detail is left alone as clean; 0 "
        "restores every face (default: 0.55)",
    )
    faces.add_argument(
        "--detector",
        choices=("auto", "yunet", "dlib"),
        default="auto",
        help="'auto' is YuNet, else dlib where it is installed (default: auto)",
    )
    faces.add_argument(
        "--aligned",
        action="store_true",
        help="each picture is an aligned crop of one face: restored as a whole at the model's working size",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        default="bundled",
        metavar="MODEL",
        help="'bundled', a model's or a run's folder, a published PMRF's file, or a hub id, OWNER/NAME or "
        "OWNER/NAME@REVISION (default: bundled)",
    )
    model.add_argument(
        "--weight",
        type=float,
        metavar="W",
        help="0 is the posterior mean, least error and blurred; 1 the flow's result, sharp and bolder (default: 0.4; 1 "
        "with --aligned, and of a model without a posterior mean)",
    )
    model.add_argument(
        "--posterior-mean-only", action="store_true", help="stop at the posterior mean: --weight 0, and less time"
    )
    model.add_argument("--steps", type=positive, help="solver steps; more are slower (default: the model's own)")
    model.add_argument(
        "--solver", default="euler", metavar="NAME", help="euler, midpoint, heun, rk4 or dopri5 (default: euler)"
    )
    model.add_argument("--seed", type=int, default=0, help="of the noise on the flow's source (default: 0)")
    model.add_argument(
        "--source-noise", type=float, metavar="SIGMA", help="noise on the flow's source (default: as trained)"
    )
    model.add_argument("--device", default="auto", help=DEVICE_HELP)
    model.add_argument(
        "--dtype", default="auto", help="auto, float32 or bfloat16; auto is bfloat16 on CUDA only (default: auto)"
    )
    model.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help="faces of a photograph, or aligned crops of one working size, restored at once (default: 4; with "
        "--aligned 1 without CUDA where that size is over 256, for memory)",
    )
    results = parser.add_argument_group("results")
    results.add_argument(
        "--upscale", type=int, choices=(1, 2, 4), default=1, help="enlarge photographs so many times (default: 1)"
    )
    results.add_argument(
        "--background",
        default="lanczos",
        metavar="FILE",
        help="how --upscale enlarges what is not face: 'lanczos', or a super-resolution checkpoint (default: lanczos)",
    )
    results.add_argument(
        "--size",
        type=size,
        metavar="SIZE",
        help="with --aligned: 'input': as large as the input, at least the working size; 'model': the working size; or "
        "the number of pixels of the shorter side (default: input)",
    )
    results.add_argument("--compare", action="store_true", help="also write NAME_compare.png: before and after")
    results.add_argument(
        "--save-faces", action="store_true", help="also write each face's aligned crop, before and after, to OUT/faces"
    )
    results.add_argument("--report", type=Path, metavar="FILE", help="write a .json of what was done to each face")
