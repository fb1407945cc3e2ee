"""EXIF blocks: orientation, resolution, and what of them is written again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from PIL import ExifTags, Image

ORIENTATION = ExifTags.Base.Orientation
SIDEWAYS = frozenset({5, 6, 7, 8})
SUB_BLOCKS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
# Describes the layout of the old file, or its size, or is another picture of it.
LAYOUT = frozenset(
    {
        0x00FE, 0x00FF, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010A, 0x0111, 0x0115, 0x0116, 0x0117, 0x0118, 0x0119,
        0x011C, 0x0120, 0x0121, 0x0122, 0x0123, 0x0124, 0x0125, 0x012D, 0x013D, 0x013E, 0x013F, 0x0140, 0x0142, 0x0143,
        0x0144, 0x0145, 0x014A, 0x014C, 0x0150, 0x0152, 0x0153, 0x0154, 0x0155, 0x015B, 0x0200, 0x0201, 0x0202, 0x0203,
        0x0205, 0x0206, 0x0207, 0x0208, 0x0209, 0x0211, 0x0212, 0x0213, 0x0214, 0x02BC, 0x83BB, 0x8649, 0x8773, 0xA002,
        0xA003, 0xA005, 0xC4A5, ORIENTATION, *SUB_BLOCKS,
    }
)  # fmt: skip


def read_exif(image: Image.Image) -> tuple[Image.Exif, int, str]:
    """(the block, orientation 1 to 8, what is wrong with it or ''). An unreadable block is as none."""
    try:
        exif = Image.Image.getexif(image)  # that of PNG's class would decode the pixels
    except Exception:  # struct.error, SyntaxError, TypeError, ... by what the garbage looks like
        return Image.Exif(), 1, "its EXIF block cannot be read"
    try:
        value = exif.get(ORIENTATION, 1)
        value = value[0] if isinstance(value, tuple) and value else value
        text = value.decode("ascii") if isinstance(value, bytes) else str(value)
        orientation = int(float(text.strip(" \0")))
    except Exception:
        return exif, 1, "its EXIF orientation cannot be read"
    return exif, orientation if 1 <= orientation <= 8 else 1, ""


def writable_exif(exif: Image.Exif) -> tuple[bytes | None, list[int]]:
    """(the block for a new file, tags that cannot be encoded again); None where nothing is left of it."""
    kept, lost = Image.Exif(), []
    for tag, value in _items(exif):
        if tag not in LAYOUT and not _put(kept, lambda block, t=tag, v=value: block.__setitem__(t, v)):  # type: ignore[misc]
            lost.append(tag)
    for name in SUB_BLOCKS:
        try:
            inner = exif.get_ifd(name)
        except Exception:  # as of read_exif
            lost.append(int(name))
            continue
        for tag, value in inner.items():
            if tag not in LAYOUT and not _put(kept, lambda b, n=name, t=tag, v=value: b.get_ifd(n).__setitem__(t, v)):  # type: ignore[misc]
                lost.append(tag)
    if not len(kept) and not any(kept.get_ifd(name) for name in SUB_BLOCKS):
        return None, lost
    return kept.tobytes(), lost


def _items(exif: Image.Exif) -> list[tuple[int, Any]]:
    items = []
    for tag in list(exif):
        try:
            items.append((tag, exif[tag]))
        except Exception:  # one tag of a kind that cannot be decoded: dropped as its value is not known
            continue
    return items


def _put(kept: Image.Exif, put: Callable[[Image.Exif], None]) -> bool:
    """Put one tag into the block, if it can be encoded."""
    alone = Image.Exif()
    try:
        put(alone)
        alone.tobytes()
    except Exception:  # whatever the encoder of the tag's type raises
        return False
    put(kept)
    return True


def read_resolution(image: Image.Image, orientation: int) -> tuple[float, float] | None:
    """Pixels an inch (horizontal, vertical) of the upright picture, where the file gives plausible ones."""
    try:
        horizontal, vertical = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not all(math.isfinite(value) and 1 < value <= 65_535 for value in (horizontal, vertical)):
        return None
    return (vertical, horizontal) if orientation in SIDEWAYS else (horizontal, vertical)
