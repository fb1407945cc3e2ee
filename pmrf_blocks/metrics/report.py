"""Evaluations as a table, Markdown, CSV or JSON. Every one carries the protocol's name and hash."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pmrf_blocks.metrics.registry import METRICS
from pmrf_blocks.metrics.scores import Evaluation, Score

FORMATS = ("table", "json", "csv", "markdown")
DIGITS = {"psnr": 2, "psnr_y": 2, "fid": 2, "fd_dinov2": 2, "fd_efficientnet_lite0": 3, "deg": 2, "deg_dlib": 2}


def render(evaluations: Sequence[Evaluation], form: str, settings: dict[str, Any]) -> str:
    """Text in one of FORMATS, ending in a newline. `settings` (bootstrap, seed, versions) are told with the numbers."""
    if form not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(map(repr, FORMATS))}; got {form!r}")
    return {"table": _table, "json": _json, "csv": _csv, "markdown": _markdown}[form](evaluations, settings)


def per_image(evaluations: Sequence[Evaluation], form: str) -> str:
    """One row an image: 'csv' or 'json'."""
    rows = [
        {
            "method": evaluation.method,
            "image": name,
            "protocol": str(evaluation.protocol),
            **{metric: values[index] for metric, values in evaluation.per_image.items()},
        }
        for evaluation in evaluations
        for index, name in enumerate(evaluation.names)
    ]
    if form == "json":
        return json.dumps([{k: _plain(v) for k, v in row.items()} for row in rows], indent=1, allow_nan=False) + "\n"
    if form != "csv":
        raise ValueError(f"per-image files are 'csv' or 'json'; got {form!r}")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def label(name: str) -> str:
    """'PSNR ↑', with '*' behind a stand-in's name."""
    metric = METRICS[name]
    return f"{metric.label}{'*' if metric.stand_in else ''} {'↑' if metric.better == 'higher' else '↓'}"


def _plain(value: object) -> object:
    """JSON has no infinity: PSNR of equal images is written as the string 'inf'."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _json(evaluations: Sequence[Evaluation], settings: dict[str, Any]) -> str:
    def score(name: str, score: Score) -> dict[str, Any]:
        metric = METRICS[name]
        entry: dict[str, Any] = {"label": metric.label, "better": metric.better}
        if metric.stand_in:
            entry["stand_in_for"] = metric.stand_in
        if score.value is None:
            return {**entry, "not_available": score.unavailable}
        entry |= {"value": _plain(score.value), "images": score.images}
        return entry if score.interval is None else {**entry, "interval": list(score.interval)}

    protocol = evaluations[0].protocol
    document = {
        "protocol": {**asdict(protocol), "hash": protocol.digest},
        **settings,
        "methods": [
            {
                "method": evaluation.method,
                "folder": evaluation.folder,
                "images": len(evaluation.names),
                "extractors": evaluation.extractors,
                "scores": {name: score(name, value) for name, value in evaluation.scores.items()},
            }
            for evaluation in evaluations
        ],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _csv(evaluations: Sequence[Evaluation], settings: dict[str, Any]) -> str:
    """A row a method, a column a metric and two for its interval; 'not available: ...' in the metric's own column."""
    text = io.StringIO()
    metrics = list(evaluations[0].scores)
    columns = [column for name in metrics for column in (name, f"{name}_low", f"{name}_high")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "images", "protocol", "hash", *columns])
    for evaluation in evaluations:
        cells: list[Any] = []
        for name in metrics:
            score = evaluation.scores[name]
            value = f"not available: {score.unavailable}" if score.value is None else score.value
            cells += [value, *(score.interval or ("", ""))]
        protocol = evaluation.protocol
        writer.writerow([evaluation.method, len(evaluation.names), protocol.name, protocol.digest, *cells])
    return text.getvalue()


def _cells(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    metrics = list(evaluations[0].scores)
    rows = [["method", "images", *map(label, metrics)]]
    for evaluation in evaluations:
        row = [evaluation.method, str(len(evaluation.names))]
        for name in metrics:
            score = evaluation.scores[name]
            digits = DIGITS.get(name, 4)
            if score.value is None:
                row.append("not available")
            elif score.interval is None:
                row.append(f"{score.value:.{digits}f}")
            else:
                low, high = score.interval
                row.append(f"{score.value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
        rows.append(row)
    return rows


def _notes(evaluations: Sequence[Evaluation], settings: dict[str, Any]) -> list[str]:
    """Protocol, intervals, stand-ins and what is not available, a line each."""
    metrics = list(evaluations[0].scores)
    notes = [f"protocol {evaluations[0].protocol}"]
    notes += [f"reference of {name}: {told}" for name, told in settings.get("references", {}).items()]
    if any(score.interval for evaluation in evaluations for score in evaluation.scores.values()):
        notes.append(
            f"in brackets: 95 % bootstrap interval of the mean over images, {settings['resamples']} resamples, "
            f"seed {settings['seed']}"
        )
    notes += [
        f"* {METRICS[name].label}: a stand-in for {METRICS[name].stand_in}; compares with nothing but itself"
        for name in metrics
        if METRICS[name].stand_in
    ]
    for name in metrics:
        reasons: dict[str, list[str]] = {}
        for evaluation in evaluations:
            if evaluation.scores[name].value is None:
                reasons.setdefault(evaluation.scores[name].unavailable, []).append(evaluation.method)
        for reason, methods in reasons.items():
            whose = "" if len(methods) == len(evaluations) else f" of {', '.join(methods)}"
            notes.append(f"{METRICS[name].label}{whose}: not available: {reason}")
    return notes


def _table(evaluations: Sequence[Evaluation], settings: dict[str, Any]) -> str:
    rows = _cells(evaluations)
    if len(evaluations) == 1:  # one method reads better as a column
        rows = [["metric", evaluations[0].method], *([name, value] for name, value in zip(rows[0][1:], rows[1][1:]))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, "", *_notes(evaluations, settings)]) + "\n"


def _markdown(evaluations: Sequence[Evaluation], settings: dict[str, Any]) -> str:
    rows = [[cell.replace("|", "\\|") for cell in row] for row in _cells(evaluations)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + "|".join(["---", *["---:"] * (len(rows[0]) - 1)]) + "|")
    notes = [f"- {'&#42; ' + note[2:] if note.startswith('* ') else note}" for note in _notes(evaluations, settings)]
    return "\n".join([*lines, "", *notes]) + "\n"
