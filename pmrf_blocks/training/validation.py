"""Scores and a picture of a task on a validation set, with the same seeds at every call and for every network."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from pmrf_blocks.data import SampleKey
from pmrf_blocks.metrics import frechet_distance
from pmrf_blocks.restoration import comparison
from pmrf_blocks.seeding import derive_seed, seeded
from pmrf_blocks.training.tasks import Examined, Task


def validate(
    task: Task, dataset: Dataset, seed: int, *, pictures: int = 0, rank: int = 0, world: int = 1
) -> tuple[dict[str, float], Image.Image | None]:
    """(scores of the set, picture of its first `pictures` images or None), by task.examine() batch for batch.

    The batches are shared out between `world` processes, each of which gets the scores of all.
    """
    count = len(dataset)  # type: ignore[arg-type]
    device = next(task.network.parameters()).device
    totals, rows = Totals(), []
    for turn, start in enumerate(range(0, count, task.validation_batch)):
        numbers = range(start, min(start + task.validation_batch, count))
        shown = min(max(pictures - start, 0), len(numbers))
        if turn % world != rank and not shown:
            continue
        batch = collate(dataset, numbers, seed, device)
        with seeded(seed, "validate", start, device=device):
            found = task.examine(batch, numbers, seed, pictures=shown)
        rows += [row for row in found.rows if row]
        if turn % world == rank:
            totals.add(found, numbers)
    if world > 1:
        from accelerate.utils import gather_object

        first, *others = gather_object([totals])
        for other in others:
            first.merge(other)
        totals = first
    picture = comparison([[(label, image[0]) for label, image in row] for row in rows]) if rows else None
    return totals.scores(count), picture


def collate(dataset: Dataset, numbers: range, seed: int, device: torch.device) -> Any:
    """Validation items as a batch on the device."""
    items = [dataset[SampleKey(index, derive_seed(seed, "val", index))] for index in numbers]
    batch = torch.utils.data.default_collate(items)
    return batch.to(device) if isinstance(batch, Tensor) else [part.to(device) for part in batch]


class Totals:
    """Sums of scores, and features by the name of their score and the number of their first image."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.features: dict[str, dict[int, tuple[Tensor, Tensor]]] = {}

    def add(self, found: Examined, numbers: range) -> None:
        for name, value in found.scores.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value) * len(numbers)
        for name, (results, originals) in found.features.items():
            self.features.setdefault(name, {})[numbers.start] = (results.double().cpu(), originals.double().cpu())

    def merge(self, other: Totals) -> None:
        for name, value in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        for name, parts in other.features.items():
            self.features.setdefault(name, {}).update(parts)

    def scores(self, count: int) -> dict[str, float]:
        """Means of the scores over all images, and, of two images or more, the Fréchet distance of each kind of
        features."""
        means = {name: total / count for name, total in self.sums.items()}
        if count < 2:
            return means
        for name, parts in self.features.items():
            results, originals = zip(*(parts[start] for start in sorted(parts)))
            means[name] = float(frechet_distance(torch.cat(results), torch.cat(originals)))
        return means
