"""Files that every viewer shows though something in them is wrong: as they would be if they were whole."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from PIL import Image

from pmrf_blocks.images.png_chunks import SIGNATURE

END_OF_JPEG = b"\xff\xd9"
NO_END = "the end mark of the file is missing"
NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})
LARGEST = 1 << 30  # bytes; a larger file is not mended


def repairs(file: BinaryIO, decode: Callable[[BinaryIO], Image.Image]) -> Iterator[tuple[bytes, str]]:
    """Mended files to try in turn, each with what was wrong; none where pixels are missing.

    `decode` gives the decoded picture of a file, or raises.
    """
    file.seek(0)
    data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        return
    if data.startswith(SIGNATURE):
        yield from _without_broken_chunks(data)
    elif data.startswith(b"\xff\xd8"):
        yield from _with_end(data, decode)


def _with_end(data: bytes, decode: Callable[[BinaryIO], Image.Image]) -> Iterator[tuple[bytes, str]]:
    """A JPEG without its end mark. Its pixels are all there if they do not depend on what might have followed."""
    data = data.rstrip(b"\xff")
    if data.endswith(END_OF_JPEG):
        return
    digests = set()
    for filling in (b"", b"\x55" * 256, b"\xaa" * 256):
        try:
            pixels = decode(io.BytesIO(data + filling + END_OF_JPEG)).tobytes()
        except Exception:  # as varied as Pillow's decoders: then it is not the end alone that is missing
            return
        digests.add(hashlib.blake2b(pixels).digest())
    if len(digests) == 1:
        yield data + END_OF_JPEG, NO_END


def _without_broken_chunks(data: bytes) -> Iterator[tuple[bytes, str]]:
    """A PNG without the chunks that its pixels do not need: first those with a wrong checksum, then all."""
    chunks = []
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        name, end = data[place + 4 : place + 8], place + 12 + length
        if end > len(data):
            break
        whole = zlib.crc32(data[place + 4 : end - 4]) == struct.unpack(">I", data[end - 4 : end])[0]
        chunks.append((name, whole, data[place:end]))
        place = end
    for keep_whole in (True, False):
        dropped = {name for name, whole, _ in chunks if name not in NEEDED and not (whole and keep_whole)}
        if dropped:
            kept = [chunk for name, whole, chunk in chunks if name in NEEDED or (whole and keep_whole)]
            names = ", ".join(sorted(name.decode("latin-1") for name in dropped if name.isalpha()))
            yield SIGNATURE + b"".join(kept), f"broken chunks were left out ({names or 'of no name'})"
