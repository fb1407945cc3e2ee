"""How much sooner one of two flows converges, over training seeds: read off their curves, judged, drawn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pmrf_blocks.analysis.convergence import Curve, speedup
from pmrf_blocks.analysis.further import FURTHER
from pmrf_blocks.analysis.measurement import SCORES, Score
from pmrf_blocks.analysis.paired import holm, p_value
from pmrf_blocks.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTTED = ("psnr", "fd", "mmd")
SPED_UP = ("fd", "mmd", "feature_distance")
THE_PAPERS = ("fid", "dists")  # by which figure 1 has its factors; read off where every point has them
READ = {**SCORES, **{name: FURTHER[name] for name in THE_PAPERS}}


@dataclass(frozen=True)
class Point:
    """One measurement: updates done, seconds of training until then, scores."""

    step: int
    seconds: float
    scores: dict[str, float]


Curves = dict[str, dict[int, list[Point]]]  # by label and seed


def speed_up(slow: Sequence[Point], fast: Sequence[Point], score: str) -> tuple[float, float] | None:
    """How many times fewer (steps, seconds) `fast` needs for the score that `slow` ends with; None if it does not
    get there. Where `fast` is there at its first point this is a lower bound."""

    def curve(points: Sequence[Point], axis: str) -> Curve:
        return Curve(tuple(float(getattr(p, axis)) for p in points), tuple(p.scores[score] for p in points))

    steps, seconds = (
        speedup(curve(fast, axis), curve(slow, axis), higher=READ[score].higher).factor for axis in ("step", "seconds")
    )
    return None if steps is None or seconds is None else (steps, seconds)


def speed_up_lines(slow: str, fast: str, curves: Curves, starts: Curves) -> list[str]:
    """The verdict: a line for each score. A lead that is there before any training says nothing of speed; a factor
    counts where it is above 1 beyond what other seeds would give (t-test of its logarithm, Holm over the scores)."""
    points = [point for label in (slow, fast) for curve in curves[label].values() for point in curve]
    further = [name for name in THE_PAPERS if points and all(name in point.scores for point in points)]
    found = {
        score: [speed_up(own, curves[fast][seed], score) for seed, own in curves[slow].items()]
        for score in (*SPED_UP, *further)
    }
    p_values = dict(zip(found, holm([p_of_factors(pairs) for pairs in found.values()])))
    lines = []
    for score, pairs in found.items():
        label, factors = f"{READ[score].label}:", [pair for pair in pairs if pair is not None]
        if not pairs:
            lines.append(f"- {label} not run.")
        elif len(factors) < len(pairs):
            lines.append(
                f"- {label} **does not show**: {fast} does not reach what {slow} ends with in "
                f"{len(pairs) - len(factors)} of {len(pairs)} seed(s)."
            )
        else:
            steps, seconds = ([pair[i] for pair in factors] for i in (0, 1))
            text = f"{spread(steps)} times in steps, {spread(seconds)} times in time"
            if ahead(slow, fast, starts, curves, score):
                lines.append(
                    f"- {label} **undecided**: {text}, at least; but {fast} is beyond what "
                    f"{slow} ends with before its flow is trained at all."
                )
                continue
            word = "does not show" if statistics.geometric_mean(seconds) <= 1 else "shows"
            if word == "shows" and len(pairs) == 1:
                word = "shows in the one seed that was run"
            elif word == "shows" and p_values[score] > 0.05:
                word = "undecided, within the spread over seeds"
            at_once = ahead(slow, fast, curves, curves, score)
            end = ", at least: it is there at its first measurement." if at_once else "."
            lines.append(f"- {label} **{word}**: {text}{end}")
    return lines


def p_of_factors(pairs: Sequence[tuple[float, float] | None]) -> float:
    """Of speed-ups in time, one a seed: how likely such ones are where there is no difference."""
    logs = [math.log(pair[1]) for pair in pairs if pair is not None]
    if len(logs) < max(len(pairs), 2):
        return 1.0
    return p_value(statistics.mean(logs), statistics.stdev(logs) / math.sqrt(len(logs)), len(logs) - 1)


def ahead(slow: str, fast: str, first: Curves, last: Curves, score: str) -> bool:
    """Whether the fast flow's first point in `first` is, with every seed, beyond where the slow one ends in `last`."""
    begun, sign = first.get(fast, {}), 1.0 if READ[score].higher else -1.0
    ends = last[slow]
    return bool(begun) and all(
        score in points[0].scores and sign * (points[0].scores[score] - ends[seed][-1].scores[score]) >= 0
        for seed, points in begun.items()
    )


def spread(values: Sequence[float]) -> str:
    sd = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{sd}"


def draw_curves(slow: str, fast: str, curves: Curves) -> Figure:
    """One panel a score, one line a seed, against seconds of training."""
    canvas = new_figure(4.0 * len(PLOTTED), 3.2)
    axes = canvas.subplots(1, len(PLOTTED))
    for axis, score in zip(axes, PLOTTED):
        for label, colour in ((slow, "tab:orange"), (fast, "tab:blue")):
            for number, points in enumerate(curves[label].values()):
                x, y = [point.seconds for point in points], [point.scores[score] for point in points]
                axis.plot(x, y, color=colour, marker="o", markersize=3, label=None if number else label)
        axis.set_xlabel("seconds of training")
        axis.set_title(f"{SCORES[score].label} ({'higher' if SCORES[score].higher else 'lower'} is better)")
        axis.grid(alpha=0.3)
    axes[0].legend()
    return canvas


def point_rows(label: str, curve: dict[int, list[Point]], columns: Mapping[str, Score]) -> list[str]:
    """Mean and spread over seeds of these columns at every step."""
    rows = []
    for points in zip(*curve.values()):
        cells = []
        for name, score in columns.items():
            values = [point.scores[name] for point in points if name in point.scores]
            if not values:
                cells.append("not run")
                continue
            sd = f" ± {statistics.stdev(values):.{score.digits}f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.{score.digits}f}{sd}")
        seconds = statistics.mean(point.seconds for point in points)
        rows.append(f"| {label} | {points[0].step} | {seconds:.0f} | {' | '.join(cells)} |")
    return rows
