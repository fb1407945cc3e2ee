"""Checkpoints of a run: written whole or not at all, the newest few kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

KEEP = 2


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read."""


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pt"


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` for `step`, flushed to the disk under a temporary name and then renamed; drop older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    path = checkpoint_path(folder, step)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        temporary.unlink(missing_ok=True)
        last = latest_checkpoint(folder)
        raise CheckpointError(f"cannot write {path}: {error}; the last good checkpoint is {last}") from error
    for old in _checkpoints(folder)[:-KEEP]:
        old.unlink()
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """Newest whole checkpoint of a folder, or None."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU (weights_only: it can run no code)."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt")) if folder.is_dir() else []
