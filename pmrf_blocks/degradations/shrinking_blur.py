"""Blur and shrink in one: resize(filter2d(x, kernel), height, width) without the pixels that nobody sees; and enlarge.

A Gaussian kernel is a sum of few products of a column and a row (one, where it is isotropic). With each the blur and
the bilinear resize of one axis are one small matrix, so that an image shrunk to h x w costs two matrix products:

    out = sum_r rows_r x columns_r^T,    rows_r (h, H), columns_r (w, W)

Where many products are needed, or the result is large, the Fourier transform of filter2d is quicker.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pmrf_blocks.degradations.blur import filter2d, mirrored
from pmrf_blocks.degradations.resize import resize

FOURIER = 30.0  # operations of a matrix product in whose time a Fourier transform does one pixel, over log2(pixels)

FEW = 160  # pixels a side, up to which enlarging by matrix products is quicker


def blur_and_shrink(x: Tensor, kernel: Tensor, height: int, width: int) -> Tensor:
    """resize(filter2d(x, kernel[None]), height, width), but for rounding; x (1, C, H, W), kernel (k, k)."""
    tall, wide = x.shape[-2:]
    if x.device.type == "cpu" and (height, width) != (tall, wide):  # decomposing small kernels is slow elsewhere
        columns, rows = separate(kernel.to(x.dtype))
        products = 2.0 * len(rows) * height * wide * (tall + width)
        if products < FOURIER * tall * wide * math.log2(tall * wide):
            down, across = axis_operator(columns, tall, height), axis_operator(rows, wide, width)
            shrunk = _on_columns(down.flatten(0, 1), x[0])  # (C, height * r, W)
            return (shrunk.view(-1, height, across[0].numel()) @ across.flatten(1).t())[None]
    return resize(filter2d(x, kernel[None]), height, width)


def enlarge(x: Tensor, height: int, width: int) -> Tensor:
    """resize(x, height, width), but for rounding, as two matrix products where they are quicker; x (1, C, h, w)."""
    low, narrow = x.shape[-2:]
    if x.device.type != "cpu" or max(low, narrow) > FEW or low >= height or narrow >= width:
        return resize(x, height, width).clone()
    itself = x.new_ones(1, 1)
    down, across = axis_operator(itself, low, height)[:, 0], axis_operator(itself, narrow, width)[:, 0]
    return _on_columns(down, x[0] @ across.t())[None]


def separate(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Columns and rows, (r, k) each, whose products add up to the kernel (k, k) but for rounding.

    What is left out changes no image in [0, 1] by more than 8 units in the last place of 1.
    """
    columns, strengths, rows = torch.linalg.svd(kernel.double())  # float32's own rounding would look like more terms
    columns = columns.t() * strengths[:, None]
    largest = columns.abs().sum(1) * rows.abs().sum(1)  # by how much each can change a pixel
    left_out = largest.flip(0).cumsum(0).flip(0)
    count = max(1, int((left_out > 8 * torch.finfo(kernel.dtype).eps).sum()))
    return columns[:count].to(kernel.dtype), rows[:count].to(kernel.dtype)


def axis_operator(filters: Tensor, size: int, target: int) -> Tensor:
    """(target, r, size): blur along an axis with each of the filters (r, k), then shrink it from size to target."""
    place, weight = bilinear_taps(size, target, filters)
    count, length = filters.shape
    half = length // 2
    inside = mirrored(size, half, filters.device)  # of every position of the padded axis
    positions = inside[place[:, :, None] + torch.arange(length, device=filters.device)]  # (target, 2, k)
    values = weight[:, None, :, None] * filters[None, :, None, :]  # (target, r, 2, k)
    index = positions[:, None].expand(-1, count, -1, -1)
    operator = filters.new_zeros(target, count, size)
    return operator.scatter_add_(2, index.flatten(2), values.flatten(2))


def _on_columns(operator: Tensor, planes: Tensor) -> Tensor:
    """operator @ plane for each of the planes (C, H, W); matmul would copy these first."""
    return torch.bmm(operator.expand(len(planes), -1, -1), planes)


def bilinear_taps(size: int, target: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Both pixels that each of `target` pixels lies between, and their weights, (target, 2): resize()'s 'bilinear'."""
    scale = torch.tensor(size, dtype=like.dtype, device=like.device) / target  # rounded as F.interpolate rounds it
    centre = (torch.arange(target, dtype=like.dtype, device=like.device) + 0.5) * scale - 0.5
    centre = centre.clamp(min=0.0)
    low = centre.floor().long().clamp(max=size - 1)
    share = centre - low
    return torch.stack((low, (low + 1).clamp(max=size - 1)), 1), torch.stack((1.0 - share, share), 1)
