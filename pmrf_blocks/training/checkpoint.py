"""Checkpoints of a run: written whole or not at all, the newest few kept, condemned only by what is in them."""

from __future__ import annotations

import errno
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from pmrf_blocks.messages import first_line
from pmrf_blocks.training.errors import CheckpointError, DamagedCheckpointError
from pmrf_blocks.whole_files import replacing, sweep

KEEP = 2
NAME = re.compile(r"step-(\d{8,15})\.pt")
PARTS = {"step": int, "network": dict, "optimizer": dict, "ema": dict, "guard": dict, "meter": dict}


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pt"


def step_of(path: Path) -> int:
    """The step that a checkpoint's name gives."""
    named = NAME.fullmatch(path.name)
    assert named is not None
    return int(named[1])


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` for `step`, flushed to the disk under a temporary name and then renamed; drop older ones.

    CheckpointError, which names the last good checkpoint, where it cannot be written.
    """
    path = checkpoint_path(folder, step)
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        last = latest_checkpoint(folder)
        raise CheckpointError(f"cannot write {path}: {error}; the last good checkpoint is {last}") from error
    prune(folder)
    return path


def prune(folder: Path) -> None:
    """Remove all but the newest checkpoints, and what killed processes left half written."""
    sweep(folder)
    for old in _checkpoints(folder)[:-KEEP]:
        old.unlink(missing_ok=True)


def latest_checkpoint(folder: Path) -> Path | None:
    """Newest checkpoint of a folder by its name, or None."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU (weights_only: it can run no code).

    The checksums inside the file are compared first: damage that leaves its shape alone is found too.
    DamagedCheckpointError where the file's content is not that of a whole checkpoint; CheckpointError where the
    content could not be seen: too many open files, a failing disk, no memory.
    """
    try:
        with open(path, "rb") as file:
            _check_archive(file)
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        of_system = isinstance(error, (OSError, MemoryError, RuntimeError))  # torch's RuntimeError: no memory
        if of_system and "PytorchStreamReader" not in str(error):
            raise CheckpointError(f"cannot read checkpoint {path}: {first_line(error)}; it is left as it is") from error
        raise DamagedCheckpointError(f"cannot read checkpoint {path}: {first_line(error)}") from error
    _check_parts(path, state)
    return state


def _check_archive(file: BinaryIO) -> None:
    """ValueError where it is not a whole archive as torch.save writes it; OSError where it cannot be read."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            names = archive.namelist()
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError("it is cut or overwritten") from None  # an offset before the file's beginning
    except MemoryError:
        raise
    except Exception as error:  # zipfile's own, zlib's and struct's
        raise ValueError(first_line(error)) from None
    if damaged is not None:
        raise ValueError(f"{damaged} in it is damaged")
    if not any(name.endswith("/data.pkl") for name in names):
        raise ValueError("it is no file of torch.save")


def _check_parts(path: Path, state: Any) -> None:
    if not isinstance(state, dict):
        raise DamagedCheckpointError(f"cannot read checkpoint {path}: it holds a {type(state).__name__}")
    if isinstance(state.get("step"), int) and NAME.fullmatch(path.name) and state["step"] != step_of(path):
        raise DamagedCheckpointError(f"cannot read checkpoint {path}: it is of step {state['step']}")


def load_newest(
    folder: Path, note: Callable[[str], None], *, rename: bool = True
) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint of a run that is whole, with its path; None in a folder without any.

    `note` is told of each damaged one that is passed over, which `rename` calls .damaged. CheckpointError if there
    are only such, or where one could not be read for another reason than its content: nothing is renamed then.
    """
    damaged: list[tuple[Path, Exception]] = []
    for path in reversed(_checkpoints(folder)):
        try:
            state = load_checkpoint(path)
            for name, kind in PARTS.items():
                if not isinstance(state.get(name), kind):
                    raise DamagedCheckpointError(f"cannot read checkpoint {path}: it is no run's, without {name!r}")
        except DamagedCheckpointError as error:
            damaged.append((path, error))
            continue
        except CheckpointError as error:
            if isinstance(error.__cause__, FileNotFoundError):  # the process that renames was faster
                continue
            raise
        for other, reason in damaged:
            note(f"{reason}; taking {path.name}, the one before it")
            if rename:
                other.rename(other.with_suffix(".damaged"))  # or it would pass for the checkpoint of its step
        return path, state
    if damaged:
        raise CheckpointError(f"none of the {len(damaged)} checkpoints in {folder} can be read: {damaged[0][1]}")
    return None


def steps_done(run_folder: Path) -> int:
    """How many steps a run has behind it, by its newest whole checkpoint; 0 where it has none. Changes nothing."""
    found = load_newest(run_folder / "checkpoints", lambda text: None, rename=False)
    return 0 if found is None else int(found[1]["step"])


def _checkpoints(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("step-*.pt") if NAME.fullmatch(path.name)), key=step_of)
