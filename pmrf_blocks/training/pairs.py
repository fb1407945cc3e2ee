"""A flow's pairs computed beforehand, in memory: encoder and estimator often cost more than the flow's own update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pmrf_blocks.data import SampleKey
from pmrf_blocks.seeding import derive_generator, derive_seed
from pmrf_blocks.training.interruption import leave_signals_to_parent
from pmrf_blocks.training.precision import fast_bfloat16
from pmrf_blocks.training.processes import processes
from pmrf_blocks.training.tasks import Coupling


class PairDataset(Dataset[tuple[Tensor, Tensor]]):
    """Pairs computed beforehand, held in half precision."""

    def __init__(self, x0: Tensor, x1: Tensor) -> None:
        if x0.shape != x1.shape:
            raise ValueError(f"pairs must have one shape; got {tuple(x0.shape)} and {tuple(x1.shape)}")
        self.x0, self.x1 = x0, x1

    def __len__(self) -> int:
        return len(self.x0)

    def __getitem__(self, key: int | SampleKey) -> tuple[Tensor, Tensor]:
        index = key[0] if isinstance(key, tuple) else key
        return self.x0[index].float(), self.x1[index].float()


def given_pairs(batch: Sequence[Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The coupling of pairs computed beforehand: the pairs as they are."""
    x0, x1 = batch
    return x0, x1


@dataclass(frozen=True)
class PairMaker:
    """The pairs of a coupling over a whole set, `rounds` times, each time with fresh crops, flips and degradations.

    Pair i is a function of (seed, batch_size, i) and of the networks alone, whichever process makes it.
    """

    coupling: Coupling
    dataset: Dataset
    rounds: int
    seed: int
    batch_size: int
    device: torch.device
    workers: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.batch_size < 1:
            raise ValueError(f"rounds and batch_size must be at least 1; got {self.rounds} and {self.batch_size}")
        if self.images == 0:
            raise ValueError("0 images to make pairs of")
        for network in getattr(self.coupling, "frozen", ()):
            network.to(self.device).eval().requires_grad_(False)

    @property
    def images(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    @property
    def starts(self) -> range:
        """First pair of each batch."""
        return range(0, self.rounds * self.images, self.batch_size)

    @torch.no_grad()
    def make(self, starts: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """(x0, x1) in half precision on the CPU, for each batch that begins at one of `starts`."""
        loader = DataLoader(
            self.dataset,
            batch_sampler=[self._keys(start) for start in starts],
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=leave_signals_to_parent,
            generator=torch.Generator().manual_seed(self.seed),  # of the workers; else the global one is drawn from
        )
        for start, batch in zip(starts, loader):
            generator = derive_generator(self.seed, "pairs", start, device=self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=fast_bfloat16(self.device)):
                x0, x1 = self.coupling(batch.to(self.device, non_blocking=True), generator)
            yield x0.half().cpu(), x1.half().cpu()

    def _keys(self, start: int) -> list[SampleKey]:
        positions = range(start, min(start + self.batch_size, self.rounds * self.images))
        places = (divmod(position, self.images) for position in positions)
        return [SampleKey(index, derive_seed(self.seed, "pair", turn, index)) for turn, index in places]


def precompute_pairs(
    coupling: Coupling,
    dataset: Dataset,
    *,
    rounds: int,
    seed: int,
    batch_size: int = 32,
    workers: int = 0,
    device: str | torch.device | None = None,
) -> PairDataset:
    """All pairs of a coupling over a set, `rounds` times, in memory; processes that train together share the work.

    A new cache with another seed now and then keeps the degradations fresh. `device` as in fit(), `workers` read
    images. write_pairs() is for what memory does not hold.
    """
    everyone = processes(device)
    maker = PairMaker(coupling, dataset, rounds, seed, batch_size, everyone.device, workers)
    share = maker.starts[everyone.process_index :: everyone.num_processes]
    bar = tqdm(share, desc="pairs", unit="batch", disable=not everyone.is_main_process)
    parts = [(start, pair) for start, pair in zip(bar, maker.make(share))]
    if everyone.num_processes > 1:
        from accelerate.utils import gather_object

        parts = sorted(gather_object(parts), key=lambda part: part[0])
    return PairDataset(torch.cat([x0 for _, (x0, _) in parts]), torch.cat([x1 for _, (_, x1) in parts]))
