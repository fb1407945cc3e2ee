"""Evaluations read from JSON files as points: a method, its scores, and how often its velocity was evaluated.

A file is what `pmrf-blocks evaluate --format json` writes, or the same by hand, of which this is enough:

    {"methods": [{"method": "PMRF", "nfe": 25, "scores": {"psnr": 26, "fid": {"value": 11, "interval": [9, 12]}}}]}

`nfe` makes points of one method a curve. A score without a number is not available. `"reference": true` marks what no
method could do, such as a reconstruction of the original: it is drawn, but does not compete. Result files of
docs/make/bundled_results.py are read too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


class EvaluationError(ValueError):
    """A file that holds no evaluation; the message names it.

    Examples:
        >>> try:
        ...     read_evaluations("no-such-file.json")
        ... except EvaluationError as error:
        ...     print(error)
        no such file: no-such-file.json
    """


@dataclass(frozen=True)
class Score:
    """A value, the ends of its interval where it has one, and whether larger is better where the file says so.

    Examples:
        >>> psnr = Score(26.0, low=25.5, high=26.5, higher=True)
        >>> psnr.high - psnr.low
        1.0
    """

    value: float
    low: float | None = None
    high: float | None = None
    higher: bool | None = None


@dataclass(frozen=True)
class Point:
    """One method at one setting; `protocol` is the name and hash of how it was measured, where the file says so.

    Examples:
        >>> Point("PMRF", {"psnr": Score(26.0)}, nfe=25).label
        'PMRF, 25 NFE'
    """

    name: str
    scores: Mapping[str, Score] = field(default_factory=dict)
    nfe: int | None = None
    reference: bool = False
    protocol: str = ""

    @property
    def label(self) -> str:
        return self.name if self.nfe is None else f"{self.name}, {self.nfe} NFE"


def read_evaluations(argument: str) -> list[Point]:
    """The points of `FILE`, `NAME=FILE` or `NAME@NFE=FILE`; NAME and NFE go before what the file says.

    Examples:
        >>> import json, pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "pmrf.json")
        ...     _ = file.write_text(json.dumps({"methods": [{"method": "PMRF", "scores": {"psnr": 26}}]}))
        ...     read_evaluations(f"mine@25={file}")[0].label
        'mine, 25 NFE'
    """
    label, _, file = argument.rpartition("=")
    if label and Path(argument).exists():
        label, file = "", argument
    path = Path(file)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EvaluationError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read: {error}") from None
    if isinstance(content, dict) and "table" in content:
        points = _results(content, path)
    elif isinstance(content, dict) and isinstance(content.get("methods"), list):
        points = [_point(item, _protocol(content), path) for item in content["methods"]]
    else:
        raise EvaluationError(f"{path} is no evaluation: an object with a list 'methods' was expected")
    if not points:
        raise EvaluationError(f"{path} holds no method")
    return _named(points, label, path) if label else points


def _named(points: list[Point], label: str, path: Path) -> list[Point]:
    name, _, nfe = label.rpartition("@")
    if name and nfe.isdigit():
        count: int | None = int(nfe)
    else:
        name, count = label, None
    if len(points) > 1:
        raise EvaluationError(f"{path} holds {len(points)} methods: the one name {label!r} does not fit them")
    point = points[0]
    return [replace(point, name=name, nfe=point.nfe if count is None else count)]


def _protocol(content: dict[str, Any]) -> str:
    protocol = content.get("protocol")
    return f"{protocol.get('name')} {protocol.get('hash')}" if isinstance(protocol, dict) else ""


def _point(item: Any, protocol: str, path: Path) -> Point:
    if not isinstance(item, dict) or not isinstance(item.get("scores"), dict) or not item.get("method"):
        raise EvaluationError(f"{path} is no evaluation: each of 'methods' needs 'method' and 'scores'")
    nfe = item.get("nfe")
    if nfe is not None and (not isinstance(nfe, int) or isinstance(nfe, bool) or nfe < 1):
        raise EvaluationError(f"{path}: nfe must be a whole number of at least 1; got {nfe!r}")
    scores = {name: score for name, value in item["scores"].items() if (score := _score(value)) is not None}
    return Point(str(item["method"]), scores, nfe, bool(item.get("reference", False)), protocol)


def _score(value: Any) -> Score | None:
    low = high = better = None
    if isinstance(value, dict):
        ends, better = value.get("interval"), value.get("better")
        if isinstance(ends, list) and len(ends) == 2:
            low, high = map(_number, ends)
        value = value.get("value")
    number = _number(value)
    if number is None:
        return None
    return Score(number, low, high, {"higher": True, "lower": False}.get(str(better)))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _results(content: dict[str, Any], path: Path) -> list[Point]:
    """Rows and sweep of a page that docs/make/bundled_results.py wrote; intervals are one standard deviation wide."""
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
        raise EvaluationError(f"{path} is no result of docs/make/bundled_results.py: {error!r}") from None
    return points
