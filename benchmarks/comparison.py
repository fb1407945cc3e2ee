"""What is compared: one piece of work, done by ours and by its peers."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.needs import Need
from pmrf_blocks.kernels.choice import why_missing, why_unavailable

Call = Callable[[], Any]
Build = Callable[[], Call]
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Missing(Exception):
    """What cannot be measured here, and why, in one line."""


class Seconds(float):
    """What a call returns that has taken the time itself."""


@dataclass(frozen=True)
class Settings:
    """How to run: `tiny` shrinks every size to what a test can afford; its times mean nothing.

    `dtypes`: rows in other precisions are left out. `repetitions` at most of one contender of one row, fewer where
    they take more than `seconds`. `compiles`: a first call that took longer is no measure, it may have compiled.
    """

    device: torch.device
    tiny: bool = False
    repetitions: int = 15
    seconds: float = 10.0
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    patience: float = math.inf  # seconds of the whole run, of which each benchmark has a share
    compiles: bool = False

    def tolerances(self, table: Mapping[torch.dtype, float]) -> list[tuple[torch.dtype, float]]:
        """Of a table of tolerances the precisions that are asked for."""
        return [(dtype, tolerance) for dtype, tolerance in table.items() if dtype in self.dtypes]


@dataclass(frozen=True)
class Goal:
    """At least `factor` times less 'time' or 'memory' than `against`; of 'seconds': ours within `factor` seconds."""

    against: str
    factor: float
    of: str = "time"


@dataclass(frozen=True)
class Comparison:
    """One row: the first of `contenders` is ours. Each builds what it needs and gives the call that is timed.

    Before anything is timed every peer's output is held against ours: `distance` must not exceed `tolerance`.
    Where outputs cannot be equal, `tolerance` is None and `unequal` says why. `checked` takes the place of the
    contenders in that check where the timed calls draw noise of their own.
    `units`: how much work a contender does in one call (images, pixels); times and memory are compared per unit.
    `need` is what one call of ours takes at least, and of every peer whose output equals ours; `needs` is that of
    contenders that do other work, or in another precision.
    """

    work: str
    contenders: Mapping[str, Build]
    goals: tuple[Goal, ...] = ()
    tolerance: float | None = 1e-4
    unequal: str = ""
    checked: Mapping[str, Build] = field(default_factory=dict)
    distance: Callable[[Tensor, Tensor], float] | None = None
    units: Mapping[str, float] = field(default_factory=dict)
    need: Need = field(default_factory=Need)
    needs: Mapping[str, Need] = field(default_factory=dict)


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    """max |ours - theirs| over max |theirs|."""
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30))


def name_of(dtype: torch.dtype) -> str:
    """'float32' of torch.float32."""
    return str(dtype).removeprefix("torch.")


def outputs(result: Any) -> list[Tensor]:
    """The tensors of a call's result, in float64 on the CPU."""
    if isinstance(result, Tensor):
        return [result.detach().double().cpu()]
    if isinstance(result, (tuple, list)):
        return [tensor for item in result for tensor in outputs(item)]
    return []


def without_triton(settings: Settings) -> str | None:
    """Why our Triton kernels cannot be had on the device; None where they can: on a GPU that they take, and at the
    sizes of a test where Triton's interpreter was asked for."""
    if settings.device.type == "cuda":
        return why_unavailable()
    return why_missing() if settings.tiny else "the Triton kernels need CUDA"


def peer(package: str, install: str | None = None) -> Any:
    """The imported package of a peer; Missing where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        broken = "" if isinstance(error, ModuleNotFoundError) and error.name == package else f" ({error})"
        raise Missing(f"{package} cannot be imported{broken}: pip install {install or package}") from None
