"""A flow's pairs computed beforehand, in memory: encoder and estimator often cost more than the flow's own update."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pmrf_blocks.data import SampleKey
from pmrf_blocks.flow import reflow_pairs
from pmrf_blocks.restoration.names import PARTS
from pmrf_blocks.restoration.pipelines import Pipeline
from pmrf_blocks.seeding import derive_generator, derive_seed
from pmrf_blocks.training.flow_tasks import Ends, flow_ends
from pmrf_blocks.training.inspection import need_length
from pmrf_blocks.training.interruption import leave_signals_to_parent
from pmrf_blocks.training.precision import bfloat16_where, check_precision
from pmrf_blocks.training.processes import processes, to_device
from pmrf_blocks.training.resuming import describe_dataset
from pmrf_blocks.training.tasks import Degradation


class PairDataset(Dataset[tuple[Tensor, ...]]):
    """Pairs (x0, x1) computed beforehand, (N, C, h, w) each, or triples with the condition; held in half precision and
    given one by one in float32. `origin`: plain values that say what they were made of. ValueError where they are not
    as many, or source and target not alike.

    Examples:
        >>> x0, x1 = torch.zeros(5, 4, 8, 8).half(), torch.ones(5, 4, 8, 8).half()
        >>> source, target = PairDataset(x0, x1)[3]
        >>> target.dtype, target.shape
        (torch.float32, torch.Size([4, 8, 8]))
    """

    def __init__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Tensor | None = None,
        *,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        if x0.shape != x1.shape:
            raise ValueError(f"pairs must have one shape; got {tuple(x0.shape)} and {tuple(x1.shape)}")
        if condition is not None and len(condition) != len(x0):
            raise ValueError(f"there must be a condition a pair; got {len(condition)} for {len(x0)}")
        self.x0, self.x1, self.condition, self.origin = x0, x1, condition, dict(origin or {})

    def __len__(self) -> int:
        return len(self.x0)

    def identity(self) -> dict[str, Any]:
        """Shape and origin; not the values, which another number of threads rounds differently."""
        return {"shape": list(self.x0.shape), **self.origin}

    def __getitem__(self, key: int | SampleKey) -> tuple[Tensor, ...]:
        index = key[0] if isinstance(key, tuple) else key
        parts = (self.x0, self.x1) if self.condition is None else (self.x0, self.x1, self.condition)
        return tuple(part[index].float() for part in parts)


class OneCache(Dataset[tuple[Tensor, ...]]):
    """One of `caches` sets of pairs that a run is trained on in turn: to a run that is resumed they are one set."""

    def __init__(self, pairs: Any, caches: int) -> None:
        self.pairs, self.caches = pairs, caches

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: int | SampleKey) -> tuple[Tensor, ...]:
        return self.pairs[key]

    def identity(self) -> dict[str, Any]:
        """That of the pairs, whichever of the caches they are."""
        return {**self.pairs.identity(), "seed": f"{self.caches} in turn"}


@dataclass(frozen=True)
class PairMaker:
    """A pipeline's pairs over a whole set, `rounds` times, each time with fresh crops, flips and degradations.

    Pair i is a function of (seed, batch_size, i) and of the networks alone, whichever process makes it. With `reflow`
    the source has its noise, and the target is where the pipeline's own velocity carries it in so many Heun steps.
    """

    pipeline: Pipeline
    degradation: Degradation | None
    dataset: Dataset
    rounds: int
    seed: int
    batch_size: int
    device: torch.device
    workers: int = 0
    precision: str = "fp32"
    reflow: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.batch_size < 1:
            raise ValueError(f"rounds and batch_size must be at least 1; got {self.rounds} and {self.batch_size}")
        check_precision(self.precision)
        if self.images == 0:
            raise ValueError("0 images to make pairs of")
        for part in self.parts.values():
            if part is not None:
                part.to(self.device).eval().requires_grad_(False)

    @property
    def parts(self) -> dict[str, nn.Module | None]:
        """What decides the pairs, beside the degradation; the velocity does so only where it makes the targets."""
        names = (*PARTS, "velocity") if self.reflow else PARTS
        return {name: getattr(self.pipeline, name) for name in names}

    @property
    def images(self) -> int:
        need_length(self.dataset, "a cache of pairs")
        return len(self.dataset)  # type: ignore[arg-type]

    @property
    def starts(self) -> range:
        """First pair of each batch."""
        return range(0, self.rounds * self.images, self.batch_size)

    @torch.no_grad()
    def make(self, starts: Sequence[int]) -> Iterator[tuple[Tensor, ...]]:
        """(x0, x1), and the condition if any, in half precision on the CPU, for each batch that begins at one of
        `starts`."""
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
            with bfloat16_where(self.precision == "bf16", self.device, keep=True):
                ends = flow_ends(self.pipeline, self.degradation, to_device(batch, self.device), generator)
                ends = self._carried(ends, generator) if self.reflow else ends
            yield tuple(end.half().cpu() for end in ends if end is not None)

    def _carried(self, ends: Ends, generator: torch.Generator) -> Ends:
        """The ends of the pipeline's own paths."""
        x0, _, condition = ends
        noise = torch.randn(x0.shape, generator=generator, device=x0.device)
        x0 = x0 + self.pipeline.source_noise * noise
        return *reflow_pairs(lambda x, t: self.pipeline.drift(x, t, condition), x0, self.reflow, "heun"), condition

    def _keys(self, start: int) -> list[SampleKey]:
        positions = range(start, min(start + self.batch_size, self.rounds * self.images))
        places = (divmod(position, self.images) for position in positions)
        return [SampleKey(index, derive_seed(self.seed, "pair", turn, index)) for turn, index in places]


def precompute_pairs(
    pipeline: Pipeline,
    degradation: Degradation | None,
    dataset: Dataset,
    *,
    rounds: int,
    seed: int,
    batch_size: int = 32,
    workers: int = 0,
    precision: str = "fp32",
    reflow: int = 0,
    device: str | torch.device | None = None,
) -> PairDataset:
    """A pipeline's ends (x0, x1), and its condition if any, over a set of uint8 images, `rounds` times, in memory; or
    of DegradedImages, without a degradation.

    Processes that train together share the work. A new cache with another seed now and then keeps the degradations
    fresh. write_pairs() is for what memory does not hold.

    Arguments:
        workers: processes that read images.
        precision: 'fp32', or 'bf16' for autocast of encoder and estimator.
        reflow: 0, or the Heun steps in which the pipeline's own velocity carries each source, with its noise, to the
            target: pairs for a flow of few steps (flow.reflow_pairs).
        device: as in fit().

    Examples:
        >>> from PIL import Image
        >>> from pmrf_blocks.data import MapImages
        >>> from pmrf_blocks.degradations import Denoising
        >>> from pmrf_blocks.restoration import PMRF
        >>> pipeline = PMRF(estimator=torch.nn.Identity(), velocity=torch.nn.Identity(), size=16)
        >>> images = MapImages([Image.new("RGB", (16, 16))] * 2, size=16)
        >>> pairs = precompute_pairs(pipeline, Denoising(), images, rounds=3, seed=0, device="cpu")
        >>> len(pairs), pairs[0][1].unique()  # three degradations of each black image
        (6, tensor([0.]))
    """
    everyone = processes(device)
    maker = PairMaker(
        pipeline, degradation, dataset, rounds, seed, batch_size, everyone.device, workers, precision, reflow
    )
    share = maker.starts[everyone.process_index :: everyone.num_processes]
    bar = tqdm(share, desc="pairs", unit="batch", disable=not everyone.is_main_process)
    parts = [(start, pair) for start, pair in zip(bar, maker.make(share))]
    if everyone.num_processes > 1:
        from accelerate.utils import gather_object

        parts = sorted(gather_object(parts), key=lambda part: part[0])
    origin = {"of": describe_dataset(dataset), "rounds": rounds, "seed": seed, "precision": precision}
    origin |= {"reflow": reflow} if reflow else {}
    return PairDataset(*(torch.cat(ends) for ends in zip(*(pair for _, pair in parts))), origin=origin)
