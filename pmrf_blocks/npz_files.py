"""Arrays of an .npz file from elsewhere: no pickle, and no more memory than the file itself accounts for."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from pmrf_blocks.messages import first_line

DENSEST = 20  # times that numbers of a measurement are ever compressed


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays by name.

    ValueError, in one line, where the file is missing, is none that numpy wrote, is damaged, holds Python objects, or
    declares arrays of another size than it holds.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                _check_entry(archive, entry, path.stat().st_size)
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} in it is damaged")
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except Exception as error:  # zipfile's, zlib's and numpy's own
        raise ValueError(first_line(error)) from None


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, length: int) -> None:
    """ValueError where an array's header does not describe as many bytes as the archive has of it."""
    if entry.compress_size > length or entry.file_size > DENSEST * entry.compress_size + 1000:
        raise ValueError(f"{entry.filename} declares {entry.file_size} bytes in {entry.compress_size}")
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
        declared = member.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or declared != entry.file_size:
        raise ValueError(f"{entry.filename} declares {shape} of {dtype}, and holds {entry.file_size} bytes")
