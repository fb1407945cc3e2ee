"""Pillow's image of any mode as samples: depth, transparency and photometric interpretation heeded, or refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile

from pmrf_blocks.images.colour import UNUSABLE, to_srgb
from pmrf_blocks.images.loaded import ImageError

PHOTOMETRIC, BITS, SAMPLE_FORMAT, WHITE_IS_ZERO, SIGNED = 262, 258, 339, 0, 2  # of TIFF
SUBFILE, PLANES, DNG_VERSION = 254, 284, 50706
DEEP_GREY = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
GREY = frozenset({"1", "L", "LA", "La", "I", "F"}) | DEEP_GREY
DEEP_LA = "LA;16B"  # grey and alpha of 16 bits, which Pillow reads as RGBA
NATIVE = "L" if sys.byteorder == "little" else "B"


@dataclass(frozen=True)
class Samples:
    """`colour` (H, W, 3), or (H, W, 1) of a grey picture, in sRGB, and `alpha` (H, W) or None: unsigned integers of 8
    or 16 bits, or float32 in [0, 1]. `note` is what had to be assumed, or ''."""

    colour: np.ndarray
    alpha: np.ndarray | None = None
    note: str = ""


def raw_mode(image: Image.Image) -> str:
    """How samples lie in the file, as Pillow's decoders call it; '' where that is not said."""
    tiles = getattr(image, "tile", None) or [None]
    arguments = tiles[0][3] if tiles[0] is not None else ""
    arguments = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return arguments if isinstance(arguments, str) else ""


def _tag(image: Image.Image, tag: int) -> int | None:
    """The number of a TIFF's tag, of its first channel; None elsewhere and where there is none."""
    value = getattr(image, "tag_v2", {}).get(tag)
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else None


def bit_depth(image: Image.Image) -> int:
    """Bits a channel in the file."""
    if image.mode == "1":
        return 1
    if image.mode in DEEP_GREY:
        return _tag(image, BITS) or 16
    if image.mode in ("I", "F"):
        return _tag(image, BITS) or (16 if image.mode == "I" else 32)
    return 16 if "16" in raw_mode(image) else 8


def is_grey(image: Image.Image) -> bool:
    """Whether it has one channel of brightness and no colour."""
    return image.mode in GREY or raw_mode(image) == DEEP_LA


def is_transparent(image: Image.Image) -> bool:
    """Whether it has an alpha channel, or a colour that stands for transparency."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def refuse_unsupported(image: Image.Image) -> None:
    """ImageError for pixels whose meaning is not known, found by the head of the file."""
    signed = _tag(image, SAMPLE_FORMAT) == SIGNED and image.mode in GREY
    if signed or raw_mode(image).endswith("S"):
        raise ImageError("samples are signed integers: which of them are black and white is not defined")
    if image.mode == "I" and (image.format == "TIFF" or "32" in raw_mode(image)):
        raise ImageError("samples are integers of 32 bits: which of them is white is not defined")
    if _tag(image, DNG_VERSION) is not None or getattr(image, "tag_v2", {}).get(DNG_VERSION) is not None:
        raise ImageError("DNG holds a raw photograph, which has to be developed first")
    if (_tag(image, SUBFILE) or 0) & 1:
        raise ImageError("the first picture in it is a preview, such as a raw photograph's")


def ready_tiff(image: ImageFile.ImageFile) -> None:
    """Have Pillow read a TIFF as it lies: neither turned, which fails on tags that cannot be read, nor, where its
    channels lie in planes of 16 bits, the bytes of one as two pixels."""
    image.load_end = lambda: None  # type: ignore[method-assign]
    image._size = getattr(image, "_tile_size", image.size)
    if _tag(image, PLANES) == 2 and _tag(image, BITS) == 16 and len(raw_mode(image)) == 1:
        order = "L" if image.tag_v2.prefix == b"II" else "B"  # type: ignore[attr-defined]
        image.tile = [tile._replace(args=(f"{tile.args[0]};16{order}", *tile.args[1:])) for tile in image.tile]  # type: ignore[index]


def samples(image: Image.Image, again: Callable[[], ImageFile.ImageFile], *, deep: str) -> Samples:
    """The samples of a decoded image. `again` opens it once more; `deep` is the raw_mode() it had before decoding."""
    profile = image.info.get("icc_profile")
    if image.mode in DEEP_GREY or image.mode == "I":
        return _deep_grey(image, profile)
    if image.mode == "F":
        return _floats(image)
    if image.mode in ("RGB", "RGBA") and "16" in deep:
        low = _low_bytes(again, deep)
        if low is not None:
            return _deep_colour(image, low, deep, profile)
    alpha = None
    if is_transparent(image):
        whole = image.convert("LA" if image.mode in ("L", "1", "LA", "La") else "RGBA")
        alpha = np.asarray(whole.getchannel("A"))
        image = whole.convert("L" if whole.mode == "LA" else "RGB")
    base = image.convert("L") if image.mode == "1" else image
    converted, note = to_srgb(base, profile)
    if "icc_profile" in image.info and not profile:  # Pillow could not unpack it
        note = UNUSABLE
    colour = np.asarray(converted)
    if "16" in deep and not note:
        note = "16 bits a channel were read as 8"
    return Samples(colour.reshape(*colour.shape[:2], -1), alpha, note)


def _deep_grey(image: Image.Image, profile: bytes | None) -> Samples:
    values = np.asarray(image)
    if image.mode == "I":
        values = values.clip(0, 65535)
    values = values.astype(np.uint16)
    alpha = None
    if isinstance(image.info.get("transparency"), int):
        alpha = np.where(values == image.info["transparency"], 0, 65535).astype(np.uint16)
    bits = _tag(image, BITS) or 16
    if bits < 16:
        values = np.round(values * (65535.0 / (2**bits - 1))).clip(0, 65535).astype(np.uint16)
    if _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO:
        values = 65535 - values
    converted, note = to_srgb(Image.fromarray(values), profile)
    colour = np.asarray(converted)
    return Samples(colour.reshape(*colour.shape[:2], -1), alpha, note)


def _floats(image: Image.Image) -> Samples:
    values = np.array(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ImageError("a floating-point image with values outside [0, 1]")
    if _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO:
        values = 1 - values
    note = "its colour profile is not used: samples are floating-point" if image.info.get("icc_profile") else ""
    return Samples(values[..., None], None, note)


def _low_bytes(again: Callable[[], ImageFile.ImageFile], deep: str) -> np.ndarray | None:
    """The lower bytes of 16-bit samples, of which Pillow takes the upper ones: read with the other byte order."""
    swapped = {"L": "B", "B": "L", "N": "B" if NATIVE == "L" else "L"}.get(deep[-1])
    image = again()
    if swapped is None or image.mode not in ("RGB", "RGBA") or (_tag(image, PLANES) == 2 and deep[-1] == "N"):
        return None
    tiles = []
    for tile in image.tile:
        first, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        other = "RGBA" if first == DEEP_LA else f"{str(first)[:-1]}{swapped}"
        tiles.append(tile._replace(args=(other, *rest) if isinstance(tile.args, tuple) else other))
    image.tile = tiles
    try:
        image.load()
    except (OSError, ValueError, SystemError):  # Pillow has no such reader
        return None
    return np.asarray(image)


def _deep_colour(image: Image.Image, low: np.ndarray, deep: str, profile: bytes | None) -> Samples:
    if deep == DEEP_LA:  # the four bytes of a pixel, as they lie
        values = low[..., 0::2].astype(np.uint16) * 256 + low[..., 1::2]
        base, note = to_srgb(Image.fromarray(np.ascontiguousarray(values[..., 0])), profile)
        return Samples(np.asarray(base)[..., None], values[..., 1], note)
    values = np.asarray(image).astype(np.uint16) * 256 + low
    alpha = values[..., 3] if values.shape[2] == 4 else None
    colour = values[..., :3]
    if alpha is None and isinstance(image.info.get("transparency"), tuple):
        alpha = np.where((colour == np.array(image.info["transparency"])).all(-1), 0, 65535).astype(np.uint16)
    if profile:
        eight = Image.fromarray(np.round(colour / 257.0).astype(np.uint8))
        converted, note = to_srgb(eight, profile)
        if not np.array_equal(np.asarray(converted), np.asarray(eight)):
            return Samples(np.asarray(converted), alpha, note or "16 bits a channel went through its profile as 8")
        return Samples(colour, alpha, note)
    return Samples(colour, alpha, "")
