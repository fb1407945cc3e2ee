"""A flow's pairs computed beforehand, on the disk: for sets that memory does not hold and runs that share them.

manifest.json            what made the pairs, and how many there are
pairs-00000.safetensors  one such shard after the other (see pair_shards.py)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from pmrf_blocks.data import DataError, SampleKey
from pmrf_blocks.json_files import read_json_object
from pmrf_blocks.restoration.pipelines import Pipeline
from pmrf_blocks.training.lock import locked
from pmrf_blocks.training.pair_shards import fingerprint, held_in, open_shard, shard_path, shard_problem, write_shard
from pmrf_blocks.training.pairs import PairMaker
from pmrf_blocks.training.processes import once, processes
from pmrf_blocks.training.tasks import Degradation
from pmrf_blocks.whole_files import sweep, write_json

MANIFEST = "manifest.json"
MOST = 10**12  # pairs that a manifest can mean


class PairFolder(Dataset[tuple[Tensor, ...]]):
    """Pairs (x0, x1), or triples with the condition, float32, read one by one from a folder that write_pairs() filled.

    Raises DataError where the folder is not whole.
    Addressed by SampleKey or a plain index, as images are; the seed of a key changes nothing.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> from pmrf_blocks.data import MapImages
        >>> from pmrf_blocks.degradations import Denoising
        >>> from pmrf_blocks.restoration import PMRF
        >>> pipeline = PMRF(estimator=torch.nn.Identity(), velocity=torch.nn.Identity(), size=16)
        >>> images = MapImages([Image.new("RGB", (16, 16))] * 2, size=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_pairs(folder, pipeline, Denoising(), images, rounds=3, seed=0, device="cpu")
        ...     len(PairFolder(folder))
        6
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self.shard_pairs = self.manifest["shard_pairs"]
        missing = [path.name for path, _ in shards(self.folder, self.manifest) if not path.exists()]
        if missing:
            count = -(-self.manifest["pairs"] // self.shard_pairs)
            raise DataError(f"{self.folder}: {len(missing)} of {count} shards are missing, {missing[0]} first")
        self._open: dict[int, Any] = {}
        for path, first in shards(self.folder, self.manifest):
            open_shard(path, pairs_from(first, self.manifest))  # sizes; write_pairs() compares checksums

    @property
    def where(self) -> str:
        return str(self.folder)

    def __len__(self) -> int:
        return self.manifest["pairs"]

    def __getitem__(self, key: int | SampleKey) -> tuple[Tensor, ...]:
        index = key[0] if isinstance(key, tuple) else key
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        shard, row = divmod(index, self.shard_pairs)
        file = self._shard(shard)
        return tuple(file.get_slice(name)[row].float() for name in held_in(file))

    def _shard(self, number: int) -> Any:
        if number not in self._open:
            first = number * self.shard_pairs
            self._open[number] = open_shard(shard_path(self.folder, number), pairs_from(first, self.manifest))
        return self._open[number]

    def identity(self) -> dict[str, Any]:
        """What made the pairs."""
        told = ("networks", "space", "source", "condition", "degradation", "rounds", "seed", "precision", "made_by")
        return {name: self.manifest.get(name) for name in told}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}  # each worker process opens the shards itself


def write_pairs(
    folder: str | Path,
    pipeline: Pipeline,
    degradation: Degradation | None,
    dataset: Dataset,
    *,
    rounds: int,
    seed: int,
    made_by: Mapping[str, Any] | None = None,
    batch_size: int = 32,
    shard_batches: int = 32,
    workers: int = 0,
    precision: str = "fp32",
    reflow: int = 0,
    device: str | torch.device | None = None,
) -> PairFolder:
    """The pairs of precompute_pairs(), whose arguments these are, into `folder`, where they stay.

    Shards that are there already and whole, by size and checksum, are kept: the same call goes on where it was
    stopped, and makes damaged ones again. Processes that train together share the work.

    Arguments:
        made_by: JSON that is kept in the manifest, beside the weights' checksums.
        shard_batches: batches a file.

    Raises DataError where the folder holds pairs that something else made, TrainingError where another run is writing
    there.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> from pmrf_blocks.data import MapImages
        >>> from pmrf_blocks.degradations import Denoising
        >>> from pmrf_blocks.restoration import PMRF
        >>> pipeline = PMRF(estimator=torch.nn.Identity(), velocity=torch.nn.Identity(), size=16)
        >>> images = MapImages([Image.new("RGB", (16, 16))] * 2, size=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     x0, x1 = write_pairs(folder, pipeline, Denoising(), images, rounds=1, seed=0, device="cpu")[1]
        >>> x0.shape
        torch.Size([3, 16, 16])
    """
    everyone, folder = processes(device), Path(folder)
    maker = PairMaker(
        pipeline, degradation, dataset, rounds, seed, batch_size, everyone.device, workers, precision, reflow
    )
    manifest = describe(maker, made_by, shard_batches * batch_size)
    compare(folder, manifest)
    with locked(folder, everyone):
        once(lambda: begin(folder, manifest), device)
        mine = shards(folder, manifest)[everyone.process_index :: everyone.num_processes]
        missing = [(path, first) for path, first in mine if not whole(path, pairs_from(first, manifest))]
        for path, first in tqdm(missing, desc="pairs", unit="shard", disable=not everyone.is_main_process):
            starts = [start for start in maker.starts if first <= start < first + manifest["shard_pairs"]]
            write_shard(path, [torch.cat(parts) for parts in zip(*maker.make(starts))])
        everyone.wait_for_everyone()
    return PairFolder(folder)


def whole(path: Path, pairs: int) -> bool:
    """Whether a shard is there as it was written; one that is damaged is told on stderr."""
    if not path.exists():
        return False
    problem = shard_problem(path, pairs)
    if problem is not None:
        tqdm.write(f"{problem}; it is made again", file=sys.stderr)
    return problem is None


def describe(maker: PairMaker, made_by: Mapping[str, Any] | None, shard_pairs: int) -> dict[str, Any]:
    """What decides the pairs, as JSON."""
    return {
        "format": 3,
        "made_by": json.loads(json.dumps(made_by, default=str)),
        **{name: settings(part) for name, part in maker.parts.items()},
        "degradation": settings(maker.degradation),
        "networks": [fingerprint(part.state_dict()) for part in maker.parts.values() if part is not None],
        "dataset": {"images": maker.images, **settings(maker.dataset)},
        "rounds": maker.rounds,
        "seed": maker.seed,
        "precision": maker.precision,
        "batch_size": maker.batch_size,
        "pairs": maker.rounds * maker.images,
        "shard_pairs": shard_pairs,
        **({"reflow": maker.reflow} if maker.reflow else {}),
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json, checked; DataError where it is missing or damaged."""
    try:
        manifest = read_json_object(folder / MANIFEST, DataError, {"pairs": int, "shard_pairs": int})
    except DataError as error:
        raise DataError(f"{folder} holds no pairs: {error}") from None
    pairs, per_shard = manifest["pairs"], manifest["shard_pairs"]
    if not (0 < pairs <= MOST and 0 < per_shard <= MOST and pairs <= per_shard * 100_000):
        raise DataError(f"{folder} holds no pairs: {pairs} pairs in shards of {per_shard}")
    return manifest


def compare(folder: Path, manifest: Mapping[str, Any]) -> None:
    """DataError where `folder` holds pairs of another origin, with what differs."""
    if not (folder / MANIFEST).exists():
        return
    there = read_manifest(folder)
    for name, value in manifest.items():
        if there.get(name) != value:
            raise DataError(
                f"{folder} holds pairs that something else made: {name} is {there.get(name)} there and {value} here; "
                "take another folder, or delete it"
            )


def begin(folder: Path, manifest: Mapping[str, Any]) -> None:
    sweep(folder)
    if not (folder / MANIFEST).exists():
        write_json(folder / MANIFEST, manifest)


def shards(folder: Path, manifest: Mapping[str, Any]) -> list[tuple[Path, int]]:
    """(file, first pair) of every shard."""
    starts = range(0, manifest["pairs"], manifest["shard_pairs"])
    return [(shard_path(folder, number), start) for number, start in enumerate(starts)]


def pairs_from(first: int, manifest: Mapping[str, Any]) -> int:
    """How many pairs the shard holds that begins with pair `first`."""
    return min(manifest["shard_pairs"], manifest["pairs"] - first)


def settings(thing: object) -> dict[str, Any]:
    """What an object says of itself, as JSON: its class or name, and those of its attributes that are plain values."""
    kind = getattr(thing, "__name__", type(thing).__name__)
    own = {name: value for name, value in getattr(thing, "__dict__", {}).items() if name != "training"}
    own |= {"where": thing.where} if hasattr(thing, "where") else {}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
    return {"kind": kind, **{name: value for name, value in plain.items() if _is_plain(value)}}


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= 8 and all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
