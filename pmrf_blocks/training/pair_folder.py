"""A flow's pairs computed beforehand, on the disk: for sets that memory does not hold and runs that share them.

manifest.json            what made the pairs, and how many there are
pairs-00000.safetensors  x0 and x1, each (N, C, h, w) in float16; one such shard after the other
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from pmrf_blocks.data import DataError, SampleKey
from pmrf_blocks.training.pairs import PairMaker
from pmrf_blocks.training.processes import once, processes
from pmrf_blocks.training.records import write_whole
from pmrf_blocks.training.tasks import Coupling

MANIFEST = "manifest.json"


class PairFolder(Dataset[tuple[Tensor, Tensor]]):
    """Pairs (x0, x1), float32, read one by one from a folder that write_pairs() filled; DataError if it is not whole.

    Addressed by SampleKey or a plain index, as images are; the seed of a key changes nothing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.manifest = json.loads((self.folder / MANIFEST).read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"{self.folder} holds no pairs: {error}") from None
        self.shard_pairs = self.manifest["shard_pairs"]
        missing = [path.name for path, _ in shards(self.folder, self.manifest) if not path.exists()]
        if missing:
            count = -(-self.manifest["pairs"] // self.shard_pairs)
            raise DataError(f"{self.folder}: {len(missing)} of {count} shards are missing, {missing[0]} first")
        self._open: dict[int, Any] = {}

    @property
    def where(self) -> str:
        return str(self.folder)

    def __len__(self) -> int:
        return self.manifest["pairs"]

    def __getitem__(self, key: int | SampleKey) -> tuple[Tensor, Tensor]:
        index = key[0] if isinstance(key, tuple) else key
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        shard, row = divmod(index, self.shard_pairs)
        file = self._shard(shard)
        return file.get_slice("x0")[row].float(), file.get_slice("x1")[row].float()

    def _shard(self, number: int) -> Any:
        if number not in self._open:
            path = shard_path(self.folder, number)
            try:
                self._open[number] = safe_open(path, framework="pt")
            except (OSError, SafetensorError) as error:
                raise DataError(f"cannot read {path}: {error}") from None
        return self._open[number]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}  # each worker process opens the shards itself


def write_pairs(
    folder: str | Path,
    coupling: Coupling,
    dataset: Dataset,
    *,
    rounds: int,
    seed: int,
    made_by: Mapping[str, Any] | None = None,
    batch_size: int = 32,
    shard_batches: int = 32,
    workers: int = 0,
    device: str | torch.device | None = None,
) -> PairFolder:
    """All pairs of a coupling over a set, `rounds` times, into `folder`, where they stay; pairs of precompute_pairs().

    Shards that are there already are kept: the same call goes on where it was stopped. Processes that train together
    share the work. `made_by` (JSON) is kept in the manifest beside the weights' checksums; DataError where the folder
    holds pairs that something else made.
    """
    everyone, folder = processes(device), Path(folder)
    maker = PairMaker(coupling, dataset, rounds, seed, batch_size, everyone.device, workers)
    manifest = describe(maker, made_by, shard_batches * batch_size)
    compare(folder, manifest)
    once(lambda: begin(folder, manifest), device)
    missing = [(path, starts) for path, starts in shards(folder, manifest) if not path.exists()]
    everyone.wait_for_everyone()  # all have looked before anyone writes
    share = missing[everyone.process_index :: everyone.num_processes]
    for path, first in tqdm(share, desc="pairs", unit="shard", disable=not everyone.is_main_process):
        starts = [start for start in maker.starts if first <= start < first + manifest["shard_pairs"]]
        x0s, x1s = zip(*maker.make(starts))
        write_shard(path, torch.cat(x0s), torch.cat(x1s))
    everyone.wait_for_everyone()
    return PairFolder(folder)


def describe(maker: PairMaker, made_by: Mapping[str, Any] | None, shard_pairs: int) -> dict[str, Any]:
    """What decides the pairs, as JSON."""
    return {
        "format": 1,
        "made_by": json.loads(json.dumps(made_by, default=str)),
        "coupling": type(maker.coupling).__name__,
        "degradation": settings(getattr(maker.coupling, "degradation", None)),
        "networks": [fingerprint(network) for network in getattr(maker.coupling, "frozen", ())],
        "dataset": {"images": maker.images, **settings(maker.dataset)},
        "rounds": maker.rounds,
        "seed": maker.seed,
        "batch_size": maker.batch_size,
        "pairs": maker.rounds * maker.images,
        "shard_pairs": shard_pairs,
    }


def compare(folder: Path, manifest: Mapping[str, Any]) -> None:
    """DataError where `folder` holds pairs of another origin, with what differs."""
    path = folder / MANIFEST
    if not path.exists():
        return
    there = json.loads(path.read_text())
    for name, value in manifest.items():
        if there.get(name) != value:
            raise DataError(
                f"{folder} holds pairs that something else made: {name} is {there.get(name)} there and {value} here; "
                "take another folder, or delete it"
            )


def begin(folder: Path, manifest: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for abandoned in folder.glob(".*.tmp"):  # of runs that were killed while they wrote
        abandoned.unlink()
    if not (folder / MANIFEST).exists():
        write_whole(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"pairs-{number:05d}.safetensors"


def shards(folder: Path, manifest: Mapping[str, Any]) -> list[tuple[Path, int]]:
    """(file, first pair) of every shard."""
    starts = range(0, manifest["pairs"], manifest["shard_pairs"])
    return [(shard_path(folder, number), start) for number, start in enumerate(starts)]


def write_shard(path: Path, x0: Tensor, x1: Tensor) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file({"x0": x0.contiguous(), "x1": x1.contiguous()}, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of the names, shapes and values of a network's state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def settings(thing: object) -> dict[str, Any]:
    """What an object says of itself, as JSON: its class or name, and those of its attributes that are plain values."""
    kind = getattr(thing, "__name__", type(thing).__name__)
    own = {**getattr(thing, "__dict__", {}), **({"where": thing.where} if hasattr(thing, "where") else {})}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
    return {"kind": kind, **{name: value for name, value in plain.items() if _is_plain(value)}}


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= 8 and all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
