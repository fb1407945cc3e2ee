"""Checkpoints of a run: written whole or not at all, the newest few kept."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pmrf_blocks.training.errors import CheckpointError

KEEP = 2


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pt"


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` for `step`, flushed to the disk under a temporary name and then renamed; drop older ones."""
    path = checkpoint_path(folder, step)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for abandoned in folder.glob("step-*.tmp"):  # of runs that were killed while they wrote
            abandoned.unlink()
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_names(folder)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        temporary.unlink(missing_ok=True)
        last = latest_checkpoint(folder)
        raise CheckpointError(f"cannot write {path}: {error}; the last good checkpoint is {last}") from error
    for old in _checkpoints(folder)[:-KEEP]:
        old.unlink()
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """Newest checkpoint of a folder by its name, or None."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU (weights_only: it can run no code); CheckpointError where it is not whole.

    The checksums inside the file are compared first: damage that leaves its shape alone is found too.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} in it is damaged")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error


def load_newest(folder: Path, note: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that is whole, with its path; None in a folder without any.

    `note` is told of each damaged one that is passed over; CheckpointError if there are only such.
    """
    damaged = []
    for path in reversed(_checkpoints(folder)):
        try:
            found = path, load_checkpoint(path)
        except CheckpointError as error:
            damaged.append((path, error))
            continue
        for other, reason in damaged:
            note(f"{reason}; taking {path.name}, the one before it")
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                other.rename(other.with_suffix(".damaged"))  # or it would pass for the checkpoint of its step
        return found
    if damaged:
        raise CheckpointError(f"none of the {len(damaged)} checkpoints in {folder} can be read: {damaged[0][1]}")
    return None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt")) if folder.is_dir() else []


def _flush_names(folder: Path) -> None:
    """Make the renaming itself last through a power cut, where the system lets folders be flushed."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
