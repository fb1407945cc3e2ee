"""Sizes of launches that the norms share."""

from __future__ import annotations

import torch


def block_rows(block_c: int) -> int:
    """Rows that a program holds at once: 4096 values of each operand are in registers, 32 for each of 128 threads."""
    return max(1, min(32, 4096 // block_c))


def programs(device: torch.device, blocks: int) -> int:
    """Programs of a launch whose programs go through several blocks: four for each multiprocessor, at least one."""
    busy = 4 * torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 3
    return max(1, min(blocks, busy))
