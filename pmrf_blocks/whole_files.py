"""Files written whole or not at all, whatever ends the process or the machine: the one way in which results are kept.

A file is written under NAME.tmp beside its place, flushed to the disk, renamed, and the rename is flushed too. What a
kill leaves is overwritten by the next attempt, or removed by sweep().
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: str | Path, *, several: bool = False) -> Iterator[Path]:
    """Gives the temporary name to write under; the file takes the place of `path` when the block ends without error.

    The folder is created. `several` says that other processes may write the same file at this moment: each takes a
    name of its own, and those of processes that have died are removed. Raises what the system raises (OSError), with
    `path` as it was and no temporary file left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp" if several else f"{path.name}.tmp")
    if several:
        for abandoned in path.parent.glob(f"{path.name}.*.tmp"):
            if not _alive(abandoned.name.split(".")[-2]):
                abandoned.unlink(missing_ok=True)
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
        flush(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str, *, several: bool = False) -> None:
    """Replace a text file (UTF-8)."""
    with replacing(path, several=several) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Replace a file."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | Path, value: Any) -> None:
    """Replace a JSON file; numbers that are not finite become null, other objects their str()."""
    write_text(path, to_json(value, indent=2) + "\n")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON that every reader takes: NaN and infinities, for which JSON has no name, become null."""
    return json.dumps(_finite(value), indent=indent, default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk, so that it lasts through a power cut."""
    if path.is_dir() and os.name != "posix":
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_tree(folder: Path) -> None:
    """Bring all files of a folder, and its names, to the disk."""
    for path in sorted(folder.rglob("*")):
        flush(path)
    flush(folder)


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left directly in `folder`; nobody may be writing there."""
    for abandoned in folder.glob("*.tmp"):
        abandoned.unlink(missing_ok=True)


def _alive(process: str) -> bool:
    if not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
