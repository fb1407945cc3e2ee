"""Scores and a picture of a task on a validation set, with the same seeds at every call and for every network."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from pmrf_blocks.data import SampleKey
from pmrf_blocks.restoration import comparison
from pmrf_blocks.seeding import derive_generator, derive_seed
from pmrf_blocks.training.randomness import seeded
from pmrf_blocks.training.tasks import Task


def validate(
    task: Task, dataset: Dataset, seed: int, *, pictures: int = 0, rank: int = 0, world: int = 1
) -> tuple[dict[str, float], Image.Image | None]:
    """(mean of each of task.scores over the set, picture of the first `pictures` images or None).

    The images are shared out between `world` processes, each of which gets the scores of all.
    """
    count = len(dataset)  # type: ignore[arg-type]
    totals: dict[str, float] = {}
    for index in range(rank, count, world):
        batch, generator = example(task, dataset, index, seed)
        with seeded(seed, "validate", index, device=generator.device):
            scores = task.scores(batch, generator)
        for name, value in scores.items():
            totals[name] = totals.get(name, 0.0) + float(value)
    if world > 1:
        from accelerate.utils import gather_object

        parts = gather_object([totals])
        totals = {name: sum(part.get(name, 0.0) for part in parts) for name in parts[0]}
    rows = []
    for index in range(min(pictures, count)):
        batch, generator = example(task, dataset, index, seed)
        with seeded(seed, "validate", index, device=generator.device):
            row = task.pictures(batch, generator)
        if row:
            rows.append(row)
    picture = comparison([[(label, image[0]) for label, image in row] for row in rows]) if rows else None
    return {name: total / count for name, total in totals.items()}, picture


def example(task: Task, dataset: Dataset, index: int, seed: int) -> tuple[Any, torch.Generator]:
    """Validation image `index` as a batch of one on the network's device, and the generator of its scores."""
    device = next(task.network.parameters()).device
    item = torch.utils.data.default_collate([dataset[SampleKey(index, derive_seed(seed, "val", index))]])
    batch = item.to(device) if isinstance(item, Tensor) else [part.to(device) for part in item]
    return batch, derive_generator(seed, "validate", index, device=device)
