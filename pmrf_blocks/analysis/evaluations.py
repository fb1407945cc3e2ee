"""Evaluations read from JSON files as points: a method, its scores, and how often its velocity was evaluated.

A file holds one evaluation or a list of them:

    {"name": "PMRF", "nfe": 25, "metrics": {"psnr": 26.3, "fid": {"value": 10.7, "low": 10.2, "high": 11.2}}}

`nfe` may be missing; it makes points of one name a curve. A metric is a number, or an object with `value` and perhaps
`low` and `high` (a confidence interval); null and objects without a number say that it is not available.
`"reference": true` marks what no method could do, such as a reconstruction of the original: it is drawn, but does
not compete. Result files of recipes/bundled_results.py are read too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class EvaluationError(ValueError):
    """A file that holds no evaluation; the message names it."""


@dataclass(frozen=True)
class Score:
    """A value, and the ends of its interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Point:
    """One method at one setting."""

    name: str
    scores: Mapping[str, Score] = field(default_factory=dict)
    nfe: int | None = None
    reference: bool = False

    @property
    def label(self) -> str:
        return self.name if self.nfe is None else f"{self.name}, {self.nfe} NFE"


def read_evaluations(argument: str) -> list[Point]:
    """The points of `FILE`, `NAME=FILE` or `NAME@NFE=FILE`; NAME and NFE go before what the file says."""
    label, _, file = argument.rpartition("=")
    if label and Path(argument).exists():
        label, file = "", argument
    path = Path(file)
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise EvaluationError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from None
    if isinstance(content, dict) and "table" in content:
        points = _results(content, path)
    else:
        items = content if isinstance(content, list) else [content]
        points = [_point(item, path) for item in items]
    if not points:
        raise EvaluationError(f"{path} holds no evaluation")
    return _named(points, label, path) if label else points


def _named(points: list[Point], label: str, path: Path) -> list[Point]:
    name, _, nfe = label.rpartition("@")
    if name and nfe.isdigit():
        count: int | None = int(nfe)
    else:
        name, count = label, None
    if len(points) > 1:
        raise EvaluationError(f"{path} holds {len(points)} evaluations: the one name {label!r} does not fit them")
    point = points[0]
    return [Point(name, point.scores, point.nfe if count is None else count, point.reference)]


def _point(item: Any, path: Path) -> Point:
    if not isinstance(item, dict) or not isinstance(item.get("metrics"), dict):
        raise EvaluationError(f"{path} is no evaluation: an object with 'metrics' was expected")
    nfe = item.get("nfe")
    if nfe is not None and (not isinstance(nfe, int) or isinstance(nfe, bool) or nfe < 1):
        raise EvaluationError(f"{path}: nfe must be a whole number of at least 1; got {nfe!r}")
    scores = {name: score for name, value in item["metrics"].items() if (score := _score(value)) is not None}
    return Point(str(item.get("name") or path.stem), scores, nfe, bool(item.get("reference", False)))


def _score(value: Any) -> Score | None:
    low = high = None
    if isinstance(value, dict):
        value, low, high = (_number(value.get(key)) for key in ("value", "low", "high"))
    number = _number(value)
    return None if number is None else Score(number, low, high)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _results(content: dict[str, Any], path: Path) -> list[Point]:
    """Rows and sweep of a page that recipes/bundled_results.py wrote; intervals are one standard deviation wide."""
    labels = content.get("labels", {})
    try:
        points = [
            Point(
                labels.get(row, row),
                {
                    name: Score(s["mean"], s["mean"] - s["sd"], s["mean"] + s["sd"]) if s["sd"] else Score(s["mean"])
                    for name, s in scores.items()
                },
                reference=row == "vae",
            )
            for row, scores in content["table"].items()
        ]
        for entry in content.get("sweep", []):
            numbers = {name: Score(float(value)) for name, value in entry.items() if name in content["table"]["latent"]}
            points.append(
                Point(f"{labels.get('latent', 'latent')}, noise {entry['source_noise']:g}", numbers, entry["steps"])
            )
    except (AttributeError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path} is no result of recipes/bundled_results.py: {error!r}") from None
    return points
