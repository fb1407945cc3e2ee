"""A thousand damaged files of ten formats: each gives pixels, or one line."""

import io

import numpy as np
import pytest
from PIL import Image

from pmrf_blocks.images import ImageError, LoadedImage, describe_image, open_eight_bits, open_image, write_image
from tests.images.files import encoded, noise, oriented, p3_profile

MUTATIONS = 100  # of a format
MAX_PIXELS = 1_000_000
RGB = Image.fromarray(noise(24, 20))
EXTRAS = {"exif": oriented(6).tobytes(), "icc_profile": p3_profile()}
FORMATS = {
    "JPEG": encoded(RGB, "JPEG", **EXTRAS),
    "progressive JPEG": encoded(RGB, "JPEG", progressive=True, dpi=(300, 300)),
    "PNG": encoded(RGB, "PNG", **EXTRAS),
    "WEBP": encoded(RGB, "WEBP", **EXTRAS),
    "GIF": encoded(RGB.quantize(16), "GIF", save_all=True, append_images=[RGB.quantize(16)]),
    "TIFF": encoded(RGB, "TIFF", compression="tiff_lzw", **EXTRAS),
    "AVIF": encoded(RGB, "AVIF", **EXTRAS),
    "JPEG2000": encoded(RGB, "JPEG2000"),
    "BMP": encoded(RGB, "BMP"),
    "ICO": encoded(RGB, "ICO", sizes=[(20, 24)], bitmap_format="bmp"),
}


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes replaced, cut out, doubled, or the end missing; often near the head, where the structure is."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        reach = len(data) if rng.random() < 0.4 else min(len(data), 200)
        place = int(rng.integers(reach))
        match int(rng.integers(5)):
            case 0:
                data[place] ^= 1 << int(rng.integers(8))
            case 1:
                data[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
            case 2:
                size = int(rng.integers(1, 8))
                data[place : place + size] = rng.bytes(size)
            case 3:
                del data[place : place + int(rng.integers(1, 30))]
            case _:
                data[place:place] = data[place : place + int(rng.integers(1, 30))]
        if not data:
            break
    return bytes(data[: int(rng.integers(len(data) + 1))] if rng.random() < 0.15 else data)


def outcome(data: bytes) -> LoadedImage | str:
    """The picture or the reason, alike by all ways of reading. Any other exception fails the test."""
    try:
        image = open_image(io.BytesIO(data), max_pixels=MAX_PIXELS)
    except ImageError as error:
        with pytest.raises(ImageError):
            open_eight_bits(io.BytesIO(data), max_pixels=MAX_PIXELS)
        return str(error)
    head = describe_image(io.BytesIO(data), max_pixels=MAX_PIXELS)
    assert image.pixels.shape == (3, head.height, head.width)
    return image


@pytest.mark.filterwarnings("ignore")  # Pillow's; the command line leaves them out too
@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_give_pixels_or_one_line(kind, tmp_path):
    assert isinstance(outcome(FORMATS[kind]), LoadedImage)
    rng = np.random.default_rng(list(FORMATS).index(kind))
    found = [outcome(damaged(FORMATS[kind], rng)) for _ in range(MUTATIONS)]
    reasons = [one for one in found if isinstance(one, str)]
    images = [one for one in found if not isinstance(one, str)]
    assert reasons
    assert images
    assert all(reason and "\n" not in reason for reason in reasons)
    for image in images:
        assert 0 <= float(image.pixels.min()) <= float(image.pixels.max()) <= 1
    for number, image in enumerate(images[:9]):
        write_image(image, tmp_path / f"{number}.png")
        assert open_image(tmp_path / f"{number}.png").pixels.shape == image.pixels.shape
    assert not list(tmp_path.glob(".*"))
