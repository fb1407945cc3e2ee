"""pmrf-blocks degrade"""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from pmrf_blocks.commands.files import ArgumentError, Job, collect, for_each
from pmrf_blocks.data.photographs import Photograph, write_photograph
from pmrf_blocks.degradations import build_degradation
from pmrf_blocks.seeding import derive_generator


def run(arguments: argparse.Namespace) -> int:
    try:
        degradation = build_degradation(arguments.pipeline)
        files = collect(arguments.inputs, arguments.output, overwrite=arguments.overwrite)
    except (ArgumentError, ValueError) as error:
        print(f"pmrf-blocks degrade: {error}", file=sys.stderr)
        return 2
    with tqdm(total=len(files.paths), desc="degrade", unit="photo", file=sys.stderr) as bar:

        def make(jobs: list[Job]) -> list[Photograph]:
            return [degraded(job) for job in jobs]

        def degraded(job: Job) -> Photograph:
            generator = derive_generator("degrade", arguments.seed, job.path.name)
            return Photograph(degradation(job.photograph.pixels[None], generator=generator)[0][0], job.photograph.alpha)

        def write(job: Job, result: Photograph) -> None:
            write_photograph(result, job.target)
            bar.write(str(job.target), file=sys.stdout)

        skipped = for_each(files, bar, 1, make, write)
    return 1 if skipped else 0
