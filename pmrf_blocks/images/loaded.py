"""What an image file gives: its pixels, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

MAX_PIXELS = 250_000_000  # above the 200 megapixels of telephones; 0.75 GB in memory at 8 bits


class ImageError(ValueError):
    """A file that cannot be read or written, with the reason in one line and without the path.

    Examples:
        >>> import io
        >>> try:
        ...     open_image(io.BytesIO(b"words, words, words"))
        ... except ImageError as error:
        ...     print(error)
        not an image, or of a kind that Pillow does not know
    """


@dataclass(frozen=True)
class Header:
    """What is known of an image file before its pixels are decoded.

    Attributes:
        format: Pillow's name, 'JPEG', 'PNG', ...
        width, height: of the upright picture, in pixels.
        grey: one channel of brightness and no colour, whatever its depth.
        transparent: it has an alpha channel, or a colour that stands for transparency.
        bit_depth: bits a channel in the file; a palette counts as 8.
        frames: pictures in the file, of which the first is read.

    Examples:
        >>> Header("JPEG", width=30, height=20).bit_depth  # unless a file has more
        8
    """

    format: str
    width: int
    height: int
    grey: bool = False
    transparent: bool = False
    bit_depth: int = 8
    frames: int = 1


@dataclass(frozen=True)
class LoadedImage:
    """A picture, upright and in sRGB, with what its file says about it.

    Attributes:
        pixels: RGB, (3, H, W), float32 in [0, 1]; the three are equal where `grey`.
        alpha: (1, H, W), float32 in [0, 1], or None; not premultiplied.
        grey: the file has no colour, and neither has what is written of it.
        bit_depth: bits a channel in the file.
        frames: pictures in the file, of which this is the first.
        icc_profile: the embedded colour profile, which the pixels have been through already.
        exif: the EXIF block without orientation and without what describes the old file's layout.
        resolution: pixels an inch, (horizontal, vertical).
        notes: what had to be assumed, each in a few words.
        damage: what is wrong with the file, though its pixels can be read; `strict` refuses it.

    Examples:
        >>> LoadedImage(torch.rand(3, 20, 30)).pixels.shape
        torch.Size([3, 20, 30])
    """

    pixels: Tensor
    alpha: Tensor | None = None
    grey: bool = False
    bit_depth: int = 8
    frames: int = 1
    icc_profile: bytes | None = None
    exif: bytes | None = None
    resolution: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
