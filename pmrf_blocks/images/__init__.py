"""Image files, read and written alike everywhere.

reading.py      open_image(), open_eight_bits(), describe_image(), take_picture(): the one door
writing.py      write_image(), save_picture(): whole or not at all
names.py        suffixes, hidden files, names of results
finding.py      the pictures of a folder, and what is passed over

identifying.py  which of Pillow's readers takes a file
decoding.py     samples of every mode, or a refusal by name
colour.py       colour profiles
exif.py         orientation, and what of EXIF is written again
png_chunks.py   what a PNG holds behind its pixels
repairing.py    files that every viewer shows though something in them is wrong
loaded.py       LoadedImage, Header, ImageError
"""

from pmrf_blocks.images.finding import Found, find_pictures
from pmrf_blocks.images.loaded import MAX_PIXELS, Header, ImageError, LoadedImage
from pmrf_blocks.images.names import (
    IMAGE_SUFFIXES,
    WRITABLE,
    is_hidden,
    output_name,
    shown,
    within_limit,
    without_suffix,
)
from pmrf_blocks.images.reading import describe_image, open_eight_bits, open_image, take_picture
from pmrf_blocks.images.writing import picture_of, save_picture, write_image, write_whole

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "WRITABLE",
    "Found",
    "Header",
    "ImageError",
    "LoadedImage",
    "describe_image",
    "find_pictures",
    "is_hidden",
    "open_eight_bits",
    "open_image",
    "output_name",
    "picture_of",
    "save_picture",
    "shown",
    "take_picture",
    "within_limit",
    "without_suffix",
    "write_image",
    "write_whole",
]
