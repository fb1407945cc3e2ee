"""pmrf-blocks restore"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from pmrf_blocks.commands.devices import choose_device, choose_dtype
from pmrf_blocks.commands.files import Job, for_each
from pmrf_blocks.commands.targets import ArgumentError, no_others, plan
from pmrf_blocks.flow import SOLVERS
from pmrf_blocks.images import MAX_PIXELS, save_picture, within_limit, write_image
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import Pipeline, RestoredCrop, comparison, load_restorer, restore_crops
from pmrf_blocks.restoration.aligned import working_size

TILE = 256
BATCH = 4  # photographs, where one alone leaves the device waiting: on CUDA, and at working sizes up to SMALL elsewhere
SMALL = 256


def run(arguments: argparse.Namespace) -> int:
    try:
        if arguments.solver not in SOLVERS:
            raise ArgumentError(f"solver must be one of {', '.join(map(repr, SOLVERS))}; got {arguments.solver!r}")
        if arguments.source_noise is not None and arguments.source_noise < 0:
            raise ArgumentError(f"--source-noise must be at least 0; got {arguments.source_noise}")
        files = plan(
            arguments.inputs,
            arguments.output,
            overwrite=arguments.overwrite,
            recursive=arguments.recursive,
            max_pixels=arguments.max_pixels or MAX_PIXELS,
            others=beside if arguments.compare else no_others,
        )
        device = choose_device(arguments.device)
        dtype = choose_dtype(arguments.dtype, device)
        restorer: Pipeline = load_restorer(arguments.model, device=device)
    except (ArgumentError, WeightsError) as error:
        print(f"pmrf-blocks restore: {error}", file=sys.stderr)
        return 2
    steps = arguments.steps or restorer.steps
    units = 1 if arguments.posterior_mean_only else steps
    with tqdm(total=units * len(files.items), desc="restore", unit="step", file=sys.stderr) as bar:

        def make(jobs: list[Job]) -> list[RestoredCrop]:
            return restore_crops(
                restorer,
                [job.photograph for job in jobs],
                size=arguments.size,
                steps=steps,
                solver=arguments.solver,
                seed=arguments.seed,
                source_noise=arguments.source_noise,
                posterior_mean_only=arguments.posterior_mean_only,
                dtype=dtype,
                progress=lambda done, of: bar.update(len(jobs)),
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

        batch = arguments.batch or (BATCH if device.type == "cuda" or restorer.size <= SMALL else 1)
        skipped = for_each(
            files,
            bar,
            units,
            make,
            write,
            batch=batch,
            alike=lambda photograph: working_size(photograph, restorer),
            max_pixels=arguments.max_pixels or MAX_PIXELS,
            strict=arguments.strict,
        )
    return 1 if skipped else 0


def beside(target: Path) -> tuple[Path, ...]:
    """Where the comparison goes that --compare writes beside a result."""
    return (target.with_name(within_limit(target.stem, "_compare.png")),)
