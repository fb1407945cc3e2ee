"""What a GPU is measured with, in how many minutes each, and what of it has run on one.

A benchmark left to itself compiles for as long as there are rows, and those after it never begin. So each has a share
of the time that is left when its turn comes: what one leaves over goes to the next, and those that compile most are
last. Rows are in the order in which they matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MINUTES = 9.0  # of all of them together: the start of a process and the page must fit into ten too
SECONDS, REPETITIONS = 0.5, 15  # of one contender of one row


@dataclass(frozen=True)
class Work:
    """One benchmark: its `share` of the time, in minutes of MINUTES, and its `subjects`, what its rows begin with."""

    share: float
    subjects: tuple[str, ...]


ON_CUDA: Mapping[str, Work] = {
    "degradation": Work(0.4, ("blind-face degradation",)),
    "image_operators": Work(0.6, ("blur", "JPEG", "bilinear resize")),
    "solvers": Work(0.5, ("euler", "midpoint", "heun", "rk4", "dopri5", "Euler steps of Latent-PMRF's transformer")),
    "cuda_resize": Work(0.5, ("Downsample", "NearestUpsample", "PixelShuffleUpsample")),
    "cuda_norms": Work(2.0, ("channel layer norm + SiLU", "AdaRMSNorm", "rotary embedding")),
    "cuda_attention": Work(1.5, ("neighborhood attention",)),
    "training_step": Work(1.25, ("training step of Latent-PMRF's transformer",)),
    "cuda_models": Work(2.25, ("Latent-PMRF's transformer", "Sim-VAE", "PMRF's transformer")),
}


@dataclass(frozen=True)
class Times:
    """Of one benchmark, as time.time(): no row begins after `last_row`, and where one does not return, everything is
    broken off at `end`."""

    last_row: float
    end: float

    @classmethod
    def of(cls, names: Sequence[str], now: float, deadline: float) -> Times:
        """Those of the first of `names`, of those that have not run, where all of them are to end by `deadline`: rows
        begin within its share, and have as long again to end. A name that ON_CUDA does not have counts as a minute."""
        if math.isinf(deadline):
            return cls(deadline, deadline)
        shares = [ON_CUDA[name].share if name in ON_CUDA else 1.0 for name in names]
        share = max(0.0, deadline - now) * shares[0] / sum(shares)
        return cls(now + share, min(deadline, now + 2 * share))


def coverage(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A table for the page: on which GPUs each subject was measured, from the records of all runs."""
    yield "\n## What ran on a GPU\n"
    yield (
        f"`python -m benchmarks cuda` measures all of this in at most {MINUTES:g} minutes and writes this page; where "
        "the time of a benchmark is over before its rows are, those of the first sizes have been measured. What has no "
        "result below has never been measured on a GPU: tests run it on a CPU, at small sizes and without what needs "
        "CUDA."
    )
    yield "\n| benchmark | subject | rows measured |\n|---|---|---|"
    for name, work in ON_CUDA.items():
        for subject in work.subjects:
            yield f"| {name} | {subject} | {', '.join(measured(records, name, subject)) or '**never on a GPU**'} |"


def measured(records: Sequence[dict[str, Any]], name: str, subject: str) -> Iterator[str]:
    """'12 on NVIDIA H200' for each GPU; rows that were measured twice count once."""
    works: dict[str, set[str]] = {}
    for record in records:
        if record["device"] == "cuda" and not record["tiny"]:
            for row in record["rows"]:
                if row["benchmark"] == name and row["work"].startswith(subject) and row.get("measured"):
                    works.setdefault(record["environment"]["accelerator"], set()).add(row["work"])
    for accelerator, found in sorted(works.items()):
        yield f"{len(found)} on {accelerator}"
