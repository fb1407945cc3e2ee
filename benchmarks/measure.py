"""Times and peak memory of several calls, side by side."""

from __future__ import annotations

import ctypes
import gc
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.comparison import Call, Seconds, Settings

SHORTEST = 50e-3  # seconds; quicker calls are timed several at a time: one alone measures what the one before left
LEAST = 3  # repetitions of all calls but those that take longer than their contender's time
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Observed:
    """One call: its result, what it took, and the bytes it needed beyond what was held before (None: unknown)."""

    result: Any
    seconds: float
    peak_bytes: int | None


def measure(
    calls: Mapping[str, Call], settings: Settings, first: Mapping[str, Observed] | None = None
) -> dict[str, dict[str, Any]]:
    """Median, quartiles and peak memory of each call. Repetitions alternate, so that drift hits all.

    `first` are the calls' first runs where they have been made. They count as warming up, unless one took longer than
    `settings.seconds`: beside that, warming up is nothing, and it is not repeated. Where first calls compile
    (`settings.compiles`) the second one says so.
    """
    first = first or {name: observe(call, settings.device) for name, call in calls.items()}
    times: dict[str, list[float]] = {}
    peaks: dict[str, int | None] = {}
    at_once: dict[str, int] = {}
    wanted: dict[str, int] = {}
    for name, call in calls.items():
        once = first[name]
        if once.seconds > settings.seconds and settings.compiles:
            once = observe(call, settings.device)
        if once.seconds > settings.seconds:
            times[name], peaks[name], at_once[name], wanted[name] = [once.seconds], once.peak_bytes, 1, 1
            continue
        again = observe(call, settings.device)
        at_once[name] = max(1, math.ceil(SHORTEST / max(again.seconds, 1e-7)))
        times[name] = [again.seconds] if at_once[name] == 1 else []
        peaks[name] = again.peak_bytes
        affordable = int(settings.seconds / (again.seconds * at_once[name]))
        wanted[name] = min(settings.repetitions, max(LEAST, affordable))
    order = list(calls)
    with uncollected():
        while any(len(times[name]) < wanted[name] for name in calls):
            for name in order:
                if len(times[name]) < wanted[name]:
                    times[name].append(_time(calls[name], settings.device, at_once[name]))
            order = [*order[1:], order[0]]  # nobody is always the one who follows another
    return {name: {**summary(times[name]), "peak_bytes": peaks[name]} for name in calls}


def summary(times: list[float]) -> dict[str, Any]:
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else 3 * times
    return {"median": middle, "quartiles": [low, high], "best": min(times), "repetitions": len(times)}


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection inside."""
    collected = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def observe(call: Call, device: torch.device) -> Observed:
    """Call once and see what it takes. Memory is, on CUDA, what torch allocates; on Linux the growth of the process'
    resident memory; elsewhere it is unknown."""
    held = _start_watching(device)
    synchronize(device)
    start = time.perf_counter()
    result = call()
    synchronize(device)
    seconds = time.perf_counter() - start
    peak = None if held is None else max(0, _highest(device) - held)
    return Observed(result, float(result) if isinstance(result, Seconds) else seconds, peak)


def _time(call: Call, device: torch.device, count: int) -> float:
    """Seconds of one call, as the mean of `count`."""
    total = 0.0
    synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        result = call()
        if isinstance(result, Seconds):
            total += result
        del result
    synchronize(device)
    return (total or time.perf_counter() - start) / count


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _start_watching(device: torch.device) -> int | None:
    """Bytes held now, from which the peak is counted; None where it cannot be known."""
    gc.collect()  # what earlier calls left behind would be held now, and freed at any time
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        ctypes.CDLL(None).malloc_trim(0)  # freed memory that the allocator keeps would hide growth
        RESET.write_text("5", encoding="utf-8")  # sets the peak to what is resident now
        return _highest(device)
    except (OSError, AttributeError, StopIteration):
        return None


def _highest(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])
