"""The perception-distortion plane: every method a point, the Pareto front, curves over NFE (figures 1 and 5)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pmrf_blocks.analysis.evaluations import Point, Score
from pmrf_blocks.plotting import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DISTORTION = ("psnr", "ind_rmse", "mse", "rmse", "lpips")
PERCEPTION = (
    "fid", "fd_dinov2", "mmd_dinov2", "fd", "mmd", "fd_efficientnet_lite0", "mmd_efficientnet_lite0", "q_align",
    "musiq", "clip_iqa", "niqe",
)  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """A score and whether larger is better.

    Examples:
        >>> Axis("psnr", higher=True).title
        'psnr (higher is better)'
    """

    name: str
    higher: bool

    def cost(self, point: Point) -> float:
        """The score, negated where larger is better: less is better."""
        value = point.scores[self.name].value
        return -value if self.higher else value

    @property
    def title(self) -> str:
        return f"{self.name} ({'higher' if self.higher else 'lower'} is better)"


def choose_axis(points: Sequence[Point], preferred: Sequence[str]) -> str:
    """The first of `preferred` that most points have (no other is had by more); ValueError where no point has any."""
    counts = {name: sum(name in point.scores for point in points) for name in preferred}
    best = max(counts.values(), default=0)
    if best == 0:
        known = sorted({name for point in points for name in point.scores})
        raise ValueError(f"none of {', '.join(preferred)} is in the files; name one of: {', '.join(known) or 'none'}")
    return next(name for name in preferred if counts[name] == best)


def pareto_front(points: Sequence[Point], distortion: Axis, perception: Axis) -> list[Point]:
    """Points that no other one beats: none is at least as good in both scores and better in one.

    Ordered from least distortion on; equal points are all in. Points marked as reference do not compete. All points
    must have both scores.

    Examples:
        >>> points = [
        ...     Point(name, {"psnr": Score(x), "fid": Score(y)})
        ...     for name, x, y in (("a", 26, 9), ("b", 25, 7), ("c", 24, 8))
        ... ]
        >>> [point.name for point in pareto_front(points, Axis("psnr", higher=True), Axis("fid", higher=False))]
        ['a', 'b']
    """
    rivals = sorted((p for p in points if not p.reference), key=lambda p: (distortion.cost(p), perception.cost(p)))
    front: list[Point] = []
    best = last = float("inf")
    for point in rivals:
        x, y = distortion.cost(point), perception.cost(point)
        if y < best:
            front.append(point)
            best, last = y, x
        elif y == best and x == last:
            front.append(point)
    return front


def plane_rows(points: Sequence[Point], distortion: Axis, perception: Axis) -> list[dict[str, str]]:
    """The table: one row a point, in the order given, with `front` 'yes', '' or 'reference'.

    Examples:
        >>> points = [Point("mine", {"psnr": Score(26.0), "fid": Score(9.0)})]
        >>> plane_rows(points, Axis("psnr", higher=True), Axis("fid", higher=False))
        [{'method': 'mine', 'nfe': '', 'psnr': '26', 'fid': '9', 'front': 'yes'}]
    """
    front = {id(point) for point in pareto_front(points, distortion, perception)}
    return [
        {
            "method": point.name,
            "nfe": "" if point.nfe is None else str(point.nfe),
            distortion.name: f"{point.scores[distortion.name].value:.6g}",
            perception.name: f"{point.scores[perception.name].value:.6g}",
            "front": "reference" if point.reference else "yes" if id(point) in front else "",
        }
        for point in points
    ]


def to_markdown(rows: Sequence[dict[str, str]]) -> str:
    """A markdown table of rows with the same keys."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(value.replace("|", "\\|") for value in row.values()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def to_csv(rows: Sequence[dict[str, str]]) -> str:
    """The same as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def draw_plane(
    points: Sequence[Point], distortion: Axis, perception: Axis, *, title: str = "", width: float | None = None
) -> Figure:
    """The plane as a figure of `width` inches (None: 7.5).

    Better is left and down on both axes, whichever way a score runs.

    Points of one name with an NFE are joined in its order and labelled with it; the front is dotted; points marked as
    reference are hollow. ImportError where matplotlib is missing.

    Examples:
        >>> points = [Point("ours", {"psnr": Score(26.0), "fid": Score(9.0)}, nfe=nfe) for nfe in (5, 25)]
        >>> figure = draw_plane(points, Axis("psnr", higher=True), Axis("fid", higher=False))
        >>> bool(figure.axes[0].xaxis_inverted())  # better is left and down
        True
    """
    width = width or 7.5
    figure = new_figure(width, height=width * 5.5 / 7.5)
    axes = figure.add_subplot()
    for number, name in enumerate(dict.fromkeys(point.name for point in points)):
        own = [point for point in points if point.name == name]
        _draw_method(axes, own, distortion, perception, COLOURS[number % len(COLOURS)])
    front = pareto_front(points, distortion, perception)
    if len(front) > 1:
        xs, ys = _values(front, distortion), _values(front, perception)
        axes.plot(xs, ys, linestyle=":", color="0.3", linewidth=1.2, zorder=1, label="Pareto front")
    for axis, invert in ((distortion, axes.invert_xaxis), (perception, axes.invert_yaxis)):
        if axis.higher:
            invert()
    axes.set(xlabel=distortion.title, ylabel=perception.title, title=title)
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(fontsize="small", framealpha=0.9)
    return figure


def _draw_method(axes: Axes, points: list[Point], distortion: Axis, perception: Axis, colour: str) -> None:
    curve = sorted((p for p in points if p.nfe is not None), key=lambda p: p.nfe or 0)
    if len(curve) > 1:
        axes.plot(_values(curve, distortion), _values(curve, perception), color=colour, linewidth=1.2, zorder=2)
    for number, point in enumerate([p for p in points if p.nfe is None] + curve):
        x, y = point.scores[distortion.name], point.scores[perception.name]
        axes.errorbar(
            [x.value], [y.value], xerr=_interval(x), yerr=_interval(y), color=colour, linewidth=0.8, capsize=2,
            zorder=2, fmt="o", markersize=4 if point.nfe else 7, markerfacecolor="white" if point.reference else colour,
            label=(point.name + (" (reference)" if point.reference else "")) if number == 0 else None,
        )  # fmt: skip
        if point.nfe is not None:
            axes.annotate(
                str(point.nfe),
                (x.value, y.value),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize="x-small",
                color=colour,
            )


def _values(points: Sequence[Point], axis: Axis) -> list[float]:
    return [point.scores[axis.name].value for point in points]


def _interval(score: Score) -> list[list[float]] | None:
    if score.low is None or score.high is None:
        return None
    return [[max(0.0, score.value - score.low)], [max(0.0, score.high - score.value)]]
