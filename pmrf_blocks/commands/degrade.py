"""pmrf-blocks degrade"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from pmrf_blocks.commands.files import ArgumentError, collect, for_each
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

        def work(photograph: Photograph, path: Path, target: Path) -> None:
            generator = derive_generator("degrade", arguments.seed, path.name)
            degraded, _ = degradation(photograph.pixels[None], generator=generator)
            write_photograph(Photograph(degraded[0], photograph.alpha), target)
            bar.write(str(target), file=sys.stdout)

        skipped = for_each(files, bar, 1, work)
    return 1 if skipped else 0
