"""What the one door makes of colours, depths and modes: compared with values that are known from elsewhere."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, ImageOps

from pmrf_blocks.images import ImageError, describe_image, open_eight_bits, open_image, take_picture
from tests.images.files import LINEAR_GREY, SRGB, chunk, encoded, noise, oriented, p3_profile, png


def opened(data, **options):
    return open_image(io.BytesIO(data), **options)


def levels(image, scale=255):
    return (image.pixels * scale).round().permute(1, 2, 0).numpy().astype(int)


P3_RED, SRGB_RED = (230, 60, 60), (251, 25, 45)


def flat(mode, colour):
    return Image.new(mode, (4, 3), colour)


def palette(colour):
    return flat("RGB", colour).quantize(4)


PROFILED = {
    "RGB": (flat("RGB", P3_RED), p3_profile(), SRGB_RED),
    "RGBA": (flat("RGBA", (*P3_RED, 77)), p3_profile(), SRGB_RED),
    "palette": (palette(P3_RED), p3_profile(), SRGB_RED),
    "L": (flat("L", 128), LINEAR_GREY, (188,) * 3),
    "LA": (flat("LA", (128, 77)), LINEAR_GREY, (188,) * 3),
    "I;16": (Image.fromarray(np.full((3, 4), 128 * 257, np.uint16)), LINEAR_GREY, (188,) * 3),
    "L with a profile of colours": (flat("L", 128), p3_profile(), (128,) * 3),
    "sRGB is left alone": (flat("RGB", (1, 2, 3)), SRGB, (1, 2, 3)),
}


@pytest.mark.parametrize("name", PROFILED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_mode_goes_through_its_profile(name, kind):
    picture, profile, expected = PROFILED[name]
    data = encoded(picture, kind, icc_profile=profile)
    image = opened(data)
    assert np.abs(levels(image) - expected).max() <= 1
    assert image.notes == ()
    assert image.icc_profile == profile
    assert np.abs(open_eight_bits(io.BytesIO(data))[0].astype(int) - expected).max() <= 1
    if "A" in picture.mode:
        assert torch.equal(image.alpha, torch.full((1, 3, 4), 77 / 255))


@pytest.mark.parametrize("profile", [b"garbage", LINEAR_GREY, SRGB[: len(SRGB) // 2]])
def test_a_profile_that_does_not_fit_is_told(profile):
    image = opened(encoded(flat("RGB", P3_RED), "PNG", icc_profile=profile))
    assert (levels(image) == P3_RED).all()
    assert "its colour profile cannot be used" in "".join(image.notes + image.damage)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_sixteen_bits_keeps_them(channels):
    array = noise(channels=4, dtype=np.uint16)[..., :channels]
    image = opened(png(array))
    colours = array[..., : 1 if channels < 3 else 3]
    assert (levels(image, 65535) == colours).all()
    assert (image.bit_depth, image.grey) == (16, channels < 3)
    if channels in (2, 4):
        assert ((image.alpha[0] * 65535).round().numpy() == array[..., -1]).all()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_of_sixteen_bits(order, compression, planar, channels):
    array, file = noise(channels=channels, dtype=np.uint16), io.BytesIO()
    tifffile.imwrite(
        file,
        array if planar == "contig" else array.transpose(2, 0, 1),
        photometric="rgb",
        planarconfig=planar,
        byteorder=order,
        compression=compression,
    )
    image = opened(file.getvalue())
    exact = (planar, compression) != ("separate", "zlib")
    bound = 0 if exact else 256  # Pillow has libtiff give the upper bytes alone, and a note says so
    assert np.abs(levels(image, 65535) - array[..., :3]).max() <= bound
    assert image.notes == (() if exact else ("16 bits a channel were read as 8",))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_photometric_interpretation_and_depth_of_tiff(bits, white_is_zero):
    ramp = np.linspace(0, 2**bits - 1, 16).round().astype(np.uint16 if bits == 16 else np.uint8)[None].repeat(2, 0)
    file = io.BytesIO()
    if bits == 1:
        tifffile.imwrite(file, ramp.astype(bool), photometric="miniswhite" if white_is_zero else "minisblack")
    elif bits in (2, 4):
        packed = np.packbits(np.unpackbits(ramp[..., None], axis=-1)[..., 8 - bits :].reshape(2, -1), axis=-1)
        file.write(_tiff(packed.tobytes(), 16, 2, bits, white_is_zero))
    else:
        tifffile.imwrite(file, ramp, photometric="miniswhite" if white_is_zero else "minisblack")
    expected = ramp / (2**bits - 1)
    image = opened(file.getvalue())
    assert np.abs(image.pixels[0].numpy() - (1 - expected if white_is_zero else expected)).max() < 1e-6
    assert image.grey


def _tiff(data, width, height, bits, white_is_zero):
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    for tag, value in ((256, width), (257, height), (258, bits), (259, 1), (262, int(not white_is_zero)), (277, 1)):
        tags[tag] = value
    tags[273], tags[278], tags[279] = 0, height, len(data)
    file = io.BytesIO(b"II*\0\x08\0\0\0")
    file.seek(8)
    end = tags.save(file)
    assert end == file.tell()
    return file.getvalue() + data


def test_twelve_bits_are_brought_to_the_whole_range():
    values = np.array([[0, 4095, 2048, 1]], np.uint16)
    packed = np.packbits(np.unpackbits(values.astype(">u2").view(np.uint8).reshape(4, 2), axis=1)[:, 4:].reshape(-1))
    image = opened(_tiff(packed.tobytes(), 4, 1, 12, False))
    assert np.abs(image.pixels[0].numpy() - values / 4095).max() < 1e-4
    assert image.bit_depth == 12


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4), np.uint32), "integers of 32 bits"),
        (np.zeros((4, 4), np.int32), "signed integers"),
        (np.zeros((4, 4), np.int16), "signed integers"),
        (np.full((4, 4), np.nan, np.float32), r"outside \[0, 1\]"),
        (np.full((4, 4), 7.0, np.float32), r"outside \[0, 1\]"),
        (np.zeros((4, 4, 3), np.float32), "cannot be read as TIFF"),
    ],
)
def test_samples_of_unknown_meaning_are_refused_by_name(array, message):
    file = io.BytesIO()
    tifffile.imwrite(file, array, photometric="rgb" if array.ndim == 3 else "minisblack")
    with pytest.raises(ImageError, match=message):
        opened(file.getvalue())


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    paths = {tmp_path: "is a directory", tmp_path / "pipe.png": "no regular file", Path(os.devnull): "no regular file"}
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for path, reason in paths.items():
        for read in (open_image, open_eight_bits, describe_image):
            with pytest.raises(ImageError, match=reason):
                read(path)
    assert before in (0, len(os.listdir("/proc/self/fd")))


def test_floats_in_the_unit_range_are_taken():
    file = io.BytesIO()
    tifffile.imwrite(file, np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))
    assert np.array_equal(
        opened(file.getvalue()).pixels[1].numpy(), np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_colour_that_stands_for_transparency(channels, dtype):
    array = noise(channels=3, dtype=dtype)[..., :channels]
    marked = chunk(b"tRNS", array[2, 3].astype(">u2").tobytes())
    image = opened(png(array, marked))
    expected = np.ones((6, 9))
    expected[2, 3] = 0
    assert np.array_equal(image.alpha[0].numpy(), expected)
    assert describe_image(io.BytesIO(png(array, marked))).transparent


def test_inks_and_lab_become_srgb():
    cmyk = opened(encoded(flat("CMYK", (0, 255, 255, 0)), "TIFF"))
    assert (levels(cmyk) == (255, 0, 0)).all()
    assert "CMYK without a profile" in cmyk.notes[0]
    lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    there = ImageCms.applyTransform(flat("RGB", (200, 90, 40)), lab)
    assert np.abs(levels(opened(encoded(there, "TIFF"))) - (200, 90, 40)).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_pictures_are_upright(orientation, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(noise()), kind, exif=oriented(orientation).tobytes(), **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    assert np.array_equal(levels(opened(data)), expected)
    head = describe_image(io.BytesIO(data))
    assert (head.height, head.width) == expected.shape[:2]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "PA"])
def test_pictures_of_pillow_are_taken_as_files_are(mode):
    picture = Image.fromarray(noise())
    if mode == "LAB":
        lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        given = ImageCms.applyTransform(picture, lab)
    elif mode == "PA":
        given = picture.convert("P").convert("PA")
    else:
        given = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
    given.info["icc_profile"] = p3_profile() if mode in ("RGB", "RGBA", "P") else None
    image = take_picture(given)
    assert image.grey == (mode in ("1", "L", "LA", "I;16"))
    if mode not in ("YCbCr", "HSV", "PA"):  # which no file holds
        file = encoded(given, "TIFF" if mode in ("CMYK", "LAB") else "PNG", icc_profile=given.info["icc_profile"])
        assert torch.equal(image.pixels, opened(file).pixels)
    turned = picture.copy()
    turned.info["exif"] = oriented(6).tobytes()
    assert take_picture(turned).pixels.shape == (3, 9, 6)


@pytest.mark.parametrize("form", ["JPEG", "PNG", None])
def test_an_orientation_that_was_set_in_memory_is_heeded(form):
    """As ImageOps.exif_transpose heeds it; the picture that was given stays as it was."""
    picture = (
        Image.fromarray(noise()) if form is None else Image.open(io.BytesIO(encoded(Image.fromarray(noise()), form)))
    )
    picture.getexif()[0x0112], picture.getexif()[0x010F] = 6, "a maker"
    image = take_picture(picture)
    expected = np.asarray(ImageOps.exif_transpose(picture)).transpose(2, 0, 1)
    assert np.array_equal((image.pixels * 255).round().numpy(), expected)
    kept = Image.Exif()
    kept.load(image.exif)
    assert dict(kept) == {0x010F: "a maker"}
    assert "exif" not in picture.info or form is not None
