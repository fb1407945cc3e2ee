"""Degraded images made beforehand by all processors: an accelerator learns from them faster than it degrades, since
every image has a size of its own on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pmrf_blocks.data import SampleKey
from pmrf_blocks.seeding import derive_generator, derive_seed
from pmrf_blocks.training.interruption import leave_signals_to_parent
from pmrf_blocks.training.resuming import describe_dataset
from pmrf_blocks.training.tasks import Degradation, degrade
from pmrf_blocks.whole_files import replacing


class DegradedImages(Dataset[tuple[Tensor, Tensor]]):
    """Pairs (degraded, target), uint8 (3, H, W) each, of a file that write_degraded() made.

    Addressed by SampleKey or a plain index, as images are; the seed of a key changes nothing. `origin`: plain values
    that say what the pairs were made of. OSError or ValueError for a file that is none of NumPy's.

    Examples:
        >>> import pathlib, tempfile
        >>> import numpy
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "pairs.npy")
        ...     numpy.save(file, numpy.zeros((5, 2, 3, 8, 8), numpy.uint8))  # as write_degraded() does
        ...     degraded, target = DegradedImages(file)[4]
        >>> degraded.shape
        torch.Size([3, 8, 8])
    """

    def __init__(self, path: str | Path, *, origin: dict[str, Any] | None = None) -> None:
        self.path, self.origin = Path(path), dict(origin or {})
        self.pairs = np.load(self.path, mmap_mode="r")  # the file's pages are shared by all processes that read it

    @property
    def where(self) -> str:
        return str(self.path)

    def __len__(self) -> int:
        return len(self.pairs)

    def identity(self) -> dict[str, Any]:
        """Shape and origin."""
        return {"shape": list(self.pairs.shape), **self.origin}

    def __getitem__(self, key: int | SampleKey) -> tuple[Tensor, Tensor]:
        index = key[0] if isinstance(key, tuple) else key
        degraded, target = torch.from_numpy(self.pairs[index].copy())
        return degraded, target


def write_degraded(
    path: str | Path, dataset: Dataset, degradation: Degradation, *, rounds: int, seed: int = 0, workers: int = 0
) -> DegradedImages:
    """Degrade each uint8 image (3, H, W) of a set `rounds` times into one file, whole or not at all; kept where it is.

    Pair i is a function of (seed, i), whichever process makes it: crop and flip, by the set's own SampleKey, and the
    degradation. Pixels are kept in 8 bits, as the blind-face degradation gives them.

    Arguments:
        workers: processes that degrade; 0 works in this one.

    Raises ValueError for fewer than one round, and for a degradation whose results have no 8-bit form (values outside
    [0, 1]).

    Examples:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> from pmrf_blocks.data import MapImages
        >>> from pmrf_blocks.degradations import BlindFaceDegradation
        >>> images = MapImages([Image.new("RGB", (16, 16))] * 2, size=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "pairs.npy")
        ...     len(write_degraded(file, images, BlindFaceDegradation(), rounds=3))  # three degradations of each
        6
    """
    path = Path(path)
    origin = {"of": describe_dataset(dataset), "rounds": rounds, "seed": seed}
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1; got {rounds}")
    if path.exists():
        return DegradedImages(path, origin=origin)
    maker = _Maker(dataset, degradation, rounds, seed)
    loader = DataLoader(
        maker, batch_size=32, num_workers=workers, worker_init_fn=leave_signals_to_parent,
        generator=torch.Generator().manual_seed(seed),  # of the workers; else the global one is drawn from
    )  # fmt: skip
    with replacing(path, several=True) as temporary:
        pairs: Any = None
        done = 0
        for batch in tqdm(loader, desc="degraded images", unit="batch"):
            if pairs is None:
                pairs = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(maker), *batch.shape[1:]))
            pairs[done : done + len(batch)] = batch.numpy()
            done += len(batch)
        pairs.flush()
    return DegradedImages(path, origin=origin)


class _Maker(Dataset[Tensor]):
    """Pair by pair, uint8 (2, 3, H, W)."""

    def __init__(self, dataset: Any, degradation: Degradation, rounds: int, seed: int) -> None:
        self.dataset, self.degradation, self.rounds, self.seed = dataset, degradation, rounds, seed

    def __len__(self) -> int:
        return self.rounds * len(self.dataset)

    @torch.no_grad()
    def __getitem__(self, position: int) -> Tensor:
        turn, index = divmod(position, len(self.dataset))
        pixels = self.dataset[SampleKey(index, derive_seed(self.seed, "pair", turn, index))]
        pair = torch.cat(degrade(self.degradation, pixels[None], derive_generator(self.seed, "degrade", position)))
        if pair.min() < 0 or pair.max() > 1:
            raise ValueError("the degradation gives values outside [0, 1], which 8 bits do not hold")
        return pair.mul(255.0).round().to(torch.uint8)
