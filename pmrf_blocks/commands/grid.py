"""pmrf-blocks grid"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pmrf_blocks.analysis import GridRow, Zoom, draw_grid, grid_figure
from pmrf_blocks.commands.targets import ArgumentError, cannot_hold_files, check_outputs
from pmrf_blocks.images import MAX_PIXELS, ImageError, save_picture, shown
from pmrf_blocks.metrics.image_sets import LISTED, ImageSetError, Reading, find_set, inspect, read
from pmrf_blocks.plotting import FIGURE_SUFFIXES, figure_style, save_figure

Sets = dict[str, dict[str, Path]]  # by label, then by the picture's name


def run(arguments: argparse.Namespace) -> int:
    """0: all is written; 1: a file could not be; 2: arguments or pictures do not fit together."""
    reading = Reading(arguments.recursive, arguments.max_pixels or MAX_PIXELS, arguments.strict)
    try:
        outputs = check_outputs(arguments.output, FIGURE_SUFFIXES, overwrite=arguments.overwrite)
        for path in outputs:
            if reason := cannot_hold_files(path.parent):
                raise ArgumentError(f"--output {shown(path)}: {reason}")
        if not (math.isfinite(arguments.width) and 0 < arguments.width <= 100):
            raise ArgumentError(f"--width must be above 0 and at most 100 inches; got {arguments.width}")
        sets = _sets(arguments.folders, reading)
        names = _chosen(sets, arguments)
        zooms = _zooms(names, arguments.zoom)
        _check_sizes(sets, names, reading)
        rows = [
            GridRow(tuple(read(pictures[name], reading).float() / 255.0 for pictures in sets.values()), zooms[name])
            for name in names
        ]
        writers = [(path, _drawn(path, list(sets), rows, arguments)) for path in outputs]
    except (ValueError, ImportError) as error:
        print(f"pmrf-blocks grid: {error}", file=sys.stderr)
        return 2
    whole = True
    for path, write in writers:
        try:
            write()
            print(shown(path))
        except (ImageError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            print(f"pmrf-blocks grid: {shown(path)} is not written: {reason}", file=sys.stderr)
            whole = False
    return 0 if whole else 1


def _drawn(path: Path, labels: list[str], rows: list[GridRow], arguments: argparse.Namespace) -> Callable[[], object]:
    """The grid, drawn as the file's kind needs it, and how it is written."""
    if path.suffix.lower() == ".png":
        picture = draw_grid(labels, rows, scale=arguments.scale, zooms_below=arguments.zoom_below)
        return partial(save_picture, picture, path)
    with figure_style("paper"):
        figure = grid_figure(labels, rows, width=arguments.width, zooms_below=arguments.zoom_below)
    return partial(save_figure, figure, path, style="paper")


def _sets(given: list[str], reading: Reading) -> Sets:
    """The pictures of each column. Folders of one picture each are one row, whatever the pictures are called."""
    sets: Sets = {}
    for text in given:
        label, equals, place = text.partition("=")
        if not equals or os.path.lexists(text):
            place = text
            label = Path(text).stem if Path(text).is_file() else Path(os.path.realpath(text)).name
        if label in sets:
            raise ArgumentError(f"two columns are called {label!r}; give them names, NAME=FOLDER")
        sets[label] = find_set(place, reading, tell=partial(print, file=sys.stderr))
    if all(len(pictures) == 1 for pictures in sets.values()):
        name = next(iter(next(iter(sets.values()))))
        sets = {label: {name: next(iter(pictures.values()))} for label, pictures in sets.items()}
    return sets


def _chosen(sets: Sets, arguments: argparse.Namespace) -> list[str]:
    """The pictures that are rows; ImageSetError where a column lacks one of them."""
    if arguments.images:
        names = list(dict.fromkeys(name for text in arguments.images for name in text.split(",") if name))
    else:
        names = list(next(iter(sets.values())))[: arguments.rows]
    lacking = []
    for label, pictures in sets.items():
        if missing := [shown(name) for name in names if name not in pictures]:
            more = ", ..." if len(missing) > LISTED else ""
            lacking.append(f"{label} has no {', '.join(missing[:LISTED])}{more}")
    if lacking or not names:
        raise ImageSetError("; ".join(lacking) or "--images names no picture")
    return names


def _zooms(names: list[str], given: list[tuple[str | None, tuple[int, int, int]]]) -> dict[str, tuple[Zoom, ...]]:
    for name, _ in given:
        if name is not None and name not in names:
            raise ArgumentError(f"--zoom {name}:...: no such row; there are: {', '.join(map(shown, names))}")
    return {row: tuple(Zoom(*part) for name, part in given if name in (None, row)) for row in names}


def _check_sizes(sets: Sets, names: list[str], reading: Reading) -> None:
    """ImageSetError where a picture has not one size in all columns; from the files' heads, before any is read."""
    problems = []
    for name in names:
        sizes = {label: inspect(pictures[name], reading)[:2] for label, pictures in sets.items()}
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{label} {width}x{height}" for label, (height, width) in sizes.items())
            problems.append(f"{shown(name)} differs in size (nothing is resized): {said}")
    if problems:
        raise ImageSetError("; ".join(problems[:LISTED]))
