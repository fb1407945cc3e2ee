"""Operators against kornia's."""

import kornia
import pytest
import torch
from skimage.data import astronaut

from pmrf_blocks.degradations import JPEG, GaussianBlur, Greyscale, Resize, gaussian_kernel
from pmrf_blocks.degradations.blur import filter2d


@pytest.fixture
def x():
    crop = torch.from_numpy(astronaut()[:64, 150:230].copy()).permute(2, 0, 1)
    return torch.stack((crop, crop.flip(2))).float() / 255.0


@pytest.mark.parametrize("size", [3, 13, 21])
def test_filter2d_is_kornias_with_a_kernel_for_every_image(x, size):
    kernels = gaussian_kernel(size, torch.tensor([2.0, 4.0]), torch.tensor([1.0, 3.0]), torch.tensor([0.5, -1.0]))
    expected = kornia.filters.filter2d(x, kernels, border_type="reflect")
    torch.testing.assert_close(filter2d(x, kernels), expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize(("size", "sigma"), [(5, 0.7), (21, 3.0)])
def test_gaussian_blur_is_kornias(x, size, sigma):
    expected = kornia.filters.gaussian_blur2d(x, (size, size), (sigma, sigma), border_type="reflect")
    torch.testing.assert_close(GaussianBlur(size, sigma)(x), expected, rtol=0, atol=3e-6)


def test_greyscale_is_kornias(x):
    torch.testing.assert_close(Greyscale()(x)[:, :1], kornia.color.rgb_to_grayscale(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(20, 30), (90, 81)])
def test_resize_is_kornias(x, size):
    expected = kornia.geometry.transform.resize(x, size, interpolation="bilinear", align_corners=False)
    torch.testing.assert_close(Resize(*size)(x), expected, rtol=0, atol=1e-6)


def test_jpeg_is_near_kornias(x):
    """kornia's codec is differentiable: chroma enlarged otherwise, rounding replaced by a smooth function."""
    for quality in (10, 30, 50, 75, 90, 100):
        theirs = kornia.enhance.jpeg_codec_differentiable(x, torch.tensor([float(quality)]))
        difference = (JPEG(quality)(x) - theirs).abs() * 255
        assert float(difference.mean()) < 2.5, quality
