"""This process among all that train together, as torchrun or `accelerate launch` started them; alone without either."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import PartialState


def processes(device: str | torch.device | None = None) -> PartialState:
    """accelerate's view of the processes: .process_index, .num_processes, .is_main_process, .device.

    `device` as in fit(): 'cpu', 'cuda', ...; None lets accelerate choose. The first call of a process decides.
    """
    try:
        from accelerate import PartialState
    except ImportError:
        raise ImportError("training needs accelerate: pip install 'pmrf-blocks[train]'") from None
    return PartialState(cpu=device is not None and torch.device(device).type == "cpu")


def once(work: Callable[[], object], device: str | torch.device | None = None) -> None:
    """Do `work` in the main process alone, while the others wait: what it writes is whole when this returns."""
    state = processes(device)
    if state.is_main_process:
        work()
    state.wait_for_everyone()
