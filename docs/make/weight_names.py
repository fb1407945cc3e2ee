"""Names of a network's weights in a form that is short enough to read and loses nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

Part = tuple[str, ...]  # what one place between dots may be


def compact(names: Iterable[str]) -> list[str]:
    """Names as patterns: 'a.{0-3}.{bias,weight}' stands for all eight. In the order of first appearance.

    Numbers in a row are written {first-last}, other choices {one,other}. expand() gives the same set back.
    """
    rows: list[list[Part]] = [[(part,) for part in name.split(".")] for name in names]
    for place in reversed(range(max((len(row) for row in rows), default=0))):
        merged: dict[tuple[Part, ...], list[Part]] = {}  # rows that differ at this place alone become one
        for row in rows:
            rest = tuple(() if i == place else part for i, part in enumerate(row))
            if rest in merged and place < len(row):
                merged[rest][place] += row[place]
            else:
                merged[rest] = row
        rows = list(merged.values())
    return [".".join(_choices(part) for part in row) for row in rows]


def expand(patterns: Iterable[str]) -> list[str]:
    """The names that patterns stand for."""
    names = []
    for pattern in patterns:
        parts = [_values(part) for part in re.findall(r"\{[^}]*\}|[^.{}]+", pattern)]
        names += [".".join(parts) for parts in itertools.product(*parts)]
    return names


def _choices(values: Part) -> str:
    if len(values) == 1:
        return values[0]
    if all(value.isdecimal() for value in values):
        numbers = sorted(map(int, values))
        if numbers == list(range(numbers[0], numbers[-1] + 1)):
            return f"{{{numbers[0]}-{numbers[-1]}}}"
        return f"{{{','.join(map(str, numbers))}}}"
    return f"{{{','.join(sorted(values))}}}"


def _values(part: str) -> list[str]:
    if not part.startswith("{"):
        return [part]
    inside = part[1:-1]
    if numbers := re.fullmatch(r"(\d+)-(\d+)", inside):
        return [str(number) for number in range(int(numbers[1]), int(numbers[2]) + 1)]
    return inside.split(",")
