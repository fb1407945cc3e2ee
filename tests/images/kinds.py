"""Kinds of files that people have: those that give pixels, with the pixels, and those that cannot, with the reason."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.images.files import LINEAR_GREY, chunk, encoded, noise, oriented, p3_profile, png, text_tags

SIDE = 16


@dataclass(frozen=True)
class Good:
    """A file that gives pixels: within `bound` levels of `expected` (H, W, 3). `note` is in the line about it; doors in
    `refused` do not take it, for the reason given."""

    name: str
    data: bytes
    expected: np.ndarray
    bound: int = 1
    note: str = ""
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bad:
    """What gives no pixels: bytes, or a function that puts it at a path."""

    name: str
    make: bytes | Callable[[Path], object]
    reason: str

    def put(self, path: Path) -> None:
        if isinstance(self.make, bytes):
            path.write_bytes(self.make)
        else:
            self.make(path)


def flat(*colour: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


PICTURE = noise(SIDE, 24)
GREY = noise(SIDE, 24, 1)
SMOOTH = np.linspace(40, 220, SIDE * 24 * 3).reshape(SIDE, 24, 3).astype(np.uint8)
RGB = Image.fromarray(PICTURE)
MANY = {"evaluate": "more than 8 bits"}
SEEN_THROUGH = {"evaluate": "transparent pixels"}


def _sixteen(array: np.ndarray) -> np.ndarray:
    return array.astype(np.uint16) * 257


def _tiff(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def _jpeg(**options: object) -> bytes:
    return encoded(Image.fromarray(SMOOTH), "JPEG", quality=98, subsampling=0, **options)


def _grey(array: np.ndarray) -> np.ndarray:
    return np.repeat(array[..., None], 3, 2)


def _apng() -> bytes:
    return encoded(RGB, "PNG", save_all=True, append_images=[Image.fromarray(noise(SIDE, 24, seed=1))])


GARBAGE_EXIF = chunk(b"eXIf", b"\xde\xad\xbe\xef" * 9)
TRANSPARENT = np.dstack([PICTURE, np.full((SIDE, 24), 90, np.uint8)])
RED = Image.new("RGB", (SIDE, SIDE), (230, 60, 60))  # in Display P3
INKS = Image.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0))
BLUE = Image.new("RGB", (SIDE, SIDE), (9, 80, 200))
LOSSLESS = {"lossless": True}
BEST = {"quality": 98, "subsampling": 0}
GOOD = (
    Good("p3.png", encoded(RED, "PNG", icc_profile=p3_profile()), flat(251, 25, 45)),
    Good("p3_palette.png", encoded(RED.quantize(4), "PNG", icc_profile=p3_profile()), flat(251, 25, 45)),
    Good("linear.png", encoded(Image.new("L", (SIDE, SIDE), 128), "PNG", icc_profile=LINEAR_GREY), flat(188, 188, 188)),
    Good(
        "linear_alpha.png",
        encoded(Image.new("LA", (SIDE, SIDE), (128, 255)), "PNG", icc_profile=LINEAR_GREY),
        flat(188, 188, 188),
    ),
    Good(
        "linear16.tif",
        encoded(Image.fromarray(np.full((SIDE, SIDE), 128 * 257, np.uint16)), "TIFF", icc_profile=LINEAR_GREY),
        flat(188, 188, 188),
        refused=MANY,
    ),
    Good("deep.png", png(_sixteen(PICTURE)), PICTURE, refused=MANY),
    Good("deep_grey.png", png(_sixteen(GREY)[..., None]), _grey(GREY), refused=MANY),
    Good("deep.tif", _tiff(_sixteen(PICTURE), photometric="rgb"), PICTURE, refused=MANY),
    Good("planes.tif", _tiff(PICTURE.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), PICTURE),
    Good("white_is_zero.tif", _tiff(255 - GREY, photometric="miniswhite"), _grey(GREY)),
    Good("white_is_zero16.tif", _tiff(65535 - _sixteen(GREY), photometric="miniswhite"), _grey(GREY), refused=MANY),
    Good("grey.jpg", encoded(Image.fromarray(SMOOTH[..., 0]), "JPEG", quality=98), _grey(SMOOTH[..., 0]), 2),
    Good("bits.png", encoded(Image.fromarray(GREY > 127), "PNG"), _grey((GREY > 127) * np.uint8(255))),
    Good("inks.tif", encoded(INKS, "TIFF"), flat(255, 0, 0), 0, "CMYK without"),
    Good("alpha.png", encoded(Image.fromarray(TRANSPARENT), "PNG"), PICTURE, refused=SEEN_THROUGH),
    Good("alpha_premultiplied.tif", _tiff(np.dstack([PICTURE, np.full((SIDE, 24), 255, np.uint8)]),
         photometric="rgb", extrasamples=["assocalpha"]), PICTURE),
    Good("exif_garbage.png", png(PICTURE, GARBAGE_EXIF), PICTURE, note="EXIF"),
    Good("exif_garbage.webp", encoded(RGB, "WEBP", **LOSSLESS, exif=b"Exif\0\0" + b"\xee" * 40), PICTURE, note="EXIF"),
    Good("exif_garbage.jpg", _jpeg(exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), SMOOTH, 3),
    Good("orientation_text.jpg", _jpeg(exif=text_tags(x0112="6")), np.rot90(SMOOTH, -1), 3),
    Good("turned.tif", encoded(RGB, "TIFF", exif=oriented(8).tobytes()), np.rot90(PICTURE)),
    Good("no_end.jpg", _jpeg()[:-2], SMOOTH, 3, "end mark"),
    Good("one_byte_of_end.jpg", _jpeg()[:-1], SMOOTH, 3, "end mark"),
    Good("no_end_progressive.jpg", _jpeg(progressive=True)[:-2], SMOOTH, 3, "end mark"),
    Good("no_end.png", png(PICTURE)[:-12], PICTURE, note="end mark"),
    Good("half_an_end.png", png(PICTURE)[:-7], PICTURE, note="end mark"),
    Good("exif_behind.png", png(PICTURE)[:-12] + chunk(b"eXIf", oriented(6).tobytes()[6:]) + png(PICTURE)[-12:],
         np.rot90(PICTURE, -1)),
    Good("gamma.png", png(PICTURE, chunk(b"gAMA", struct.pack(">I", 100_000))), PICTURE, note="gamma of 1 "),
    Good("behind_the_end.jpg", _jpeg() + b"\0" * 5000, SMOOTH, 3),
    Good("broken_text.png", png(PICTURE, chunk(b"tEXt", b"Comment\0x")[:-1] + b"?"), PICTURE, note="broken chunks"),
    Good("broken_profile.png", png(PICTURE, chunk(b"iCCP", b"x\0\0no zlib")), PICTURE, note="colour profile"),
    Good("no_profile.png", encoded(RGB, "PNG", icc_profile=b"no profile"), PICTURE, note="colour profile"),
    Good("moving.gif", encoded(RGB.quantize(9), "GIF", save_all=True, append_images=[Image.new("P", (24, SIDE))]),
         np.asarray(RGB.quantize(9).convert("RGB")), note="first of 2"),
    Good("moving.png", _apng(), PICTURE, note="first of 2"),
    Good("moving.webp", encoded(RGB, "WEBP", **LOSSLESS, save_all=True, append_images=[Image.new("RGB", RGB.size)]),
         PICTURE, note="first of 2"),
    Good("pages.tif", encoded(RGB, "TIFF", save_all=True, append_images=[RGB, RGB]), PICTURE, note="first of 3"),
    Good("pair.mpo", encoded(Image.fromarray(SMOOTH), "MPO", save_all=True, append_images=[RGB], **BEST),
         SMOOTH, 3, "first of 2"),
    Good("lossless.avif", encoded(Image.fromarray(SMOOTH), "AVIF", quality=100, subsampling="4:4:4"), SMOOTH, 4),
    Good("wavelets.jp2", encoded(RGB, "JPEG2000", irreversible=False), PICTURE),
    Good("an.ico", encoded(BLUE, "ICO", sizes=[(SIDE, SIDE)]), flat(9, 80, 200)),
    Good("a.tga", encoded(RGB, "TGA"), PICTURE),
    Good("a.ppm", encoded(RGB, "PPM"), PICTURE),
    Good("a.pgm", b"P5 24 16 65535\n" + _sixteen(GREY).astype(">u2").tobytes(), _grey(GREY), refused=MANY),
    Good("a.pcx", encoded(RGB, "PCX"), PICTURE),
    Good("a.qoi", encoded(RGB, "QOI"), PICTURE),
    Good("a_picture.txt", encoded(RGB, "PNG"), PICTURE),
    Good("jpeg_named.png", _jpeg(), SMOOTH, 3),
)  # fmt: skip

WHOLE = _jpeg()


def _huge(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


BAD = (
    Bad("half.jpg", WHOLE[: len(WHOLE) // 2], "(?i)truncated"),
    Bad("half.png", encoded(RGB, "PNG")[:400], "truncated|damaged"),
    Bad("half.webp", encoded(RGB, "WEBP", **LOSSLESS)[:200], "damaged|cannot be read as WEBP"),
    Bad("half.tif", encoded(RGB, "TIFF")[:300], "damaged|truncated|cannot be read"),
    Bad("empty.png", b"", "the file is empty"),
    Bad("text.png", b"this is no picture", "not an image"),
    Bad("zeros.jpg", bytes(1000), "not an image"),
    Bad("drawing.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    Bad("bomb.png", _huge(100_000, 100_000), r"100000x100000 is more than 250,000,000 pixels \(--max-pixels N"),
    Bad("signed.tif", _tiff(np.zeros((SIDE, SIDE), np.int16)), "signed integers"),
    Bad("wide.tif", _tiff(np.zeros((SIDE, SIDE), np.uint32)), "integers of 32 bits"),
    Bad("nan.tif", _tiff(np.full((SIDE, SIDE), np.nan, np.float32)), r"outside \[0, 1\]|more than 8 bits"),
    Bad("pipe.png", os.mkfifo, "no regular file"),
    Bad("loop.png", lambda path: path.symlink_to(path), "symbolic links|link to a file that is not there"),
    Bad(
        "broken_link.png",
        lambda path: path.symlink_to(path.with_name("absent.png")),
        "a link to a file that is not there",
    ),
)
