"""pmrf-blocks degrade"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from tqdm import tqdm

from pmrf_blocks.commands.files import Job, for_each
from pmrf_blocks.commands.targets import ArgumentError, plan
from pmrf_blocks.degradations import build_degradation
from pmrf_blocks.images import MAX_PIXELS, LoadedImage, shown, write_image
from pmrf_blocks.seeding import derive_generator


def run(arguments: argparse.Namespace) -> int:
    try:
        degradation = build_degradation(arguments.pipeline)
        files = plan(
            arguments.inputs,
            arguments.output,
            overwrite=arguments.overwrite,
            recursive=arguments.recursive,
            max_pixels=arguments.max_pixels or MAX_PIXELS,
        )
    except (ArgumentError, ValueError) as error:
        print(f"pmrf-blocks degrade: {error}", file=sys.stderr)
        return 2
    with tqdm(total=len(files.items), desc="degrade", unit="photo", file=sys.stderr) as bar:

        def make(jobs: list[Job]) -> list[LoadedImage]:
            return [degraded(job) for job in jobs]

        def degraded(job: Job) -> LoadedImage:
            generator = derive_generator("degrade", arguments.seed, shown(job.path.name))
            pixels = degradation(job.photograph.pixels[None], generator=generator)[0][0]
            return replace(job.photograph, pixels=pixels)

        def write(job: Job, result: LoadedImage) -> None:
            write_image(result, job.target)

        skipped = for_each(
            files, bar, 1, make, write, max_pixels=arguments.max_pixels or MAX_PIXELS, strict=arguments.strict
        )
    return 1 if skipped else 0
