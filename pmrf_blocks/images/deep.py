"""PNG and TIFF of 16 bits a channel with colours or alpha, which Pillow does not write."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from pmrf_blocks.images.exif import LAYOUT, SUB_BLOCKS

PNG_COLOUR = {2: 4, 3: 2, 4: 6}  # colour type by number of channels (PNG specification, table 11.1)
PIXELS_A_METRE = 1 / 0.0254  # for one an inch


def write_png(
    array: np.ndarray, path: Path, *, profile: bytes | None, exif: bytes | None, dpi: tuple[float, float] | None
) -> None:
    """(H, W, C) uint16, C of 2 (grey, alpha), 3 or 4, as PNG with its profile, EXIF block and resolution."""
    height, width, channels = array.shape
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, PNG_COLOUR[channels], 0, 0, 0))]
    if profile is not None:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile)))
    if dpi is not None:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value * PIXELS_A_METRE) for value in dpi), 1)))
    if exif is not None:
        chunks.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    rows = array.astype(">u2").view(np.uint8).reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)  # each row less the one above ('Up')
    filtered[0, 1:], filtered[1:, 1:] = rows[0], rows[1:] - rows[:-1]
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, content in chunks:
            file.write(struct.pack(">I", len(content)) + name + content)
            file.write(struct.pack(">I", zlib.crc32(name + content)))


def write_tiff(
    array: np.ndarray, path: Path, *, profile: bytes | None, exif: bytes | None, dpi: tuple[float, float] | None
) -> None:
    """(H, W, C) uint16, C of 2 (grey, alpha), 3 or 4, as deflated TIFF with its profile, EXIF tags and resolution."""
    height, width, channels = array.shape
    content = zlib.compress(array.astype("<u2").tobytes())
    tags = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    block = Image.Exif()
    if exif is not None:
        block.load(exif)
    for tag, value in block.items():
        if tag not in LAYOUT:
            tags[tag] = value
    for name in SUB_BLOCKS:
        if inner := block.get_ifd(name):
            tags[name] = dict(inner)
    layout = {
        256: width, 257: height, 258: (16,) * channels, 259: 8, 262: 1 if channels == 2 else 2, 273: 0, 277: channels,
        278: height, 279: len(content), 284: 1,
    }  # fmt: skip
    if channels in (2, 4):
        layout[338] = 2  # the last channel is alpha, not premultiplied
    if dpi is not None:
        layout |= {282: dpi[0], 283: dpi[1], 296: 2}
    for tag, number in layout.items():
        tags[tag] = number
    if profile is not None:
        tags[34675] = profile
    with open(path, "wb") as file:
        file.write(b"II*\0" + struct.pack("<I", 8))
        tags.save(file)  # which moves the strip's place behind the tags
        file.write(content)
