"""pmrf-blocks convergence"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial

from pmrf_blocks.analysis import (
    StatsError,
    draw_convergence,
    higher_is_better,
    read_stats,
    speedup,
    stats_curve,
)
from pmrf_blocks.commands.targets import ArgumentError, check_outputs, written
from pmrf_blocks.plotting import FIGURE_SUFFIXES, figure_style, save_figure


def run(arguments: argparse.Namespace) -> int:
    axis, names = arguments.axis, _names(str(arguments.fast), str(arguments.slow))
    try:
        outputs = check_outputs(arguments.output, FIGURE_SUFFIXES, overwrite=arguments.overwrite)
        both = [(path, read_stats(path)) for path in (arguments.fast, arguments.slow)]
        found = []
        for score in arguments.score:
            higher = higher_is_better(score, higher=tuple(arguments.higher), lower=tuple(arguments.lower))
            curves = []
            for path, stats in both:
                try:
                    curves.append(stats_curve(stats, score, axis))
                except (StatsError, ValueError) as error:
                    raise StatsError(f"{path}: {error}") from None
            fast, slow = curves
            found.append((score, fast, slow, speedup(fast, slow, higher=higher, smoothing=arguments.smoothing)))
        figure, style = None, str(arguments.style)
        if outputs:
            with figure_style(style) as chosen:
                figure = draw_convergence(found, names, axis, smoothing=arguments.smoothing, width=chosen.width)
    except (ArgumentError, StatsError, ValueError, ImportError) as error:
        print(f"pmrf-blocks convergence: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        entries = {
            score: {
                "target": s.target,
                "end": s.end,
                "end_reached": s.end_reached,
                "reached": s.reached,
                "at_first_point": s.at_first,
                "factor": s.factor,
                "fair_factor": s.fair_factor,
                "best": s.best,
            }
            for score, _, _, s in found
        }
        print(json.dumps({"axis": axis, "smoothing": arguments.smoothing, "scores": entries}, indent=2))
    else:
        for score, _, _, s in found:
            print(f"{score}: {names[1]} ends with {s.target:.6g} after {s.end:,.6g} {axis}", end="; ")
            if s.reached is None or s.factor is None or s.fair_factor is None:
                print(f"{names[0]} does not reach it (best: {s.best:.6g})")
                continue
            bound = "at least " if s.at_first else ""
            print(f"{names[0]} reaches it after {'at most ' if s.at_first else ''}{s.reached:,.6g}: ", end="")
            print(f"{bound}{s.factor:.2f} times sooner", end="")
            if s.fair_factor < s.factor:
                print(f" ({bound}{s.fair_factor:.2f} from where {names[1]} first had it, {s.end_reached:,.6g})", end="")
            print()
    sys.stdout.flush()
    lost = [
        path
        for path in outputs
        if figure and not written("convergence", path, partial(save_figure, figure, path, style=style))
    ]
    return 0 if not lost and all(s.reached is not None for *_, s in found) else 1


def _names(fast: str, slow: str) -> tuple[str, str]:
    """Short names of two runs: what their paths differ in."""
    parts = [path.rstrip("/").removesuffix("/stats.jsonl").split("/") for path in (fast, slow)]
    while len(parts[0]) > 1 and len(parts[1]) > 1 and parts[0][-1] == parts[1][-1]:
        parts = [part[:-1] for part in parts]
    while len(parts[0]) > 1 and len(parts[1]) > 1 and parts[0][0] == parts[1][0]:
        parts = [part[1:] for part in parts]
    return "/".join(parts[0]), "/".join(parts[1])
