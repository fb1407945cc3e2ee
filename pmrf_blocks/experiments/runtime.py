"""What a restoration takes: seconds an image, and parameters, as the last columns of table 4 have them."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pmrf_blocks.training.environment import describe_environment

CALLS, SECONDS = 5, 60.0  # so many calls, or fewer where they have taken so long


@dataclass(frozen=True)
class Runtime:
    """`seconds`: median over `calls` restorations of one image of `side` pixels, after one that is not counted, on
    `device`; `trained` and `frozen` are numbers of parameters: of the velocity and of what it builds on, or of an
    estimator, which builds on nothing.

    Examples:
        >>> Runtime(0.5745, 5, 512, "A100", trained=151_200_000, frozen=106_800_000).parameters
        '151.20 + 106.80'
    """

    seconds: float
    calls: int
    side: int
    device: str
    trained: int
    frozen: int

    @property
    def parameters(self) -> str:
        """In millions, A + B as the paper writes it; A alone where nothing is frozen."""
        own = f"{self.trained / 1e6:.2f}"
        return f"{own} + {self.frozen / 1e6:.2f}" if self.frozen else own


def device_name(device: str) -> str:
    """The GPU's name, or the CPU's with its threads."""
    environment = describe_environment()
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{environment['processor']}, {environment['threads']} thread(s)"


@torch.no_grad()
def measure_runtime(pipeline: Any, side: int, device: str) -> Runtime:
    """The runtime of a pipeline on its device: restore() as it does it untold, of one image (1, 3, side, side)."""
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    taken: list[float] = []
    pipeline.restore(image, seed=0)
    while len(taken) < CALLS and sum(taken) < SECONDS:
        synchronise(device)
        begin = time.perf_counter()
        pipeline.restore(image, seed=0)
        synchronise(device)
        taken.append(time.perf_counter() - begin)
    whole = sum(p.numel() for p in pipeline.parameters())
    velocity = getattr(pipeline, "velocity", None)
    trained = whole if velocity is None else sum(p.numel() for p in velocity.parameters())
    return Runtime(statistics.median(taken), len(taken), side, device_name(device), trained, whole - trained)


def synchronise(device: str) -> None:
    """Wait for what a device was asked to do; a CPU is never behind."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(torch.device(device))


def save_runtime(own: Runtime, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(own)) + "\n", encoding="utf-8")


def load_runtime(path: Path) -> Runtime:
    """What save_runtime() wrote."""
    return Runtime(**json.loads(path.read_text(encoding="utf-8")))
