"""How much sooner one run reaches what another ends with: the factor of figure 1.

The rule. Of a run, a curve is its score at every line of stats.jsonl that has it, over images, steps or training time,
smoothed by the mean of the last `smoothing` points (1: as measured), so that nothing is credited before it was there.
The target is the slow run's last point. The fast run reaches it where its curve, joined by straight lines, is first as
good as the target. The factor is the slow run's end over that place, as the paper counts it; `fair_factor` takes the
place where the slow run itself first was as good as its end, which is less where it had long been flat.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pmrf_blocks.plotting import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = {"images": "images seen", "steps": "steps", "hours": "hours of training"}


class StatsError(ValueError):
    """Stats that are missing, damaged or lack the score; the message names the file.

    Examples:
        >>> try:
        ...     read_stats("no-such-run")
        ... except StatsError as error:
        ...     print(error)
        no-such-run cannot be read: No such file or directory
    """


@dataclass(frozen=True)
class Curve:
    """A score over `x`, which rises and is positive.

    Examples:
        >>> Curve((1, 2, 4), (9.0, 8.0, 6.0)).first_reach(7.0, higher=False)  # between the points, in a straight line
        3.0
    """

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or not self.x:
            raise ValueError(f"a curve needs as many x as y, at least one; got {len(self.x)} and {len(self.y)}")
        if not all(math.isfinite(v) for v in (*self.x, *self.y)):
            raise ValueError("a curve's values must be finite")
        if self.x[0] <= 0 or any(b <= a for a, b in pairwise(self.x)):
            raise ValueError("x must be positive and rise from point to point")

    def smoothed(self, window: int) -> Curve:
        """Mean of the last `window` points, of fewer at the beginning."""
        if window < 1:
            raise ValueError(f"smoothing must be at least 1; got {window}")
        starts = (max(0, i - window + 1) for i in range(len(self.y)))
        return Curve(self.x, tuple(math.fsum(self.y[s : i + 1]) / (i + 1 - s) for i, s in enumerate(starts)))

    def first_reach(self, target: float, *, higher: bool) -> float | None:
        """First x at which the line through the points is as good as `target`; None where it never is."""
        sign = 1.0 if higher else -1.0
        for i, value in enumerate(self.y):
            if sign * value >= sign * target:
                if i == 0:
                    return self.x[0]
                before = self.y[i - 1]
                share = (target - before) / (value - before)
                return self.x[i - 1] + share * (self.x[i] - self.x[i - 1])
        return None


@dataclass(frozen=True)
class Speedup:
    """Of one score: `target`, the slow run's end; `reached`, the fast run's x there, None where it never gets there.

    end: the slow run's last x.
    end_reached: the first x at which the slow run was as good as at its end.
    at_first: the fast run was there at its first point already, so that `reached` is late and the factors too small.
    best: the fast run's best value, for the case that it never gets there.

    Examples:
        >>> flat, fast = Curve((1, 2, 4), (9.0, 7.0, 7.0)), Curve((1, 2), (8.0, 7.0))
        >>> found = speedup(fast, flat, higher=False)
        >>> found.factor, found.fair_factor  # the slow run was there by 2 already
        (2.0, 1.0)
    """

    target: float
    reached: float | None
    end: float
    end_reached: float
    at_first: bool
    best: float

    @property
    def factor(self) -> float | None:
        return None if self.reached is None else self.end / self.reached

    @property
    def fair_factor(self) -> float | None:
        return None if self.reached is None else self.end_reached / self.reached


def speedup(fast: Curve, slow: Curve, *, higher: bool, smoothing: int = 1) -> Speedup:
    """Apply the rule to two curves of a score, over the same kind of x; `higher`: whether larger values are better.

    Examples:
        >>> slow, fast = Curve((1, 2, 4), (9.0, 8.0, 7.0)), Curve((1, 2), (8.0, 7.0))
        >>> found = speedup(fast, slow, higher=False)
        >>> found.end / found.reached
        2.0
    """
    fast, slow = fast.smoothed(smoothing), slow.smoothed(smoothing)
    target = slow.y[-1]
    reached = fast.first_reach(target, higher=higher)
    own = slow.first_reach(target, higher=higher)
    assert own is not None  # its last point is the target
    best = max(fast.y) if higher else min(fast.y)
    return Speedup(target, reached, slow.x[-1], own, reached == fast.x[0], best)


def read_stats(path: str | Path) -> list[dict[str, Any]]:
    """Lines of a stats.jsonl, or of the one in a run's folder; a torn last line is left out.

    Examples:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as run:
        ...     file = pathlib.Path(run, "stats.jsonl")
        ...     _ = file.write_text('{"step": 4, "images": 64, "val_psnr": 20.0}\\n{"step": 8, "ima')
        ...     read_stats(run)  # the run was ended while it wrote its last line
        [{'step': 4, 'images': 64, 'val_psnr': 20.0}]
    """
    path = Path(path)
    path = path / "stats.jsonl" if path.is_dir() else path
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise StatsError(f"{path} cannot be read: {error.strerror}") from None
    result = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError:
            if number == len(lines) and not line.endswith("\n"):
                break
            raise StatsError(f"{path}, line {number}: not JSON") from None
        if not isinstance(entry, dict) or not isinstance(entry.get("step"), int) or "images" not in entry:
            raise StatsError(f"{path}, line {number}: an object with 'step' and 'images' was expected")
        result.append(entry)
    if not result:
        raise StatsError(f"{path} is empty")
    return result


def stats_curve(stats: Sequence[dict[str, Any]], score: str, axis: str = "images") -> Curve:
    """The curve of a score; lines at step 0, before any training, are left out.

    `axis` 'hours' counts training alone, without validation: images over the logged images_per_second.

    Examples:
        >>> stats = [{"step": 4, "images": 64, "val_psnr": 20.0}, {"step": 8, "images": 128, "loss": 1.0}]
        >>> stats_curve(stats, "val_psnr")
        Curve(x=(64.0,), y=(20.0,))
    """
    if axis not in AXES:
        raise ValueError(f"axis must be one of {', '.join(map(repr, AXES))}; got {axis!r}")
    hours = _hours(stats) if axis == "hours" else [0.0] * len(stats)
    points: dict[float, float] = {}
    for entry, spent in zip(stats, hours):
        if score in entry and entry["step"] > 0:
            value = entry[score]
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise StatsError(f"{score} at step {entry['step']} is {value}, not a finite number")
            points[{"images": entry["images"], "steps": entry["step"], "hours": spent}[axis]] = float(value)
    if not points:
        known = sorted({name for entry in stats for name in entry if name.startswith("val_")})
        raise StatsError(f"no score {score!r}; of validation there are: {', '.join(known) or 'none'}")
    xs = sorted(points)
    return Curve(tuple(map(float, xs)), tuple(points[x] for x in xs))


def _hours(stats: Iterable[dict[str, Any]]) -> list[float]:
    result, total, images = [], 0.0, 0
    for entry in stats:
        if "images_per_second" in entry:
            total += (entry["images"] - images) / entry["images_per_second"] / 3600.0
            images = entry["images"]
        result.append(total)
    if total == 0.0:
        raise StatsError("no 'images_per_second' in the stats: hours are not known")
    return result


def draw_convergence(
    curves: Sequence[tuple[str, Curve, Curve, Speedup]],
    names: tuple[str, str],
    axis: str,
    *,
    smoothing: int = 1,
    width: float | None = None,
) -> Figure:
    """One panel of `width` inches (None: 4.6) a score: (its name, fast curve, slow curve, what speedup() says).

    ImportError without matplotlib.

    Examples:
        >>> slow, fast = Curve((1, 2, 4), (9.0, 8.0, 7.0)), Curve((1, 2), (8.0, 7.0))
        >>> found = speedup(fast, slow, higher=False)
        >>> figure = draw_convergence([("val_fid", fast, slow, found)], ("ours", "theirs"), "images")
        >>> figure.axes[0].get_title()
        '2.00 times sooner'
    """
    width = width or 4.6
    figure = new_figure(width * len(curves), height=width * 3.6 / 4.6)
    for number, (score, fast, slow, found) in enumerate(curves):
        axes = figure.add_subplot(1, len(curves), number + 1)
        for name, curve, colour in zip(names, (fast, slow), COLOURS):
            if smoothing > 1:
                axes.plot(curve.x, curve.y, color=colour, alpha=0.3, linewidth=0.8)
            smooth = curve.smoothed(smoothing)
            axes.plot(smooth.x, smooth.y, color=colour, linewidth=1.4, marker="o", markersize=2.5, label=name)
        axes.axhline(found.target, color="0.3", linestyle=":", linewidth=1.0)
        title = f"{names[0]} does not reach it"
        if found.reached is not None:
            axes.plot([found.reached, found.end], [found.target] * 2, color="0.3", marker="o", linestyle="none")
            title = f"{'at least ' if found.at_first else ''}{found.factor:.2f} times sooner"
        axes.set(xlabel=AXES[axis], ylabel=score, title=title)
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.legend(fontsize="small")
    return figure
