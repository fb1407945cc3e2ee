"""Reading and writing single photographs of any kind that Pillow knows."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

# Suffixes that are written as they were read; anything else becomes .png.
WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
OPAQUE = frozenset({".jpg", ".jpeg", ".bmp"})  # formats that hold no transparency
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True},
    "PNG": {},
    "BMP": {},
    "TIFF": {},
}


class PhotographError(ValueError):
    """A file that cannot be read or written, with the reason in one line and without the path."""


@dataclass(frozen=True)
class Photograph:
    """RGB `pixels` (3, H, W) and `alpha` (1, H, W) or None, both float32 in [0, 1], upright."""

    pixels: Tensor
    alpha: Tensor | None = None


def read_photograph(path: str | Path) -> Photograph:
    """Read one photograph; PhotographError gives the reason where that cannot be done.

    EXIF orientation is applied, transparency kept as alpha, 16 bits brought to [0, 1], grey, palette and CMYK turned
    into RGB, through the embedded colour profile to sRGB where there is one; of several frames the first is taken.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise PhotographError("is a directory")
        data = path.read_bytes()
        if not data:
            raise PhotographError("the file is empty")
        with Image.open(io.BytesIO(data)) as file:
            file.load()
            image = ImageOps.exif_transpose(file)
            return _decode(image)
    except PhotographError:
        raise
    except FileNotFoundError:
        raise PhotographError("no such file") from None
    except PermissionError:
        raise PhotographError("no permission to read it") from None
    except UnidentifiedImageError:
        raise PhotographError("not an image, or of a kind that Pillow does not know") from None
    except Image.DecompressionBombError:
        raise PhotographError("too many pixels: refused as a decompression bomb") from None
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise PhotographError(f"damaged: {error}") from None


def write_photograph(photograph: Photograph, path: str | Path) -> None:
    """Write as the suffix says, 8 bits a channel, under a temporary name first: the file is whole or not there."""
    path = Path(path)
    layers = [photograph.pixels] if photograph.alpha is None else [photograph.pixels, photograph.alpha]
    array = (torch.cat(layers).clamp(0, 1) * 255.0).round().byte().permute(1, 2, 0).cpu().numpy()
    save_image(Image.fromarray(array), path)


def save_image(image: Image.Image, path: Path) -> None:
    """Save a Pillow image whole or not at all; PhotographError where the disk will not take it."""
    kind = WRITABLE[path.suffix.lower()]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(temporary, kind, **SAVE_OPTIONS[kind])
        os.replace(temporary, path)
    except OSError as error:
        raise PhotographError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def output_name(path: Path, *, transparent: bool = False) -> str:
    """File name of a result: as the input's where its format can be written and hold the alpha, else with .png."""
    suffix = path.suffix.lower()
    if suffix in WRITABLE and not (transparent and suffix in OPAQUE):
        return path.name
    return path.stem + ".png"


def _decode(image: Image.Image) -> Photograph:
    if image.mode in ("I;16", "I;16L", "I;16B", "I"):
        grey = np.asarray(image).astype(np.float32) / 65535.0
        return Photograph(torch.from_numpy(grey.clip(0, 1)).expand(3, -1, -1).contiguous())
    if image.mode == "F":
        grey = np.asarray(image)
        if not np.isfinite(grey).all() or grey.min() < 0 or grey.max() > 1:
            raise PhotographError("a floating-point image with values outside [0, 1]")
        return Photograph(torch.from_numpy(grey.copy()).expand(3, -1, -1).contiguous())
    alpha = None
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = _tensor(image.getchannel("A"))[:1]
    return Photograph(_tensor(_to_srgb(image)), alpha)


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            base = image.convert("RGB") if image.mode == "RGBA" else image
            converted = ImageCms.profileToProfile(base, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile: take the numbers as they are
    return image.convert("RGB")


def _tensor(image: Image.Image) -> Tensor:
    array = np.array(image)
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(array).permute(2, 0, 1).float() / 255.0
