"""pmrf-blocks restore --aligned: pictures that are crops of one face each."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tqdm import tqdm

from pmrf_blocks.commands.files import Job, for_each
from pmrf_blocks.commands.targets import Plan
from pmrf_blocks.images import MAX_PIXELS, save_picture, shown, write_image
from pmrf_blocks.restoration import Pipeline, RestoredCrop, comparison, restore_crops
from pmrf_blocks.restoration.aligned import loss_of_detail, working_size

TILE = 256
BATCH = 4  # photographs, where one alone leaves the device waiting: on CUDA, and at working sizes up to SMALL elsewhere
SMALL = 256


def restore_aligned(files: Plan, restorer: Pipeline, arguments: argparse.Namespace, options: dict[str, Any]) -> int:
    """Restore each picture as a whole; the exit status."""
    units = 1 if arguments.posterior_mean_only else options["steps"]
    with tqdm(total=units * len(files.items), desc="restore", unit="step", file=sys.stderr) as bar:

        def make(jobs: list[Job]) -> list[RestoredCrop]:
            for job in jobs:
                if loss := loss_of_detail(job.photograph.pixels, restorer.size):
                    bar.write(f"{shown(job.path)}: {loss}", file=sys.stderr)
            return restore_crops(
                restorer,
                [job.photograph for job in jobs],
                size=arguments.size or "input",
                progress=lambda done, of: bar.update(len(jobs)),
                **options,
            )

        def write(job: Job, restored: RestoredCrop) -> None:
            if arguments.compare:
                tiles = [("input", restored.degraded)]
                if restored.posterior_mean is not None:
                    tiles.append(("posterior mean", restored.posterior_mean))
                if not arguments.posterior_mean_only:
                    tiles.append(("restored", restored.result.pixels))
                width = max(TILE, min(512, restored.degraded.shape[-1]))
                save_picture(comparison([tiles], tile=width), job.targets[1])
            write_image(restored.result, job.target)

        small = restorer.device.type == "cuda" or restorer.size <= SMALL
        skipped = for_each(
            files,
            bar,
            units,
            make,
            write,
            batch=arguments.batch or (BATCH if small else 1),
            alike=lambda photograph: working_size(photograph, restorer),
            max_pixels=arguments.max_pixels or MAX_PIXELS,
            strict=arguments.strict,
        )
    return 1 if skipped else 0
