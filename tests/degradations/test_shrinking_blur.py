"""The quick ways to blur and resize, against the plain ones."""

import math

import pytest
import torch
import torch.nn.functional as F

from pmrf_blocks.degradations import gaussian_kernel
from pmrf_blocks.degradations.blur import filter2d, quick_length
from pmrf_blocks.degradations.resize import resize
from pmrf_blocks.degradations.shrinking_blur import blur_and_shrink, enlarge, separate

ROUNDING = 5e-6  # in [0, 1]; sums of hundreds of float32 terms, resized at positions that float32 rounds


def plain_filter2d(x, kernel):
    half = kernel.shape[-1] // 2
    padded = F.pad(x, (half, half, half, half), mode="reflect")
    return F.conv2d(padded.transpose(0, 1), kernel[None, None]).transpose(0, 1)


@pytest.mark.parametrize(("height", "width", "size"), [(40, 53, 15), (64, 31, 41)])
def test_large_kernels_through_fourier_are_the_sum(height, width, size, generator):
    x = torch.rand(1, 3, height, width, generator=generator)
    kernel = gaussian_kernel(size, 0.3 * size, 0.05 * size, 0.7)
    assert (filter2d(x, kernel[None]) - plain_filter2d(x, kernel)).abs().max() < ROUNDING


# one product and several; sharp and wide; few pixels and nearly all, where the transform takes over
@pytest.mark.parametrize("sigmas", [(0.1, 0.1), (4.0, 4.0), (9.0, 1.0), (15.0, 0.2)])
@pytest.mark.parametrize("target", [(1, 1), (5, 7), (33, 20), (70, 90), (75, 104)])
def test_blur_and_shrink_is_blur_then_resize(sigmas, target, generator):
    x = torch.rand(1, 3, 72, 96, generator=generator)
    kernel = gaussian_kernel(41, *sigmas, 0.4)
    expected = resize(plain_filter2d(x, kernel), *target)
    assert (blur_and_shrink(x, kernel, *target) - expected).abs().max() < ROUNDING


def test_the_kernel_is_a_sum_of_products():
    for sigmas, most in (((3.0, 3.0), 1), ((9.0, 3.0), 20), ((15.0, 0.1), 41)):
        kernel = gaussian_kernel(41, *sigmas, math.pi / 5)
        columns, rows = separate(kernel)
        assert len(columns) == len(rows) <= most
        assert (columns.t() @ rows - kernel).abs().sum() < ROUNDING


@pytest.mark.parametrize("size", [(1, 1), (16, 30), (40, 50), (60, 90)])
def test_enlarge_is_resize(size, generator):
    x = torch.rand(1, 3, *size, generator=generator)
    larger = enlarge(x, 50, 60)
    assert (larger - resize(x, 50, 60)).abs().max() < ROUNDING
    assert larger.data_ptr() != x.data_ptr()  # its result may be changed in place


def test_lengths_of_fourier_transforms():
    assert [quick_length(n) for n in (1, 2, 11, 552, 560, 561)] == [2, 2, 12, 560, 560, 576]
