"""Names of image files: which suffixes mean a picture, what is hidden, how a result is called."""

from __future__ import annotations

import hashlib
import os

# Files so named are meant to be pictures: one that cannot be read is told. Others are looked into.
IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "bmp", "dib", "tif", "tiff", "gif", "heic", "heif"),
        *("hif", "avif", "jp2", "j2k", "jpx", "mpo", "ppm", "pgm", "pbm", "pnm", "tga", "ico", "icns", "psd", "qoi"),
        *("pcx", "dds", "sgi"),
    )
)
# Suffixes that are written as they were read; anything else becomes .png.
WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
OPAQUE = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".bmp"})  # formats that hold no transparency
# Folders that systems keep beside pictures: Synology's and Apple's copies, bins.
SYSTEM_FOLDERS = frozenset({"@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "System Volume Information"})
LONGEST = 255  # bytes of a name, of nearly all file systems


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is never a picture or a place for pictures.

    Examples:
        >>> is_hidden(".DS_Store")
        True
    """
    return name.startswith(".") or name in SYSTEM_FOLDERS


def shown(name: str | os.PathLike[str]) -> str:
    """A name for a line of text: control characters and bytes that are no UTF-8 as backslash escapes.

    Examples:
        >>> shown("holiday\\n1.jpg")
        'holiday\\\\n1.jpg'
    """
    text = os.fspath(name).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def without_suffix(name: str) -> str:
    """The name (or path) without a suffix that means a picture; others, as in 'holiday.2024', are part of the name.

    Examples:
        >>> without_suffix("portrait.jpeg")
        'portrait'
    """
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name


def output_name(name: str, *, transparent: bool = False) -> str:
    """File name of a result: as the input's where its format can be written and hold the alpha, else with .png.

    Examples:
        >>> output_name("portrait.heic")
        'portrait.png'
    """
    suffix = os.path.splitext(name)[1].lower()
    if suffix in WRITABLE and not (transparent and suffix in OPAQUE):
        return name
    return within_limit(without_suffix(name), ".png")


def within_limit(stem: str, ending: str) -> str:
    """stem + ending, or, where no file system takes a name so long, a shorter stem with a digest of the whole.

    Examples:
        >>> within_limit("portrait", ".png"), len(within_limit("portrait" * 40, ".png"))
        ('portrait.png', 255)
    """
    if len(os.fsencode(stem + ending)) <= LONGEST:
        return stem + ending
    digest = hashlib.blake2b(os.fsencode(stem), digest_size=4).hexdigest()
    room = LONGEST - len(os.fsencode(ending)) - len(digest) - 1
    return f"{os.fsencode(stem)[:room].decode('utf-8', 'ignore')}-{digest}{ending}"
