"""This process among all that train together, as torchrun or `accelerate launch` started them; alone without either."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from accelerate import PartialState


def processes(device: str | torch.device | None = None) -> PartialState:
    """accelerate's view of the processes: .process_index, .num_processes, .is_main_process, .device.

    `device` as in fit(): 'cpu', 'cuda', ...; None takes the accelerator, or the CPU where there is none: behind a
    launcher, processes on CPUs exchange gradients by gloo. The first call of a process decides. RuntimeError where a
    launcher started several processes that cannot train together.
    """
    try:
        from accelerate import PartialState
    except ImportError:
        raise ImportError("training needs accelerate: pip install 'pmrf-blocks[train]'") from None
    chosen = torch.accelerator.current_accelerator(check_available=True) if device is None else torch.device(device)
    state = PartialState(cpu=chosen is None or chosen.type == "cpu")
    started = world_size()
    if state.num_processes != started:  # each would train alone, on the others' files
        raise RuntimeError(
            f"{started} processes were started, but on {state.device} each is alone; choose --device cpu, or start one"
        )
    return state


def world_size() -> int:
    """How many processes a launcher started, before any of them has met the others; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def once(work: Callable[[], object], device: str | torch.device | None = None) -> None:
    """Do `work` in the main process alone, while the others wait: what it writes is whole when this returns."""
    state = processes(device)
    if state.is_main_process:
        work()
    state.wait_for_everyone()


def to_device(batch: Any, device: torch.device) -> Any:
    """Tensors of a batch, also within lists and tuples, on `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    return type(batch)(to_device(item, device) for item in batch)
