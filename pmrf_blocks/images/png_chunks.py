"""What a PNG holds behind its pixels, found without decoding these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LONGEST_BLOCK = 1 << 24  # bytes of an EXIF block


def late_exif(file: BinaryIO) -> bytes | None:
    """The EXIF block, wherever it stands; Pillow finds one behind the pixels by decoding these."""
    for name, length in _chunks(file):
        if name == b"eXIf":
            return b"Exif\0\0" + file.read(min(length, LONGEST_BLOCK))
    return None


def has_end(file: BinaryIO) -> bool:
    """Whether the chunk that ends a PNG is there."""
    return any(name == b"IEND" for name, _ in _chunks(file))


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(name, length) of each chunk, the file standing at its content."""
    place = len(SIGNATURE)
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[:4], "big")
        yield head[4:], length
        if head[4:] == b"IEND":
            return
        place += length + 12
