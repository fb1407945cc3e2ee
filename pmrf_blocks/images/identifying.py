"""Which of Pillow's readers takes a file, and how large it may be."""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from PIL import Image, ImageFile

from pmrf_blocks.images.loaded import ImageError

# Pictures of pixels alone. EPS and WMF are drawings, which Pillow has other programs draw.
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "JPEG2000", "BMP", "PSD", "QOI", "ICO", "ICNS", "CUR", "DDS", "SGI",
    "SUN", "BLP", "FTEX", "PCX", "DCX", "PPM", "XBM", "XPM", "MSP", "FLI", "DIB", "TGA",
)  # fmt: skip
SIGNED = frozenset(FORMATS[: FORMATS.index("PCX")])  # their first bytes leave no doubt; of the others a text may be one
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})
TOO_MANY = "claims more pixels than are allowed (--max-pixels N allows more)"
LIMIT = threading.Lock()
Result = TypeVar("Result")
Source = str | Path | BinaryIO


@contextmanager
def stream(source: Source) -> Iterator[BinaryIO]:
    """The bytes of a source, from the first on; ImageError for what is no regular file (a pipe would wait forever)."""
    if not isinstance(source, (str, os.PathLike)):
        source.seek(0)
        yield source
        return
    try:
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        broken = "a link to a file that is not there" if os.path.islink(source) else "no such file"
        raise ImageError(broken) from None
    except PermissionError:
        raise ImageError("is a directory" if os.path.isdir(source) else "no permission to read it") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise ImageError("is a directory" if stat.S_ISDIR(mode) else "is no regular file (a pipe, a socket, a device)")
    with open(descriptor, "rb") as file:
        yield file


@contextmanager
def one_line() -> Iterator[None]:
    """Whatever decoders raise on damaged files becomes an ImageError of one line."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("does not fit the memory") from None
    except Image.DecompressionBombError:
        raise ImageError(TOO_MANY) from None
    except Exception as error:  # Pillow's decoders raise nearly every kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"damaged: {reason}") from None


def identify(file: BinaryIO, *, certain: bool = False) -> ImageFile.ImageFile:
    """Pillow's image of a file, whose pixels are not decoded yet; ImageError where no reader takes it.

    `certain` asks the readers alone whose formats begin with bytes of their own.
    """
    prefix = file.read(16)
    if not prefix:
        raise ImageError("the file is empty")
    if prefix[4:8] == b"ftyp" and prefix[8:12] in HEIF_BRANDS | AVIF_BRANDS:
        return _heif_or_avif(file, prefix[8:12])
    Image.init()
    reason = ""
    for name in FORMATS:
        if name not in Image.OPEN or (certain and name not in SIGNED):
            continue
        factory, accept = Image.OPEN[name]
        verdict = accept(prefix) if accept is not None else True
        if isinstance(verdict, str):
            reason = reason or verdict  # such as a codec that this Pillow was built without
        elif verdict:
            file.seek(0)
            try:
                return factory(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error) as error:
                if name in SIGNED:
                    reason = reason or f"cannot be read as {name}: {' '.join(str(error).split())}"
    raise ImageError(reason or "not an image, or of a kind that Pillow does not know")


def _heif_or_avif(file: BinaryIO, brand: bytes) -> ImageFile.ImageFile:
    Image.init()
    file.seek(0)
    avif = brand in AVIF_BRANDS or (brand in (b"mif1", b"msf1") and b"avif" in file.read(64))
    file.seek(0)
    if avif:
        if "AVIF" not in Image.OPEN or isinstance(Image.OPEN["AVIF"][1](file.read(16)), str):  # type: ignore[misc]
            raise ImageError("AVIF needs a Pillow that was built with it: pip install --upgrade pillow")
        file.seek(0)
        return Image.OPEN["AVIF"][0](file, "")
    try:
        import pillow_heif
    except ImportError:
        raise ImageError("HEIC needs the package pillow-heif: pip install pmrf-blocks[heif]") from None
    return pillow_heif.HeifImageFile(io.BytesIO(file.read()), "")


def with_limit(max_pixels: int, read: Callable[[], Result]) -> Result:
    """read(), and where Pillow's own limit on pixels is in the way, once more with ours.

    A few of Pillow's readers ask its global limit, which telephones' pictures are above. It is changed for the second
    reading alone, one such file at a time.
    """
    try:
        return read()
    except Image.DecompressionBombError:
        pass
    with LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            return read()
        finally:
            Image.MAX_IMAGE_PIXELS = before


def check_size(image: Image.Image, max_pixels: int) -> None:
    """ImageError for a picture of more pixels than are allowed."""
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"is {width}x{height}: no pixels")
    if width * height > max_pixels:
        raise ImageError(f"{width}x{height} is more than {max_pixels:,} pixels (--max-pixels N allows more)")
