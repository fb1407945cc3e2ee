"""Batches of an iterable source, each with the state that brings the source back behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from pmrf_blocks.data.errors import DataError
from pmrf_blocks.data.stream_position import INEXACT, Stream
from pmrf_blocks.data.streams import IterableImages
from pmrf_blocks.seeding import derive_seed

Read = tuple[Tensor | DataError | None, dict[str, Any], str]


@dataclass
class StreamBatches(IterableDataset[Read]):
    """Endless (batch, state, what is to be said); the first has no batch, and alone has something to say.

    A DataError comes in the place of a batch, as the last: raised in the process that reads, it would come with a
    traceback of torch's.

    Arguments:
        images, batch_size, seed, start, rank, world_size: as of EndlessBatches; together the processes see what one of
            the whole batch sees, unless the source splits itself.
        state: what came with batch number `start - 1`; None where it is not known, or there was none.
    """

    images: IterableImages
    batch_size: int
    seed: int = 0
    start: int = 0
    rank: int = 0
    world_size: int = 1
    state: Mapping[str, Any] | None = None

    def __iter__(self) -> Iterator[Read]:
        try:
            yield from self._read()
        except DataError as error:
            yield DataError(str(error)), {}, ""

    def _read(self) -> Iterator[Read]:
        turns = (self.rank,) if self.images.split_by_process else range(self.world_size)
        stream = Stream(self.images, self.seed, len(turns) * self.batch_size)
        if self.state is not None:
            state, word = stream.resume(self.state)
        else:
            state, word = stream.start()
            if self.start:
                word = f"{INEXACT}: where {stream.name} stood is not known, and it is begun anew"
        yield None, state, word
        batch = self.start
        while True:
            rows = []
            for turn in turns:
                first = (batch * self.world_size + turn) * self.batch_size
                for position in range(first, first + self.batch_size):
                    if turn == self.rank:
                        place = stream.place
                        rows.append(self.images.frame(stream.take(), place, derive_seed(self.seed, "sample", position)))
                    else:
                        stream.pass_over()
            yield self._batch(rows), stream.state_dict(), ""
            batch += 1

    def _batch(self, rows: list[Tensor]) -> Tensor:
        sides = sorted({row.shape[-1] for row in rows})
        if len(sides) > 1:
            wide = " and ".join(map(str, sides[:2]))
            raise DataError(f"squares of {self.images.where} are {wide} pixels wide, for one batch; set size or crop")
        return torch.stack(rows)
