"""Writing pictures: whole or not at all, with the profile, EXIF block and resolution that came with them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pmrf_blocks.images.colour import from_srgb
from pmrf_blocks.images.loaded import ImageError, LoadedImage
from pmrf_blocks.images.names import WRITABLE, shown

OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True},
    "PNG": {},
    "BMP": {},
    "TIFF": {},
}
DEEP = frozenset({"PNG", "TIFF"})  # formats that hold 16 bits a channel
LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as the degradations' and Pillow's grey


def write_image(image: LoadedImage, path: str | Path) -> None:
    """Write as the suffix says, in the colours of the image's profile, with its EXIF block and resolution.

    A grey image is written grey. The file is whole or not there; ImageError says why it could not be written.
    """
    path = Path(path)
    picture, options = picture_of(image, WRITABLE[path.suffix.lower()])
    save_picture(picture, path, **options)


def picture_of(image: LoadedImage, kind: str) -> tuple[Image.Image, dict[str, Any]]:
    """Pillow's image in the colours of the profile, for a format such as 'PNG', and what Image.save() is to be told:
    icc_profile, exif, dpi, as far as the file had them."""
    picture, profile = from_srgb(_picture(image, kind), image.icc_profile)
    options = {"icc_profile": profile, "exif": image.exif, "dpi": image.resolution}
    return picture, {name: value for name, value in options.items() if value is not None}


def save_picture(picture: Image.Image, path: Path, **options: Any) -> None:
    """Save a Pillow picture whole or not at all; ImageError where the disk or the format will not take it."""
    kind = WRITABLE[path.suffix.lower()]
    options = {**OPTIONS[kind], **options}
    try:
        write_whole(path, lambda temporary: picture.save(temporary, kind, **options))
    except OSError as error:
        raise ImageError(f"cannot write {shown(path)}: {error.strerror or error}") from None
    except Exception as error:  # encoders raise ValueError, struct.error, MemoryError, ... by what they cannot hold
        if "exif" in options:  # too long for the format
            return save_picture(picture, path, **{name: value for name, value in options.items() if name != "exif"})
        raise ImageError(
            f"cannot write {shown(path)}: {' '.join(str(error).split()) or type(error).__name__}"
        ) from None


def write_whole(target: Path, write: Callable[[Path], object]) -> None:
    """Call write(temporary name), bring the file to the disk and give it its name: whole or not there.

    Folders are made. OSError where that cannot be done; nothing is left behind then. What is there and is no file, such
    as /dev/stdout, is written to as it is.
    """
    if target.exists() and not target.is_file():
        write(target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")  # short: the target's own may be as long as allowed
    try:
        write(temporary)
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _picture(image: LoadedImage, kind: str) -> Image.Image:
    """The image as Pillow's, grey where it is grey, of 16 bits where the file was and the format can."""
    pixels = image.pixels.detach().float().cpu().clamp(0, 1)
    if image.grey:
        pixels = (pixels * torch.tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
        if image.bit_depth > 8 and image.alpha is None and kind in DEEP:
            return Image.fromarray((pixels[0] * 65535.0).round().numpy().astype(np.uint16))
    layers = pixels if image.alpha is None else torch.cat([pixels, image.alpha.detach().float().cpu().clamp(0, 1)])
    array = (layers * 255.0).round().byte().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(np.squeeze(array, 2) if array.shape[2] == 1 else array)
