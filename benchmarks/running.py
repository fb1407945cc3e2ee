"""Runs benchmarks, each in a process of its own (apart.py), and writes one JSON file."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import BENCHMARKS
from benchmarks.apart import rows_apart
from benchmarks.comparison import Call, Comparison, Missing, Settings, largest_difference, name_of, outputs
from benchmarks.measure import Observed, measure, observe
from benchmarks.needs import Need
from benchmarks.on_cuda import Times
from benchmarks.rates import measure_rates
from pmrf_blocks.training.environment import describe_environment

Row = dict[str, Any]
PEERS = ("diffusers", "kornia", "natten", "xformers", "onnxruntime", "opencv-python-headless", "torchdiffeq",
         "torchmetrics", "triton")  # fmt: skip


def run(names: Sequence[str], settings: Settings, output: Path) -> int:
    """Run the benchmarks called `names` (all of them for none) and write `output`; the number of rows that failed."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise ValueError(f"benchmark must be one of {', '.join(map(repr, BENCHMARKS))}; got {unknown[0]!r}")
    deadline = time.time() + settings.patience
    record = describe(settings)
    write(record, output)  # a file that cannot be written is known before anything is measured
    names = names or BENCHMARKS
    for number, name in enumerate(names):
        start = time.perf_counter()
        times = Times.of(names[number:], time.time(), deadline)
        try:
            arguments = (name, settings, times.last_row)
            for row in rows_here(*arguments) if settings.tiny else rows_apart(rows_here, arguments, times.end):
                record["rows"].append(row)
                tell(row)
                write(record, output)  # what is measured is kept, whatever comes next
            print(f"{name}: {time.perf_counter() - start:.0f} s in all", file=sys.stderr)
        except Missing as reason:
            record["left_out"][name] = str(reason)
            print(f"{name}: left out: {reason}", file=sys.stderr)
    write(record, output)
    return sum("failed" in row for row in record["rows"])


def rows_here(name: str, settings: Settings, last_row: float) -> Iterator[Row]:
    """The rows of one benchmark, measured in this process; Missing where not all of them have begun by `last_row` (of
    time.time())."""
    gc.freeze()  # what has been imported stays: collecting between rows need not look through it
    try:
        for comparison in importlib.import_module(f"benchmarks.{name}").comparisons(settings):
            if time.time() > last_row:
                raise Missing(f"its share of {settings.patience / 60:g} minutes was over: further rows were not begun")
            yield {"benchmark": name, **compare(comparison, settings)}
    finally:
        gc.unfreeze()


def describe(settings: Settings) -> dict[str, Any]:
    """The record of a run that has measured nothing but the device."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else None  # before there is any of ours
    environment = describe_environment()
    installed = {package.metadata["Name"]: package.version for package in importlib.metadata.distributions()}
    environment["versions"] |= {name: installed[name] for name in PEERS if name in installed}
    rates = measure_rates(settings)
    left_out = {}
    if torch.bfloat16 not in settings.dtypes:
        low, full = (rates["operations"][name] / 1e9 for name in ("bfloat16", "float32"))
        left_out["bfloat16"] = f"matrix products reach {low:,.3g} GFLOP/s in it and {full:,.3g} in float32 here"
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": settings.device.type,
        "tiny": settings.tiny,
        "load": load,
        "environment": environment,
        "dtypes": [name_of(dtype) for dtype in settings.dtypes],
        "rates": rates,
        "rows": [],
        "left_out": left_out,
    }


def write(record: dict[str, Any], output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@torch.no_grad()
def compare(comparison: Comparison, settings: Settings) -> Row:
    """One row: contenders that are there, how far their outputs lie from ours, times and memory, goals."""
    row: dict[str, Any] = {
        "work": comparison.work,
        **as_json(comparison.need),
        "needs": {name: as_json(need) for name, need in comparison.needs.items()},
        "unequal": comparison.unequal,
        "tolerance": comparison.tolerance,
        "goals": [vars(goal) for goal in comparison.goals],
        "units": dict(comparison.units),
        "left_out": {},
    }
    calls: dict[str, Call] = {}
    first: dict[str, Observed] = {}
    for name, build in comparison.contenders.items():
        try:
            calls[name] = build()
            first[name] = observe(calls[name], settings.device)
        except Missing as reason:
            row["left_out"][name] = str(reason)
        except Exception as error:  # a peer that breaks, or runs out of memory, must not end the run
            calls.pop(name, None)
            row["left_out"][name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
    row["ours"] = next(iter(comparison.contenders))
    if row["ours"] not in calls:
        row["failed"] = row["left_out"][row["ours"]]
        return row
    if comparison.tolerance is not None:
        results = {name: first[name].result for name in calls}
        results |= {name: build()() for name, build in comparison.checked.items() if name in calls}
        row["distances"] = differences(results, row["ours"], comparison)
        for name, distance in row["distances"].items():
            if not distance <= comparison.tolerance:
                row["failed"] = f"{name}'s output differs by {distance:.2g}, more than {comparison.tolerance:g}"
                return row
        del results
    for name, once in first.items():  # results of large images need not stay
        first[name] = dataclasses.replace(once, result=None)
    row["measured"] = measure(calls, settings, first)
    return row


def as_json(need: Need) -> dict[str, Any]:
    return {"operations": need.operations, "traffic": need.traffic, "dtype": name_of(need.dtype)}


def differences(results: Mapping[str, Any], ours: str, comparison: Comparison) -> dict[str, float]:
    """Distance of each peer's result from ours, the largest over its tensors."""
    distance = comparison.distance or largest_difference
    reference = outputs(results[ours])
    found = {}
    for name, result in results.items():
        if name != ours:
            theirs = outputs(result)
            alike = [a.shape for a in reference] == [b.shape for b in theirs] and len(theirs) > 0
            found[name] = max(distance(a, b) for a, b in zip(reference, theirs)) if alike else float("inf")
    return found


def tell(row: dict[str, Any]) -> None:
    """Progress on stderr."""
    print(f"{row['benchmark']}: {row['work']}", file=sys.stderr)
    for name, reason in row["left_out"].items():
        print(f"    {name}: left out: {reason}", file=sys.stderr)
    for name, values in row.get("measured", {}).items():
        memory = "" if values["peak_bytes"] is None else f", {values['peak_bytes'] / 2**20:.0f} MiB"
        print(f"    {name}: {1e3 * values['median']:.4g} ms{memory}", file=sys.stderr)
    if "failed" in row:
        print(f"    failed: {row['failed']}", file=sys.stderr)
