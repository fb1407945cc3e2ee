"""Learning rate as a pure function of the step."""

from __future__ import annotations

import math

from pmrf_blocks.training.config import TrainConfig


def learning_rate(config: TrainConfig, step: int) -> float:
    """Learning rate of update `step` (the first is 0): warm-up, then constant or cosine to final_lr, which
    is reached at config.horizon."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps if config.warmup_lr is None else config.warmup_lr
    if config.schedule == "constant":
        return config.lr
    progress = (step - config.warmup_steps) / max(1, (config.horizon or config.steps) - config.warmup_steps)
    return config.final_lr + (config.lr - config.final_lr) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
