"""Quality scores of images: from a file, or from Q-Align."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path

from pmrf_blocks.data.errors import DataError


def read_scores(path: str | Path) -> dict[str, float]:
    """Scores by file name: a .json of one object {name: score}, or a .csv with lines `name,score` (a heading is
    allowed). DataError names the first line that is not such."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"cannot read scores {path}: {error.strerror or error}") from None
    rows: Iterable[tuple[int, tuple[str, object]]]
    if path.suffix.lower() == ".json":
        try:
            rows = enumerate(json.loads(text).items(), 1)
        except (ValueError, AttributeError) as error:
            raise DataError(f"{path} is not an object of name and score: {error}") from None
    else:
        lines = list(csv.reader(text.splitlines()))
        pairs = ((line[0], line[1] if len(line) == 2 else None) for line in lines if line)
        rows = enumerate(pairs, 1)
    scores = {}
    for number, (name, value) in rows:
        try:
            score = float(value)  # type: ignore[arg-type]
            if not math.isfinite(score):
                raise ValueError
        except (TypeError, ValueError):
            if number == 1 and path.suffix.lower() != ".json":
                continue  # the heading
            raise DataError(f"{path}, entry {number}: {name!r} has no score, but {value!r}") from None
        scores[name] = score
    return scores


class QAlign:
    """Quality of an image file, 1 (bad) to 5 (excellent), by Q-Align (Wu et al., 2024), through the package pyiqa,
    which loads its weights (15 GB) from the network at first use. What it prints goes to stderr."""

    def __init__(self, device: str | None = None) -> None:
        try:
            with redirect_stdout(sys.stderr):
                import pyiqa
        except ImportError:
            raise ImportError(
                "Q-Align needs: pip install pyiqa; or give scores (--scores FILE), or take everything (--min-score 0)"
            ) from None
        with redirect_stdout(sys.stderr):
            self.metric = pyiqa.create_metric("qalign", device=device)

    def __call__(self, path: Path) -> float:
        with redirect_stdout(sys.stderr):
            return float(self.metric(str(path)))
