"""One file of a flow's cached pairs: x0, x1 and the condition if any, each (N, C, h, w) in float16, with a checksum of
all inside."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pmrf_blocks.data import DataError
from pmrf_blocks.whole_files import write_bytes

CHECKSUM = "sha256"
NAMES = ("x0", "x1", "condition")


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"pairs-{number:05d}.safetensors"


def held_in(shard: Any) -> list[str]:
    """What an open shard holds, in the order of NAMES."""
    own = shard.keys()
    return [name for name in NAMES if name in own]


def write_shard(path: Path, parts: Sequence[Tensor]) -> None:
    """Whole or not at all; `parts` are x0, x1 and the condition if any."""
    tensors = {name: part.contiguous() for name, part in zip(NAMES, parts)}
    write_bytes(path, save(tensors, metadata={CHECKSUM: fingerprint(tensors)}))


def open_shard(path: Path, pairs: int) -> Any:
    """The file, opened for reading single pairs; DataError where its size or layout is not that of so many pairs.

    The checksum is not compared: see shard_problem().
    """
    try:
        file = safe_open(path, framework="pt")
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    alike = shapes.get("x0") == shapes.get("x1") and all(shape[:1] == [pairs] for shape in shapes.values())
    if not alike or set(shapes) not in ({"x0", "x1"}, set(NAMES)):
        raise DataError(f"{path} holds {shapes}, not {pairs} pairs x0 and x1 of one shape")
    return file


def shard_problem(path: Path, pairs: int) -> str | None:
    """Why a file does not hold its pairs as they were written, by size and checksum; None where it does.

    OSError where it cannot be read for another reason than its content.
    """
    with open(path, "rb"):
        pass
    try:
        file = open_shard(path, pairs)
        known = (file.metadata() or {}).get(CHECKSUM)
        if known != fingerprint({name: file.get_tensor(name) for name in held_in(file)}):
            return f"{path.name} is damaged: its checksum differs"
    except (DataError, SafetensorError) as error:
        return f"{path.name} is damaged: {error}"
    return None


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the names, shapes and values of tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
