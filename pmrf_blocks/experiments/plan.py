"""--plan: parameters, operations, memory and hours of every stage on a named device, before anything starts."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from pmrf_blocks.data import DataError
from pmrf_blocks.data.published_sets import PUBLISHED_SETS
from pmrf_blocks.experiments.config import config_hash, stage_name
from pmrf_blocks.experiments.costs import Cost, step_cost
from pmrf_blocks.experiments.curves import Figure
from pmrf_blocks.experiments.image_sets import Images
from pmrf_blocks.experiments.parts import stage_parts, with_seed
from pmrf_blocks.experiments.place import Place
from pmrf_blocks.experiments.tables import Table, row_parts

GIB = 2**30
UTILISATION = 0.35  # of a device's rate, assumed: trainings of such networks reach a third to a half
IMAGES = dict.fromkeys(("ffhq512", "ffhq256"), PUBLISHED_SETS["ffhq"].images)  # by the folders of the paper's scale


@dataclass(frozen=True)
class Device:
    """`fp32`, `bf16`: operations a second in dense products of matrices; `memory` in bytes. A GPU's fp32 is without
    TF32, which training leaves off."""

    name: str
    fp32: float
    bf16: float
    memory: float


# Data sheets of NVIDIA, dense.
DEVICES = {
    "a100": Device("A100 SXM, 80 GB", 19.5e12, 312e12, 80e9),
    "h100": Device("H100 SXM, 80 GB", 66.9e12, 989.4e12, 80e9),
    "h200": Device("H200 SXM, 141 GB", 66.9e12, 989.4e12, 141e9),
    "rtx4090": Device("RTX 4090, 24 GB", 82.6e12, 165.2e12, 24e9),
}


def find_device(name: str) -> Device:
    """A device of DEVICES, or 'cpu': this machine's, by products of two 1024x1024 matrices. ValueError for others."""
    if name in DEVICES:
        return DEVICES[name]
    if name != "cpu":
        raise ValueError(f"--plan must be one of {', '.join(map(repr, (*DEVICES, 'cpu')))}; got {name!r}")
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    fp32, bf16 = (measured(dtype) for dtype in (torch.float32, torch.bfloat16))
    return Device(f"this CPU, {torch.get_num_threads()} thread(s), measured", fp32, bf16, memory)


def measured(dtype: torch.dtype) -> float:
    a, best = torch.ones(1024, 1024, dtype=dtype), math.inf
    for _ in range(3):
        begin = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begin)
    return 2 * 1024**3 / best


@dataclass(frozen=True)
class Line:
    """One stage: how often it is trained, and what an update costs (None: nothing, its weights are published); how many
    pairs a run caches, 0 where none, None where it is not known how many images there are."""

    role: str
    stage: Any
    runs: int
    cost: Cost | None
    pairs: int | None = 0

    def pair_flops(self) -> float:
        """Of computing the cached pairs of all its runs, as far as their number is known."""
        return 0.0 if self.cost is None else 1.0 * self.cost.pair * (self.pairs or 0) * self.runs

    def flops(self, processes: int) -> float:
        """Of all its updates on all processes and of its cached pairs, in all its runs."""
        if self.cost is None:
            return 0.0
        return 1.0 * self.cost.flops * processes * self.stage.train.steps * self.runs + self.pair_flops()

    def hours(self, device: Device, processes: int) -> float:
        rate = device.bf16 if self.cost is not None and self.stage.train.precision == "bf16" else device.fp32
        return self.flops(processes) / (processes * rate * UTILISATION) / 3600.0


def stages_of(recipe: Any, seeds: Sequence[int], parts: Sequence[str] = ()) -> Iterable[tuple[str, Any]]:
    """(label, stage) of all that a recipe trains: a table's rows and a figure's flows once for each seed."""
    if isinstance(recipe, Table):
        own = [
            (row.label, stage)
            for row in recipe.rows for seed in seeds for _, stage in row_parts(row, seed, parts or recipe.parts)
        ]  # fmt: skip
    elif isinstance(recipe, Figure):
        own = [(label, with_seed(flow, seed)) for label, flow in recipe.flows for seed in seeds]
    else:
        own = [("", recipe)]
    for label, stage in own:
        for role, part in stage_parts(stage).items():
            yield f"{label}: {role}" if label else role, part


def count_images(images: Images, place: Place | None) -> int | None:
    """How many images a stage reads: those at the place, else as many as a published set has; None where neither is
    known."""
    try:
        return None if place is None else len(place.images(images))
    except DataError:
        known = IMAGES.get(images.name)
        return known if known is None or images.first is None else min(images.first, known)


def plan(
    recipe: Any, *, seeds: Sequence[int] = (0,), parts: Sequence[str] = (), alone: str | None = None,
    processes: int = 1, gradient_checkpointing: bool = False, place: Place | None = None,
) -> list[Line]:  # fmt: skip
    """A line for each stage, or for the one that has the role `alone`; those that differ in their seed alone share one.
    Images are counted at `place`, for cached pairs. ValueError where `processes` cannot share a batch."""
    names: set[str] = set()
    found: dict[str, Line] = {}
    for role, stage in stages_of(recipe, seeds, parts):
        if stage_name(stage) in names or alone not in (None, role):
            continue
        names.add(stage_name(stage))
        if gradient_checkpointing:
            stage = replace(stage, train=replace(stage.train, gradient_checkpointing=True))
        key = config_hash(with_seed(stage, 0))
        if key in found:
            found[key] = replace(found[key], runs=found[key].runs + 1)
            continue
        published = getattr(stage, "published", None) is not None
        cost = None if published else step_cost(stage, processes=processes)
        pairs: int | None = 0
        if cost is not None and cost.pair:
            images = count_images(stage.images, place)
            pairs = None if images is None else images * stage.pair_rounds * stage.pair_caches
        found[key] = Line(role, stage, 1, cost, pairs)
    return list(found.values())


def plan_lines(lines: Sequence[Line], device: Device, processes: int) -> list[str]:
    """The plan as a Markdown table, its totals and what the numbers mean."""
    text = [
        f"On {processes} x {device.name}: {device.fp32 / 1e12:.4g} TFLOP a second in fp32, {device.bf16 / 1e12:.4g} "
        f"in bf16, {UTILISATION:.0%} of it assumed.",
        "",
        "| stage | runs | parameters, M | frozen, M | precision | TFLOP a step | steps | EFLOP of cached pairs "
        "| EFLOP in all | GiB of state | GiB of activations, estimate | hours |",
        "|---|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    notes = []
    for line in lines:
        cost = line.cost
        if cost is None:
            text.append(f"| {line.role} | 0 | published: {line.stage.published} | | | | | | 0 | | | 0 |")
            continue
        train = line.stage.train
        numbers = (
            str(line.runs), f"{cost.trained / 1e6:.2f}", f"{cost.frozen / 1e6:.2f}", train.precision,
            f"{cost.flops * processes / 1e12:.4g}", f"{train.steps:,}",
            f"{line.pair_flops() / 1e18:.4g}" if line.pairs else "", f"{line.flops(processes) / 1e18:.4g}",
            f"{cost.state / GIB:.2f}", f"{cost.activations / GIB:.2f}", f"{line.hours(device, processes):.4g}",
        )  # fmt: skip
        text.append(f"| {line.role} | {' | '.join(numbers)} |")
        if cost.state + cost.activations > device.memory:
            notes.append(f"- {line.role} does not fit into {device.memory / GIB:.0f} GiB: {remedy(line, device)}.")
        if cost.pair:
            notes.append(f"- {line.role}: {pairs_line(line)}.")
    flops, hours = (sum(own) for own in zip(*((x.flops(processes), x.hours(device, processes)) for x in lines)))
    runs = sum(line.runs for line in lines if line.cost is not None)
    text += [f"| in all | {runs} | | | | | | | {flops / 1e18:.4g} | | | {hours:.4g} |", "", *notes]
    text += [""] if notes else []
    return [*text, "Left out: reading and degrading images, validation, measuring, what is freed within a layer."]


def pairs_line(line: Line) -> str:
    """What a run's cached pairs cost, in words."""
    assert line.cost is not None
    each = f"{line.cost.pair / 1e12:.4g} TFLOP each"
    if line.pairs is None:
        name = line.stage.images.name
        return f"cached pairs of {each} come beforehand and are left out: how many images {name} has, --data can say"
    kept = line.pairs * line.cost.pair_bytes / GIB
    return f"{line.pairs:,} cached pairs of {each}, {kept:.4g} GiB in half precision, come before a run's first step"


def plan_record(lines: Sequence[Line], device: Device, processes: int) -> dict[str, Any]:
    """The plan as plain values for JSON: operations, bytes and hours, unrounded; those of all runs end in _in_all."""
    stages = [
        {
            "stage": line.role,
            "published": getattr(line.stage, "published", None),
            "runs": 0 if line.cost is None else line.runs,
            "steps": line.stage.train.steps,
            "precision": line.stage.train.precision,
            "cost_per_process": None if line.cost is None else asdict(line.cost),
            "cached_pairs": line.pairs,
            "cached_pair_flops_in_all": line.pair_flops(),
            "flops_in_all": line.flops(processes),
            "hours_in_all": line.hours(device, processes),
            "fits": line.cost is None or line.cost.state + line.cost.activations <= device.memory,
        }
        for line in lines
    ]
    return {"device": asdict(device), "processes": processes, "utilisation": UTILISATION, "stages": stages}


def remedy(line: Line, device: Device) -> str:
    """Micro-batches that would fit: the least number that divides what a process has of the batch."""
    assert line.cost is not None
    free, train = device.memory - line.cost.state, line.stage.train
    for times in range(2, train.batch_size + 1):
        if train.batch_size % (times * train.accumulate) == 0 and line.cost.activations / times <= free:
            return f"--accumulate {times * train.accumulate} would do"
    return "nor does one image"
