"""Brings a task's modules to the device, memory format and speed-ups that a configuration asks for."""

from __future__ import annotations

import torch

from pmrf_blocks.training.config import TrainConfig
from pmrf_blocks.training.tasks import Task


def prepare_modules(task: Task, config: TrainConfig, device: torch.device) -> None:
    """Change `task` in place; ValueError where the network cannot do what is asked.

    torch.compile is done in place too: names of weights, and so checkpoints, stay as they are.
    """
    for module in (task, *task.frozen_modules()):
        module.to(device)
        if config.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for module in task.frozen_modules():
        module.eval().requires_grad_(False)
    if config.gradient_checkpointing:
        if not hasattr(task.network, "gradient_checkpointing"):
            raise ValueError(f"{type(task.network).__name__} has no gradient_checkpointing")
        task.network.gradient_checkpointing = True  # type: ignore[assignment]
    if config.compile is not None:
        backends = torch.compiler.list_backends(exclude_tags=())
        if config.compile not in backends:
            raise ValueError(f"compile must be one of {', '.join(map(repr, backends))}; got {config.compile!r}")
        for module in task.compiled_modules():
            # A run's sizes are few: each is compiled as it is, not for all (where inductor fails on the hourglass).
            module.compile(backend=config.compile, dynamic=False)
