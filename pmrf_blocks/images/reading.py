"""The one door: opens, decodes and describes an image file of any kind that people have."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor

from pmrf_blocks.images.decoding import (
    Samples,
    bit_depth,
    is_grey,
    is_transparent,
    raw_mode,
    ready_tiff,
    refuse_unsupported,
    samples,
)
from pmrf_blocks.images.exif import SIDEWAYS, read_exif, read_resolution, writable_exif
from pmrf_blocks.images.identifying import Source, check_size, identify, one_line, stream, with_limit
from pmrf_blocks.images.loaded import MAX_PIXELS, Header, ImageError, LoadedImage
from pmrf_blocks.images.png_chunks import has_end, late_exif
from pmrf_blocks.images.repairing import NO_END, repairs

SEVERAL = frozenset({"GIF", "PNG", "WEBP", "TIFF", "MPO", "AVIF", "HEIF", "FLI", "DCX"})  # pictures of equal standing


@dataclass(frozen=True)
class _Decoded:
    image: Image.Image
    samples: Samples
    orientation: int
    exif: Image.Exif
    header: Header
    notes: tuple[str, ...]
    damage: tuple[str, ...]


def describe_image(source: Source, *, max_pixels: int = MAX_PIXELS, certain: bool = False) -> Header:
    """What the head of a file says, without decoding its pixels (damage further in is not seen).

    Raises ImageError for what open_image() could not read. `certain` takes those formats alone whose first bytes leave
    no doubt, for files whose names do not say that they are pictures.

    Examples:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("L", (30, 20)).save(file, "PNG")
        >>> describe_image(file)
        Header(format='PNG', width=30, height=20, grey=True, transparent=False, bit_depth=8, frames=1)
    """
    with stream(source) as file, one_line():
        return with_limit(max_pixels, lambda: _describe(file, max_pixels, certain))


def open_image(source: Source, *, max_pixels: int = MAX_PIXELS, strict: bool = False) -> LoadedImage:
    """Read the first picture of a file, upright and in sRGB.

    EXIF orientation and the embedded colour profile are applied, whatever the mode; alpha is kept apart; 16 bits keep
    their precision. `notes` and `damage` of the result say what was assumed.

    Arguments:
        source: a path, or a file that can seek.
        max_pixels: width x height above which a file is refused.
        strict: refuse a file with something wrong in it, though its pixels are there.

    Raises:
        ImageError: what cannot be read, with the reason in one line and without the path.

    Examples:
        >>> import io
        >>> from PIL import Image
        >>> file, exif = io.BytesIO(), Image.Exif()
        >>> exif[0x0112] = 6  # the camera was turned
        >>> Image.new("RGB", (30, 20), (255, 0, 0)).save(file, "JPEG", exif=exif, quality=95)
        >>> image = open_image(file)
        >>> image.pixels.shape, image.pixels[0, 0, 0].item() > 0.99
        (torch.Size([3, 30, 20]), True)
    """
    with stream(source) as file, one_line():
        return _loaded_image(with_limit(max_pixels, lambda: _decode(file, max_pixels, strict)))


def take_picture(picture: Image.Image) -> LoadedImage:
    """A picture that Pillow has opened already, or that was made with it, as open_image() gives those of files: upright
    and in sRGB.

    Raises ImageError where its samples have no meaning that is known.

    Examples:
        >>> from PIL import Image
        >>> take_picture(Image.new("L", (30, 20), 255)).pixels.shape  # always RGB
        torch.Size([3, 20, 30])
    """
    with one_line():
        return _loaded_image(_decode_picture(picture))


def _decode_picture(picture: Image.Image) -> _Decoded:
    refuse_unsupported(picture)
    exif, _, _ = read_exif(picture)
    copy = picture.copy()  # which decodes it, and leaves behind what was set in its EXIF block since it was read
    if len(exif):
        with suppress(Exception):  # a block that cannot be encoded again stays as it was read
            copy.info["exif"] = exif.tobytes()
    return _decode_image(copy, lambda: copy)  # type: ignore[arg-type, return-value]


def _loaded_image(decoded: _Decoded) -> LoadedImage:
    block, lost = writable_exif(decoded.exif)
    tags = ", ".join(f"0x{tag:04X}" for tag in lost)
    found = decoded.samples
    return LoadedImage(
        pixels=_tensor(found.colour).expand(3, -1, -1).contiguous(),
        alpha=None if found.alpha is None else _tensor(found.alpha[..., None]),
        grey=decoded.header.grey,
        bit_depth=decoded.header.bit_depth,
        frames=decoded.header.frames,
        icc_profile=decoded.image.info.get("icc_profile") or None,
        exif=block,
        resolution=read_resolution(decoded.image, decoded.orientation),
        notes=(*decoded.notes, *([f"EXIF tags that cannot be encoded are left out ({tags})"] if lost else [])),
        damage=decoded.damage,
    )


def open_eight_bits(
    source: Source | Image.Image,
    *,
    max_pixels: int = MAX_PIXELS,
    strict: bool = False,
    tell: Callable[[str], object] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """(RGB, alpha or None) as uint8 arrays (H, W, 3) and (H, W): the values of open_image(), rounded to 8 bits.

    For sets of images, where floats would take four times the memory. A picture of Pillow's is taken as take_picture()
    does, without limit. `tell` is called with what was assumed. Raises ImageError as open_image() does.

    Examples:
        >>> from PIL import Image
        >>> pixels, alpha = open_eight_bits(Image.new("LA", (30, 20), (128, 64)))
        >>> pixels.shape, pixels[0, 0].tolist(), int(alpha[0, 0])
        ((20, 30, 3), [128, 128, 128], 64)
    """
    if isinstance(source, Image.Image):
        with one_line():
            decoded = _decode_picture(source)
    else:
        with stream(source) as file, one_line():
            decoded = with_limit(max_pixels, lambda: _decode(file, max_pixels, strict))
    for text in (*decoded.notes, *decoded.damage) if tell is not None else ():
        tell(text)  # type: ignore[misc]
    found = decoded.samples
    colour = _eight_bits(found.colour)
    colour = np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else colour
    return np.ascontiguousarray(colour), None if found.alpha is None else _eight_bits(found.alpha)


def _describe(file: BinaryIO, max_pixels: int, certain: bool) -> Header:
    try:
        image = _opened(file, max_pixels, certain=certain)
    except Exception:
        for data, _ in repairs(file, lambda mended: _loaded(mended, max_pixels)):
            image = _opened(io.BytesIO(data), max_pixels, certain=certain)
            break
        else:
            raise
    return _header(image, read_exif(image)[1])


def _decode(file: BinaryIO, max_pixels: int, strict: bool) -> _Decoded:
    """Decode a file, or, where that fails, a mended copy of it."""
    try:
        decoded = _decode_whole(file, max_pixels, ())
    except Exception:
        for data, reason in repairs(file, lambda mended: _loaded(mended, max_pixels)):
            try:
                decoded = _decode_whole(io.BytesIO(data), max_pixels, (reason,))
                break
            except Exception:  # the next way of mending it; the first error is the one to tell
                continue
        else:
            raise
    if strict and decoded.damage:
        raise ImageError(f"{decoded.damage[0]} (refused as --strict was given)")
    return decoded


def _decode_whole(file: BinaryIO, max_pixels: int, damage: tuple[str, ...]) -> _Decoded:
    image = _opened(file, max_pixels)
    decoded = _decode_image(image, lambda: _opened(file, max_pixels), damage)
    if image.format == "PNG" and not has_end(file):
        return replace(decoded, damage=(*decoded.damage, NO_END))
    return decoded


def _decode_image(
    image: Image.Image, again: Callable[[], ImageFile.ImageFile], damage: tuple[str, ...] = ()
) -> _Decoded:
    """Decode a picture that Pillow has opened; `again` opens it once more."""
    deep, frames = raw_mode(image), _frames(image)
    depth, grey, transparent = bit_depth(image), is_grey(image), is_transparent(image)
    exif, orientation, wrong = read_exif(image)
    image.load()
    found = samples(image, again, deep=deep)
    found = Samples(
        _turn(found.colour, orientation), None if found.alpha is None else _turn(found.alpha, orientation), found.note
    )
    notes = [found.note] if found.note else []
    if image.info.get("gamma") and not {"icc_profile", "srgb"} & image.info.keys():
        gamma = float(image.info["gamma"])
        if abs(gamma - 1 / 2.2) > 0.01:
            notes.append(f"its gamma of {gamma:.3g} is not heeded: the numbers are taken as sRGB")
    if frames > 1:
        notes.append(f"the first of {frames} pictures was taken")
    header = Header(image.format or "", found.colour.shape[1], found.colour.shape[0], grey, transparent, depth, frames)
    damage = (*damage, *([wrong] if wrong else []))
    return _Decoded(image, found, orientation, exif, header, tuple(notes), damage)


def _turn(array: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) turned and mirrored as the EXIF orientation says."""
    if orientation in SIDEWAYS:
        array = array.swapaxes(0, 1)
    horizontal, vertical = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    array = array[:, ::-1] if horizontal else array
    return array[::-1] if vertical else array


def _opened(file: BinaryIO, max_pixels: int, *, certain: bool = False) -> ImageFile.ImageFile:
    file.seek(0)
    image = identify(file, certain=certain)
    refuse_unsupported(image)
    if image.format == "TIFF":
        ready_tiff(image)
    elif image.format == "PNG" and "exif" not in image.info and (block := late_exif(file)):
        image.info["exif"] = block
    check_size(image, max_pixels)
    return image


def _loaded(file: BinaryIO, max_pixels: int) -> Image.Image:
    image = _opened(file, max_pixels)
    image.load()
    return image


def _frames(image: Image.Image) -> int:
    if image.format not in SEVERAL:
        return 1
    try:
        frames = int(getattr(image, "n_frames", 1))
        image.seek(0)
    except Exception:  # damage behind the first picture
        image.seek(0)
        return 1
    return frames


def _header(image: Image.Image, orientation: int) -> Header:
    width, height = reversed(image.size) if orientation in SIDEWAYS else image.size
    grey, transparent, depth = is_grey(image), is_transparent(image), bit_depth(image)
    return Header(image.format or "", width, height, grey, transparent, depth, _frames(image))


def _tensor(array: np.ndarray) -> Tensor:
    """(H, W, C) of 8 or 16 bits, or floats, as float32 (C, H, W) in [0, 1]."""
    array = np.array(array.transpose(2, 0, 1))
    if array.dtype == np.uint16:
        return torch.from_numpy(array.astype(np.float32)) / 65535.0
    tensor = torch.from_numpy(array).float()
    return tensor if array.dtype == np.float32 else tensor / 255.0


def _eight_bits(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    scale = 255.0 / 65535.0 if array.dtype == np.uint16 else 255.0
    return np.round(array * scale).astype(np.uint8)
