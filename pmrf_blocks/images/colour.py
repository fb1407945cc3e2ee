"""Colour profiles: into sRGB when a file is read, and back into the file's own when a result is written."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageCms

UNUSABLE = "its colour profile cannot be used: the numbers are taken as sRGB"
ROUNDING = 1  # levels by which a profile may differ from sRGB and be taken as it, to leave 8-bit sRGB files alone


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    """(the picture in sRGB, what had to be assumed or ''); mode 'RGB', or 'L' or 'I;16' of a grey one.

    Takes the modes 'L', 'I;16', 'RGB', 'CMYK', 'LAB' and what Pillow turns into RGB.
    """
    if image.mode == "LAB":
        return _apply(image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "RGB"), ""
    if image.mode not in ("L", "I;16", "RGB", "CMYK"):
        image = image.convert("RGB")
    if not profile:
        return _plain(image)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space == "GRAY" and image.mode in ("L", "I;16"):
            return _apply(image, source, ImageCms.ImageCmsProfile(io.BytesIO(grey_profile())), image.mode), ""
        if space == "RGB" and image.mode == "L":
            return _apply(image.convert("RGB"), source, ImageCms.createProfile("sRGB"), "RGB").getchannel("G"), ""
        if space == {"RGB": "RGB", "CMYK": "CMYK"}.get(image.mode):
            if image.mode == "RGB" and _is_srgb(source):
                return image, ""
            return _apply(image, source, ImageCms.createProfile("sRGB"), "RGB"), ""
    except (ImageCms.PyCMSError, OSError, ValueError):
        pass
    return _plain(image)[0], UNUSABLE


def from_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """(the picture in a profile's colours, the profile), or as it is with None where the profile does not fit it."""
    if not profile:
        return image, None
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    base = image if alpha is None else image.convert(image.mode[:-1])
    try:
        target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = target.profile.xcolor_space.strip()
        if space == "GRAY" and base.mode in ("L", "I;16"):
            base = _apply(base, ImageCms.ImageCmsProfile(io.BytesIO(grey_profile())), target, base.mode)
        elif space == "RGB" and base.mode == "RGB":
            base = base if _is_srgb(target) else _apply(base, ImageCms.createProfile("sRGB"), target, "RGB")
        else:
            return image, None
    except (ImageCms.PyCMSError, OSError, ValueError):  # one that serves for reading alone
        return image, None
    if alpha is not None:
        base.putalpha(alpha)
    return base, profile


def _plain(image: Image.Image) -> tuple[Image.Image, str]:
    if image.mode == "CMYK":
        return image.convert("RGB"), "CMYK without a profile: its inks are taken as ideal ones"
    return image, ""


def _apply(image: Image.Image, source: object, target: object, mode: str) -> Image.Image:
    transform = ImageCms.buildTransform(source, target, image.mode, mode)  # type: ignore[arg-type]
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def is_srgb(profile: bytes | None) -> bool:
    """Whether numbers with this profile are sRGB's, as those without a profile are taken to be."""
    if not profile:
        return True
    try:
        return _is_srgb(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(27, 27, 3)
    there = np.asarray(_apply(Image.fromarray(grid), profile, ImageCms.createProfile("sRGB"), "RGB"))
    return int(np.abs(there.astype(int) - grid).max()) <= ROUNDING


def grey_profile(gamma: float | None = None) -> bytes:
    """An ICC profile (version 2.4) of grey whose brightness follows sRGB's curve, or value ** gamma."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    white = fixed(0.9642, 1.0, 0.8249)  # D50, the connection space's
    if gamma is None:
        curve = b"para\0\0\0\0\0\3\0\0" + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    else:
        curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(78)
    tags = {b"desc": description, b"wtpt": b"XYZ \0\0\0\0" + white, b"kTRC": curve, b"cprt": b"text\0\0\0\0none\0"}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"\0\0\0\0", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white
    return head.ljust(128, b"\0") + table + body
