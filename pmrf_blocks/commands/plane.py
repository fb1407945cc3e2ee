"""pmrf-blocks plane"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pmrf_blocks.analysis import (
    Axis,
    EvaluationError,
    Point,
    draw_plane,
    higher_is_better,
    plane_rows,
    read_evaluations,
)
from pmrf_blocks.analysis.plane import DISTORTION, PERCEPTION, choose_axis, to_csv, to_markdown
from pmrf_blocks.commands.targets import ArgumentError, check_outputs, written
from pmrf_blocks.plotting import FIGURE_SUFFIXES, figure_style, save_figure
from pmrf_blocks.whole_files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLES = {".csv": to_csv, ".md": to_markdown}


def run(arguments: argparse.Namespace) -> int:
    try:
        outputs = check_outputs(arguments.output, (*FIGURE_SUFFIXES, *TABLES), overwrite=arguments.overwrite)
        points = [point for file in arguments.files for point in read_evaluations(file)]
        points = _without(points, arguments.without)
        points = _marked(points, arguments.reference)
        distortion = _axis(arguments.distortion or choose_axis(points, DISTORTION), points, arguments)
        perception = _axis(arguments.perception or choose_axis(points, PERCEPTION), points, arguments)
        whole = [p for p in points if distortion.name in p.scores and perception.name in p.scores]
        if not whole:
            known = ", ".join(sorted({name for point in points for name in point.scores}))
            raise ArgumentError(f"no method has both {distortion.name} and {perception.name}; there are: {known}")
        rows = plane_rows(whole, distortion, perception)
        figure = None
        if any(path.suffix.lower() in FIGURE_SUFFIXES for path in outputs):
            with figure_style(arguments.style) as style:
                figure = draw_plane(whole, distortion, perception, title=arguments.title, width=style.width)
    except (ArgumentError, EvaluationError, ValueError, ImportError) as error:
        print(f"pmrf-blocks plane: {error}", file=sys.stderr)
        return 2
    print(to_markdown(rows), end="", flush=True)
    lost = [
        path for path in outputs if not written("plane", path, partial(_write, path, rows, figure, arguments.style))
    ]
    protocols = sorted({point.protocol for point in whole if point.protocol})
    if len(protocols) > 1:
        print(f"measured under {len(protocols)} protocols, do not compare: {'; '.join(protocols)}", file=sys.stderr)
    lacking = [p for p in points if p not in whole]
    for point in lacking:
        missing = " and ".join(name for name in (distortion.name, perception.name) if name not in point.scores)
        print(f"skipped {point.label}: no {missing}", file=sys.stderr)
    return 1 if lacking or lost else 0


def _write(path: Path, rows: list[dict[str, str]], figure: Figure | None, style: str) -> None:
    if path.suffix.lower() in TABLES:
        write_text(path, TABLES[path.suffix.lower()](rows))
    elif figure is not None:
        save_figure(figure, path, style=style)


def _axis(name: str, points: list[Point], arguments: argparse.Namespace) -> Axis:
    """The score's direction: as the arguments say, else as the files say, else as it is known."""
    if name not in (*arguments.higher, *arguments.lower):
        for point in points:
            if name in point.scores and (said := point.scores[name].higher) is not None:
                return Axis(name, said)
    return Axis(name, higher_is_better(name, higher=tuple(arguments.higher), lower=tuple(arguments.lower)))


def _without(points: list[Point], names: list[str]) -> list[Point]:
    _check_names(points, names, "--without")
    return [p for p in points if p.name not in names]


def _marked(points: list[Point], names: list[str]) -> list[Point]:
    _check_names(points, names, "--reference")
    return [replace(p, reference=p.reference or p.name in names) for p in points]


def _check_names(points: list[Point], names: list[str], option: str) -> None:
    known = list(dict.fromkeys(point.name for point in points))
    for name in names:
        if name not in known:
            raise ArgumentError(f"{option} {name!r}: no such method; there are: {', '.join(known)}")
