"""pmrf-blocks export"""

from __future__ import annotations

import argparse
import sys

from pmrf_blocks.commands.targets import ArgumentError, check_outputs
from pmrf_blocks.images import shown, write_whole
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import load_restorer
from pmrf_blocks.restoration.exporting import ExportError, export_part, save_onnx, save_program

SUFFIXES = {"torch": ".pt2", "onnx": ".onnx"}


def run(arguments: argparse.Namespace) -> int:
    path = arguments.output
    try:
        check_outputs([path], tuple(SUFFIXES.values()), overwrite=arguments.overwrite)
        kind = next(kind for kind, suffix in SUFFIXES.items() if suffix == path.suffix.lower())
        if arguments.format not in (None, kind):
            raise ArgumentError(f"--format {arguments.format} is written as {SUFFIXES[arguments.format]}")
        pipeline = load_restorer(arguments.model)
        print(f"tracing {arguments.what}: this takes up to minutes", file=sys.stderr)
        exported = export_part(pipeline, arguments.what, steps=arguments.steps, size=arguments.size)
        save = save_program if kind == "torch" else save_onnx
        write_whole(path, lambda temporary: save(exported, temporary))
    except (ArgumentError, ExportError, WeightsError) as error:
        print(f"pmrf-blocks export: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"pmrf-blocks export: cannot write {shown(path)}: {error.strerror or error}", file=sys.stderr)
        return 1
    sides = f"of multiples of {exported.multiple}" if exported.multiple else "of {}x{}".format(*exported.size)
    program = f"{arguments.what}({', '.join(exported.names)}), any batch, heights and widths {sides}"
    print(f"{shown(path)}: {program}; the program differs from the model by at most {exported.difference:.1g}")
    return 0
