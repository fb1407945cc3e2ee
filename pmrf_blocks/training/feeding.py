"""Where a run's batches come from: a set whose order is a function of the step, or a stream that has a state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from pmrf_blocks.data import DataError, EndlessBatches, IterableImages
from pmrf_blocks.data.stream_batches import StreamBatches
from pmrf_blocks.seeding import derive_generator
from pmrf_blocks.training.config import TrainConfig
from pmrf_blocks.training.interruption import leave_signals_to_parent


class Feed:
    """Batches of one process of a run.

    Arguments:
        accelerator: that of the run.
        note: takes a line for the log.

    `states` go into the checkpoint of each step: None where batches are a function of the step, else one a process.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, accelerator: Any, note: Callable[[str], None]) -> None:
        self.config, self.dataset, self.note = config, dataset, note
        self.device, self.rank, self.world = accelerator.device, accelerator.process_index, accelerator.num_processes
        self.found: Sequence[Any] | None = None
        self.state: dict[str, Any] | None = None

    def load(self, states: Sequence[Any] | None) -> None:
        """Take what a checkpoint holds, before batches()."""
        self.found = states

    def batches(self, step: int) -> Iterator[Any]:
        """Batches without end from a step on; DataError of one line for what is wrong with an item."""
        where = {
            "batch_size": self.config.batch_size // self.config.accumulate, "seed": self.config.seed,
            "start": step * self.config.accumulate, "rank": self.rank, "world_size": self.world,
        }  # fmt: skip
        if isinstance(self.dataset, IterableImages):
            return self._stream(StreamBatches(self.dataset, **where, state=self._own()), step)
        sampler = EndlessBatches(len(self.dataset), **where)  # type: ignore[arg-type]
        return in_one_line(self._loader(self.dataset, step, batch_sampler=sampler, num_workers=self.config.workers))

    def states(self) -> list[Any] | None:
        """Of all processes, which call it together, behind the last batch; one where they read the same."""
        if self.state is None:
            return None
        return self._of_all(self.state) if self.dataset.split_by_process else [self.state]  # type: ignore[attr-defined]

    def _own(self) -> Any:
        if not self.found:
            return None
        if not self.dataset.split_by_process:  # type: ignore[attr-defined]
            return self.found[0]
        return self.found[self.rank] if len(self.found) == self.world else None

    def _stream(self, reading: StreamBatches, step: int) -> Iterator[Any]:
        loader = self._loader(
            reading, step, batch_size=None, num_workers=min(self.config.workers, 1), collate_fn=as_it_is
        )
        read = iter(loader)
        first, self.state, word = next(read)
        if isinstance(first, DataError):
            del read  # else the error's traceback keeps it, and the process that reads is waited for
            raise first
        said = [one for one in self._of_all(word) if one]
        if said:
            self.note(said[0])
        return self._following(read)

    def _following(self, read: Iterator[Any]) -> Iterator[Any]:
        for batch, state, _ in read:
            if isinstance(batch, DataError):
                del read
                raise batch
            self.state = state
            yield batch

    def _of_all(self, own: Any) -> list[Any]:
        if self.world == 1:
            return [own]
        from accelerate.utils import gather_object

        return gather_object([own])

    def _loader(self, dataset: Dataset, step: int, **options: Any) -> DataLoader:
        return DataLoader(
            dataset,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=leave_signals_to_parent,
            generator=derive_generator(self.config.seed, "workers", step, self.rank),
            **options,
        )


def in_one_line(batches: DataLoader) -> Iterator[Any]:
    """What a loader gives; a DataError from one of its processes without the traceback that torch puts before it."""
    read = iter(batches)
    while True:
        try:
            batch = next(read)
        except DataError as error:
            text = str(error).strip().splitlines()[-1].removeprefix(f"{DataError.__module__}.{DataError.__name__}: ")
            error.with_traceback(None)  # whose frames keep the loader
            break
        yield batch
    del read
    raise DataError(text)


def as_it_is(batch: Any) -> Any:
    """What a reading process sends, untouched."""
    return batch
