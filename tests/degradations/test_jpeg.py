"""JPEG against real files of libjpeg-turbo, written and read by Pillow and by OpenCV."""

import io

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut

from pmrf_blocks.degradations import JPEG
from pmrf_blocks.degradations.cosine_transform import DCT
from pmrf_blocks.degradations.jpeg import compress


def through_pillow(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.array(Image.open(file))


def through_opencv(pixels, quality):
    _, file = cv2.imencode(".jpg", pixels[..., ::-1], [int(cv2.IMWRITE_JPEG_QUALITY), quality])
    return cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1]


def picture(kind, height, width, seed=0):
    """(height, width, 3) of 8 bits: of a photograph, of noise, or of saturated colours alone."""
    random = np.random.default_rng(seed)
    if kind == "photograph":
        top, left = random.integers(0, 440, 2)
        return astronaut()[top : top + height, left : left + width].copy()
    noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return noise if kind == "noise" else np.uint8(255) * (noise > 127)


def ours(pixels, quality):
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255.0
    return (JPEG(quality)(x) * 255.0).round()[0].permute(1, 2, 0).byte().numpy()


@given(
    kind=st.sampled_from(["photograph", "noise", "colours"]),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    quality=st.integers(1, 100),
    seed=st.integers(0, 999),
)
def test_every_bit_is_libjpegs(kind, height, width, quality, seed):
    pixels = picture(kind, height, width, seed)
    np.testing.assert_array_equal(ours(pixels, quality), through_pillow(pixels, quality))
    np.testing.assert_array_equal(ours(pixels, quality), through_opencv(pixels, quality))


# rows that are repeated before or after halving; planes too narrow for the triangle filter; whole blocks
@pytest.mark.parametrize("kind", ["photograph", "noise"])
@pytest.mark.parametrize("size", [(24, 48), (23, 48), (2, 40), (40, 2), (40, 4), (40, 5), (1, 1), (16, 16), (70, 70)])
def test_edges_are_libjpegs(kind, size):
    for quality in (1, 25, 50, 75, 95, 100):
        pixels = picture(kind, *size)
        np.testing.assert_array_equal(ours(pixels, quality), through_pillow(pixels, quality))


def test_qualities_are_per_image():
    x = torch.from_numpy(picture("photograph", 32, 32)).permute(2, 0, 1)[None].float().expand(3, -1, -1, -1) / 255.0
    qualities = torch.tensor([20.0, 50.0, 90.0])
    together = compress(x, qualities)
    for i in range(3):
        assert torch.equal(together[i : i + 1], compress(x[:1], qualities[i : i + 1]))


def test_precision_and_fractions_change_nothing():
    x = torch.from_numpy(picture("photograph", 30, 41)).permute(2, 0, 1)[None] / 255.0
    assert torch.equal(JPEG(70.9)(x), JPEG(70)(x))
    assert torch.equal((JPEG(70)(x.double()) * 255).round(), (JPEG(70)(x) * 255).round().double())


def test_the_transforms_matrix_is_the_cosine_transform():
    frequency, place = np.mgrid[:8, :8]
    cosines = np.sqrt(np.where(frequency, 2.0, 1.0)) * np.cos((2 * place + 1) * frequency * np.pi / 16)
    np.testing.assert_allclose(np.array(DCT), 2**13 * cosines, rtol=0, atol=1.5)
