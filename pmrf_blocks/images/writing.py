"""Writing pictures: whole or not at all, with the profile, EXIF block and resolution that came with them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pmrf_blocks.images.colour import from_srgb, is_srgb
from pmrf_blocks.images.deep import write_png, write_tiff
from pmrf_blocks.images.loaded import ImageError, LoadedImage
from pmrf_blocks.images.names import WRITABLE, shown

OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True},
    "PNG": {},
    "BMP": {},
    "TIFF": {},
}
DEEP = {"PNG": write_png, "TIFF": write_tiff}  # formats that hold 16 bits a channel
LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as the degradations' and Pillow's grey


def write_image(image: LoadedImage, path: str | Path) -> None:
    """Write as the suffix says, in the colours of the image's profile, with its EXIF block and resolution.

    A grey image is written grey. The file is whole or not there; ImageError says why it could not be written.

    Examples:
        >>> import tempfile
        >>> pixels = torch.rand(3, 20, 30)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_image(LoadedImage(pixels, bit_depth=16), f"{folder}/a.png")
        ...     again = open_image(f"{folder}/a.png")
        >>> again.bit_depth, bool((again.pixels - pixels).abs().max() < 1e-5)
        (16, True)
    """
    path = Path(path)
    kind = WRITABLE[path.suffix.lower()]
    if kind in _deep_kinds(image) and is_srgb(image.icc_profile):
        _write_deep(image, path, kind)
        return
    picture, options = picture_of(image, kind)
    save_picture(picture, path, **options)


def picture_of(image: LoadedImage, kind: str) -> tuple[Image.Image, dict[str, Any]]:
    """Pillow's image in the colours of the profile, for a format such as 'PNG', and what Image.save() is to be told:
    icc_profile, exif, dpi, as far as the file had them.

    Examples:
        >>> picture, options = picture_of(LoadedImage(torch.ones(3, 20, 30), resolution=(300.0, 300.0)), "PNG")
        >>> picture.size, options
        ((30, 20), {'dpi': (300.0, 300.0)})
    """
    picture, profile = from_srgb(_picture(image, kind), image.icc_profile)
    options = {"icc_profile": profile, "exif": image.exif, "dpi": image.resolution}
    return picture, {name: value for name, value in options.items() if value is not None}


def save_picture(picture: Image.Image, path: Path, **options: Any) -> None:
    """Save a Pillow picture whole or not at all; ImageError where the disk or the format will not take it.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_picture(Image.new("RGB", (30, 20)), Path(folder, "new", "a.webp"))  # the folder is made
        ...     describe_image(Path(folder, "new", "a.webp")).format
        'WEBP'
    """
    kind = WRITABLE[path.suffix.lower()]
    options = {**OPTIONS[kind], **options}
    try:
        with _told(path):
            write_whole(path, lambda temporary: picture.save(temporary, kind, **options))
    except ImageError as error:
        if "exif" not in options or isinstance(error.__context__, OSError):
            raise
        # A block may be too long for the format; without it the picture is still the picture.
        with _told(path):
            del options["exif"]
            write_whole(path, lambda temporary: picture.save(temporary, kind, **options))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is written becomes an ImageError of one line."""
    try:
        yield
    except OSError as error:
        raise ImageError(f"cannot write {shown(path)}: {error.strerror or error}") from None
    except Exception as error:  # encoders raise ValueError, struct.error, MemoryError, ... by what they cannot hold
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"cannot write {shown(path)}: {reason}") from None


def write_whole(target: Path, write: Callable[[Path], object]) -> None:
    """Call write(temporary name), bring the file to the disk and give it its name: whole or not there.

    Folders are made. OSError where that cannot be done; nothing is left behind then. What is there and is no file, such
    as /dev/stdout, is written to as it is.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     target = Path(folder, "a.txt")
        ...     write_whole(target, lambda temporary: temporary.write_text("done"))
        ...     [path.name for path in Path(folder).iterdir()], target.read_text()
        (['a.txt'], 'done')
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


def _layers(image: LoadedImage) -> torch.Tensor:
    """(C, H, W) in [0, 1]: one channel or three, and alpha where there is some."""
    pixels = image.pixels.detach().float().cpu()
    if image.grey:
        pixels = (pixels * torch.tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
    return (pixels if image.alpha is None else torch.cat([pixels, image.alpha.detach().float().cpu()])).clamp(0, 1)


def _picture(image: LoadedImage, kind: str) -> Image.Image:
    """The image as Pillow's, grey where it is grey, of 16 bits where the file was and Pillow and the format can."""
    layers = _layers(image)
    if image.bit_depth > 8 and kind in DEEP and len(layers) == 1:
        return Image.fromarray((layers[0] * 65535.0).round().numpy().astype(np.uint16))
    array = (layers * 255.0).round().byte().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(np.squeeze(array, 2) if array.shape[2] == 1 else array)


def _deep_kinds(image: LoadedImage) -> tuple[str, ...]:
    """Formats that our own writers give 16 bits, where the file had them. A grey one without alpha is Pillow's affair;
    one with alpha Pillow could not read again as TIFF."""
    if image.bit_depth <= 8 or (image.grey and image.alpha is None):
        return ()
    return ("PNG",) if image.grey else tuple(DEEP)


def _write_deep(image: LoadedImage, path: Path, kind: str) -> None:
    array = (_layers(image) * 65535.0).round().permute(1, 2, 0).contiguous().numpy().astype(np.uint16)
    options: dict[str, Any] = {"profile": image.icc_profile, "exif": image.exif, "dpi": image.resolution}
    with _told(path):
        write_whole(path, lambda temporary: DEEP[kind](array, temporary, **options))
