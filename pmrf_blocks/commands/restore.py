"""pmrf-blocks restore"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pmrf_blocks.commands.aligned import restore_aligned
from pmrf_blocks.commands.devices import choose_device, choose_dtype
from pmrf_blocks.commands.photographs import Album, restore_album
from pmrf_blocks.commands.targets import ArgumentError, Plan, check_outputs, keep_out, no_others, plan
from pmrf_blocks.commands.videos import plan_videos, restore_videos, split_videos
from pmrf_blocks.faces import DetectorUnavailable, build_detector
from pmrf_blocks.faces.dlib_mmod import DlibMMOD
from pmrf_blocks.flow import list_solvers
from pmrf_blocks.images import MAX_PIXELS, within_limit
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import Pipeline, SuperResolution, load_restorer
from pmrf_blocks.restoration.photographs import photograph_weight


def run(arguments: argparse.Namespace) -> int:
    try:
        check(arguments)
        videos, pictures = split_videos(arguments.inputs)
        clips = plan_videos(videos, arguments, alone=not pictures) if videos else []
        files = (
            None
            if videos and not pictures
            else plan(
                pictures,
                arguments.output,
                overwrite=arguments.overwrite,
                recursive=arguments.recursive,
                max_pixels=arguments.max_pixels or MAX_PIXELS,
                others=beside() if arguments.compare else no_others,
            )
        )
        if files is not None and not arguments.aligned:
            keep_out(files, arguments.output / "faces", arguments.output / "index_files")
        device = choose_device(arguments.device)
        options: dict[str, Any] = {
            "solver": arguments.solver,
            "seed": arguments.seed,
            "source_noise": arguments.source_noise,
            "posterior_mean_only": arguments.posterior_mean_only,
            "dtype": choose_dtype(arguments.dtype, device),
        }
        restorer: Pipeline = load_restorer(arguments.model, device=device, optimize=True)
        options["steps"] = arguments.steps or restorer.steps
        usual = 1.0 if arguments.aligned else photograph_weight(restorer)
        options["weight"] = usual if arguments.weight is None else arguments.weight
        if arguments.aligned and files is not None:
            return restore_aligned(files, restorer, arguments, options)
        limit = arguments.max_face or 2 * restorer.size
        if arguments.min_face > limit:
            raise ArgumentError(f"--min-face must be at most --max-face; got {arguments.min_face} and {limit}")
        detector = build_detector(arguments.detector)
        if arguments.detector == "auto" and isinstance(detector, DlibMMOD):
            reason = "YuNet's weights cannot be had, so that dlib looks for faces"
            print(f"pmrf-blocks restore: {reason}: upright ones of {detector.smallest} pixels or more", file=sys.stderr)
        lanczos = arguments.background == "lanczos"
        album = Album(
            files or Plan([]),
            restorer,
            detector,
            None if lanczos else SuperResolution(arguments.background, device),
        )
        statuses = [0 if files is None else restore_album(album, arguments, options)]
        return max(*statuses, restore_videos(clips, album, arguments, options))
    except (ArgumentError, WeightsError, DetectorUnavailable) as error:
        print(f"pmrf-blocks restore: {error}", file=sys.stderr)
        return 2


def check(arguments: argparse.Namespace) -> None:
    """ArgumentError for what makes no sense together."""
    if arguments.solver not in list_solvers():
        raise ArgumentError(f"solver must be one of {', '.join(map(repr, list_solvers()))}; got {arguments.solver!r}")
    if arguments.source_noise is not None and arguments.source_noise < 0:
        raise ArgumentError(f"--source-noise must be at least 0; got {arguments.source_noise}")
    if arguments.weight is not None and not 0 <= arguments.weight <= 1:
        raise ArgumentError(f"--weight must be in 0..1; got {arguments.weight:g}")
    if arguments.min_change < 0:
        raise ArgumentError(f"--min-change must be at least 0; got {arguments.min_change:g}")
    whole = {
        "--upscale": arguments.upscale != 1,
        "--background": arguments.background != "lanczos",
        "--save-faces": arguments.save_faces,
        "--report": arguments.report is not None,
    }
    for name in (name for name, given in whole.items() if given and arguments.aligned):
        raise ArgumentError(f"{name} is for whole photographs, not for --aligned crops")
    if arguments.size is not None and not arguments.aligned:
        raise ArgumentError("--size is for --aligned crops; photographs keep their size, or take --upscale")
    if whole["--background"] and arguments.upscale == 1:
        raise ArgumentError("--background FILE enlarges what is not face; it needs --upscale 2 or 4")
    if arguments.report is not None:
        check_outputs([arguments.report], (".json",), overwrite=arguments.overwrite, option="--report")


def beside() -> Callable[[Path], tuple[Path, ...]]:
    """Where the comparison goes that --compare writes beside a result: NAME_compare.png; of a second picture of that
    name, as b.png beside b.jpg, NAME.EXT_compare.png."""
    owners: dict[Path, Path] = {}

    def comparison_of(target: Path) -> tuple[Path, ...]:
        made = target.with_name(within_limit(target.stem, "_compare.png"))
        if owners.setdefault(made, target) != target:
            made = target.with_name(within_limit(target.name, "_compare.png"))
        return (made,)

    return comparison_of
