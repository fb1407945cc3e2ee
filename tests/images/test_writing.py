"""What is written again: depth, colours in the profile, EXIF without orientation, resolution; whole or not at all."""

import io
import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags, Image

from pmrf_blocks.images import ImageError, LoadedImage, open_image, save_picture, write_image
from tests.images.files import LINEAR_GREY, encoded, noise, oriented, p3_profile, png, text_tags

SUFFIXES = (".png", ".tif", ".jpg", ".webp")


def levels(image, scale=255):
    return (image.pixels * scale).round().permute(1, 2, 0).numpy().astype(int)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_profile_exif_and_resolution_are_kept(suffix, tmp_path):
    exif = oriented(6)
    exif[ExifTags.Base.Artist] = "A. Painter"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2001:02:03 04:05:06"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAltitude] = 12.5
    colour = Image.new("RGB", (9, 6), (230, 60, 60))
    image = open_image(
        io.BytesIO(encoded(colour, "JPEG", exif=exif, icc_profile=p3_profile(), dpi=(300, 150), quality=100))
    )
    assert image.resolution == (150, 300)  # turned by a quarter
    write_image(image, tmp_path / f"x{suffix}")
    with Image.open(tmp_path / f"x{suffix}") as written:
        assert written.info["icc_profile"] == p3_profile()
        assert np.abs(np.asarray(written.convert("RGB")).astype(int) - (230, 60, 60)).max() <= 3
        block = written.getexif()
        assert ExifTags.Base.Orientation not in block
        assert block[ExifTags.Base.Artist] == "A. Painter"
        assert block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2001:02:03 04:05:06"
        assert block.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAltitude] == 12.5
        if suffix != ".webp":  # which has no field for it
            assert written.info["dpi"] == pytest.approx((150, 300), abs=0.1)
    again = open_image(tmp_path / f"x{suffix}")
    assert np.abs(levels(again) - levels(image)).max() <= 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_stay_sixteen(suffix, channels, tmp_path):
    array = noise(channels=4, dtype=np.uint16)[..., :channels]
    image = open_image(io.BytesIO(png(array)))
    block = Image.Exif()
    block[ExifTags.Base.Artist] = "A. Painter"
    write_image(replace(image, exif=block.tobytes(), resolution=(300.0, 300.0)), tmp_path / f"x{suffix}")
    again = open_image(tmp_path / f"x{suffix}")
    if (suffix, channels) == (".tif", 2):  # Pillow could not read it again
        assert again.bit_depth == 8
        return
    assert torch.equal((again.pixels * 65535).round(), (image.pixels * 65535).round())
    assert (again.bit_depth, again.grey) == (16, channels < 3)
    assert (again.alpha is None) == (channels in (1, 3))
    if again.alpha is not None:
        assert torch.equal((again.alpha * 65535).round(), (image.alpha * 65535).round())
    assert again.resolution == pytest.approx((300, 300), abs=0.1)
    assert b"A. Painter" in again.exif
    if suffix == ".tif":  # by an independent reader
        assert np.array_equal(tifffile.imread(tmp_path / "x.tif").reshape(array.shape), array)


def test_grey_stays_grey_in_its_profile(tmp_path):
    for name, picture in (("L", Image.new("L", (9, 6), 128)), ("LA", Image.new("LA", (9, 6), (128, 40)))):
        image = open_image(io.BytesIO(encoded(picture, "PNG", icc_profile=LINEAR_GREY)))
        write_image(image, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as written:
            assert written.mode == name
            assert written.info["icc_profile"] == LINEAR_GREY
            assert np.abs(np.asarray(written.getchannel("L")).astype(int) - 128).max() <= 1


def test_tags_that_cannot_be_encoded_are_left_out_and_told():
    data = text_tags(x0112="3", x013B="me", x0128="2")  # resolution's unit should be a number
    image = open_image(io.BytesIO(encoded(Image.new("RGB", (9, 6)), "JPEG", exif=data)))
    assert b"me" in image.exif
    assert image.notes == ("EXIF tags that cannot be encoded are left out (0x0128)",)


def test_a_block_that_is_too_long_for_the_format_is_left_out(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x" * 70_000
    write_image(replace(open_image(io.BytesIO(png(noise()))), exif=exif.tobytes()), tmp_path / "x.jpg")
    assert open_image(tmp_path / "x.jpg").pixels.shape == (3, 6, 9)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".bmp"])
def test_a_full_disk_leaves_the_old_file(suffix, tmp_path, monkeypatch):
    image, target = LoadedImage(torch.rand(3, 6, 9), bit_depth=16), tmp_path / f"x{suffix}"
    write_image(image, target)
    before = target.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ImageError, match="No space left on device"):
        write_image(image, target)
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == [target.name]


def test_names_as_long_as_allowed(tmp_path):
    name = "x" * 251 + ".png"
    save_picture(Image.new("RGB", (4, 4)), tmp_path / name)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "MPO", "GIF", "PNG"])
def test_pillows_own_limit_is_not_in_the_way_and_stays(kind, monkeypatch):
    picture = Image.fromarray(noise(16, 16))
    several = {"save_all": True, "append_images": [picture]} if kind == "MPO" else {}
    data = encoded(picture, kind, **several)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert open_image(io.BytesIO(data)).pixels.shape == (3, 16, 16)
    assert Image.MAX_IMAGE_PIXELS == 10
    with pytest.raises(ImageError, match="--max-pixels N"):
        open_image(io.BytesIO(data), max_pixels=100)
