"""The order of training samples, as a pure function of seed and step: resuming needs no saved cursor."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from pmrf_blocks.data.errors import DataError
from pmrf_blocks.data.folders import SampleKey
from pmrf_blocks.seeding import derive_generator, derive_seed


class EndlessBatches(Sampler[list[SampleKey]]):
    """Endless batches of sample keys, each epoch in a new random order.

    Arguments:
        length: number of images in the set; the last batch of an epoch runs on into the next.
        batch_size: samples a batch of this process.
        seed: of the order and of every sample's crop and flip.
        start: batch to begin with (batches already taken by a run that is resumed).
        rank, world_size: this process among all; together they see what one process of the whole batch sees.

    Examples:
        >>> len(next(iter(EndlessBatches(length=10, batch_size=4, seed=0))))
        4
    """

    def __init__(
        self, length: int, batch_size: int, *, seed: int = 0, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        if length < 1:
            raise DataError("0 images to draw batches from")
        if batch_size < 1:
            raise DataError(f"batch_size must be at least 1; got {batch_size}")
        if not 0 <= rank < world_size:
            raise DataError(f"rank must be in 0..{world_size - 1}; got {rank}")
        self.length, self.batch_size, self.seed, self.start = length, batch_size, seed, start
        self.rank, self.world_size = rank, world_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def key(self, position: int) -> SampleKey:
        """The sample at a position of the endless stream that all processes share."""
        epoch, offset = divmod(position, self.length)
        if epoch != self._epoch:
            generator = derive_generator(self.seed, "order", epoch)
            self._epoch, self._order = epoch, torch.randperm(self.length, generator=generator)
        return SampleKey(int(self._order[offset]), derive_seed(self.seed, "sample", position))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        batch = self.start
        while True:
            first = (batch * self.world_size + self.rank) * self.batch_size
            yield [self.key(first + i) for i in range(self.batch_size)]
            batch += 1
