"""docs/benchmarks.md from JSON files: for each kind of device the newest run of every row, what was lost beside what
was won."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import BENCHMARKS, roofline
from benchmarks.on_cuda import coverage

HEAD = """# Benchmarks

Written by `python -m benchmarks report` from the JSON files in `benchmarks/results`; do not edit it. Make a new one
with `python -m benchmarks run` on an idle machine: one command, one file.

Ours and its peers get the same weights, inputs, dtype and threads in one process, which no other benchmark shares.
Outputs are compared before anything is timed, and a row whose outputs differ is not timed. Repetitions alternate
between the contenders; one of less than 50 ms is the mean of several calls, and a call of many seconds is made once.
Times are medians with their quartiles. Memory is the peak beyond what was held before the call. A factor above 1 means
that ours is faster, or takes less memory.

The limit (roofline) is the longer of two times: operations over the rate of a large matrix product, and bytes over the
rate of a large copy, both measured in the same run. Operations are the products that the formulas ask for, whatever a
contender does beyond them; bytes are inputs, parameters and outputs, each moved once.
"""


def write_page(files: Sequence[Path], page: Path) -> None:
    page.write_text("\n".join([HEAD, *body([read(file) for file in files])]) + "\n", encoding="utf-8")


def read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON: {error}") from None


def body(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not records:
        yield "Nothing has been measured yet."
        return
    yield from coverage(records)
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda record: record["date"]):
        groups.setdefault(name_of_device(record), []).append(record)
    for group in groups.values():
        rows = {(row["benchmark"], row["work"]): (row, record) for record in group for row in record["rows"]}
        yield from section(sorted(rows.values(), key=lambda item: BENCHMARKS.index(item[0]["benchmark"])), group)


def name_of_device(record: dict[str, Any]) -> str:
    environment = record["environment"]
    if record["device"] == "cuda":
        return environment["accelerator"]
    threads = environment["threads"]
    return f"{environment['processor']}, {threads} thread{'s' if threads > 1 else ''}"


def section(rows: Sequence[tuple[dict[str, Any], dict[str, Any]]], group: Sequence[dict[str, Any]]) -> Iterator[str]:
    """One device."""
    last = group[-1]
    yield f"\n## {name_of_device(last)}\n"
    if any(record["tiny"] for record in group):
        yield "**Sizes of a test (--tiny): these numbers mean nothing.**\n"
    for record in group:
        where = record["environment"]
        versions = ", ".join(f"{name} {where['versions'][name]}" for name in sorted(where["versions"]))
        yield f"- {record['date']}, revision {where['revision']}: Python {where['python']}, {versions}{busy(record)}"
    rates = ", ".join(f"{value / 1e9:,.0f} GFLOP/s in {name}" for name, value in last["rates"]["operations"].items())
    yield f"- at best: matrix products {rates}; copies {last['rates']['bytes'] / 1e9:,.1f} GB/s, read and written"
    for record in group:
        for name, reason in record["left_out"].items():
            yield f"- {name} left out: {reason}"
    yield from goals(rows)
    benchmark = None
    for row, record in rows:
        if row["benchmark"] != benchmark:
            benchmark = row["benchmark"]
            yield f"\n### {benchmark}"
        yield from table(row, record)


def busy(record: dict[str, Any]) -> str:
    """What other work the machine had when a run began, in words; nothing where it was idle, or nobody asked."""
    load, cores = (record.get("load") or [0.0])[0], record["environment"].get("cores")
    if load < 0.5:
        return ""
    return f"; **other work on the machine meanwhile**: {load:.1f} processes wanted its {cores} cores when this began"


def goals(rows: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> Iterator[str]:
    """Every goal, met or not, and whether it could be; then everything that a peer does better."""
    if any(row["goals"] for row, _ in rows):
        yield "\n### Goals\n\n| work | against | goal | measured | |\n|---|---|---|---|---|"
    for row, _ in rows:
        for goal in row["goals"]:
            cells = [row["work"], goal["against"] or "the clock", _goal(goal), *verdict(row, goal)]
            yield f"| {' | '.join(cells)} |"
    missed = [
        (row, goal, record) for row, record in rows for goal in row["goals"] if verdict(row, goal)[1] == "not met"
    ]
    if reaches := [f"- {line}" for item in missed if (line := roofline.reach(*item))]:
        yield "\n### What the device allows where a goal was missed\n"
        yield from reaches
    lost = [
        f"- {row['work']}: {name} is {1 / ratio:.2f} times as fast"
        for row, _ in rows
        for name in row.get("measured", {})
        if (ratio := factor(row, name, "time")) is not None and ratio < 1 and name != row["ours"]
    ]
    if lost:
        yield "\n### Where another is faster\n"
        yield from lost


def _goal(goal: dict[str, Any]) -> str:
    if goal["of"] == "seconds":
        return f"within {1e3 * goal['factor']:g} ms"
    return f"{goal['factor']:.3g}x {'faster' if goal['of'] == 'time' else 'less memory'}"


def verdict(row: dict[str, Any], goal: dict[str, Any]) -> tuple[str, str]:
    """What was measured, and whether it is enough."""
    if "failed" in row:
        return row["failed"], "failed"
    if goal["of"] == "seconds":
        seconds = row["measured"][row["ours"]]["median"]
        return f"{1e3 * seconds:.1f} ms", "met" if seconds <= goal["factor"] else "not met"
    ratio = factor(row, goal["against"], goal["of"])
    if ratio is None:
        return row["left_out"].get(goal["against"], "not measured"), ""
    return f"{ratio:.2f}x", "met" if ratio >= goal["factor"] else "not met"


def factor(row: dict[str, Any], name: str, of: str) -> float | None:
    """Time or memory of contender `name` over that of ours, for the same amount of work."""
    measured, field = row.get("measured", {}), "median" if of == "time" else "peak_bytes"
    if name not in measured or row["ours"] not in measured:
        return None
    theirs, ours = ((measured[who][field], row["units"].get(who, 1.0)) for who in (name, row["ours"]))
    if not theirs[0] or not ours[0]:
        return None
    return (theirs[0] / theirs[1]) / (ours[0] / ours[1])


def table(row: dict[str, Any], record: dict[str, Any]) -> Iterator[str]:
    yield f"\n**{row['work']}**" + (f" ({row['unequal']})" if row["unequal"] else "") + "\n"
    if "failed" in row:
        yield f"Not timed: {row['failed']}."
    if row.get("measured"):
        yield "| | ms | quartiles | calls | memory, MiB | speed of ours | memory of ours | difference | of its limit |"
        yield "|---|---|---|---|---|---|---|---|---|"
    for name, values in row.get("measured", {}).items():
        units = row["units"].get(name, 1.0)
        low, high = (1e3 * value / units for value in values["quartiles"])
        memory = "" if values["peak_bytes"] is None else f"{values['peak_bytes'] / 2**20:,.0f}"
        ratios = ["" if name == row["ours"] or ratio is None else f"{ratio:.2f}x"
                  for ratio in (factor(row, name, "time"), factor(row, name, "memory"))]  # fmt: skip
        distance, near = row.get("distances", {}).get(name), roofline.share(row, name, record)
        cells = [name, f"{1e3 * values['median'] / units:.4g}", f"{low:.4g} to {high:.4g}",
                 str(values["repetitions"]), memory, *ratios, "" if distance is None else f"{distance:.1e}",
                 "" if near is None else roofline.percent(near)]  # fmt: skip
        yield f"| {' | '.join(cells)} |"
    yield from ("\n" + line for line in (f"{name} left out: {reason}." for name, reason in row["left_out"].items()))
    if limit := roofline.describe(row, record):
        yield "\n" + limit
