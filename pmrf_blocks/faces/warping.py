"""Warping by a similarity, antialiased where it shrinks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.faces.frame import apply, inverse, scale_of

MARGIN = 4  # pixels around what is read, for the bicubic kernel


def warp(image: Tensor, matrix: Tensor, height: int, width: int, *, padding: str = "reflection") -> Tensor:
    """`image` through the similarity `matrix`, bicubic. A map that shrinks reads an antialiased smaller copy.

    Only the part of the image that the result shows is read: the cost does not depend on the photograph's size.

    Arguments:
        image: (C, H, W) float.
        matrix: (2, 3), from the image's pixels to the result's.
        height, width: of the result.
        padding: what lies beyond the image: 'reflection', 'border' or 'zeros'.

    Returns:
        (C, height, width); bicubic interpolation overshoots at edges, nothing is clipped.

    Examples:
        >>> image = torch.rand(1, 20, 30)
        >>> moved = warp(image, torch.tensor([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]]), 20, 30, padding="zeros")
        >>> torch.allclose(moved[:, :, 3:], image[:, :, :-3], atol=1e-5)  # three pixels to the right
        True
    """
    from kornia.geometry.transform import warp_affine

    matrix = matrix.detach().double().cpu()
    scale = scale_of(matrix)
    top, left, bottom, right = source_part(matrix, height, width, math.ceil(MARGIN / min(scale, 1.0)))
    part = padded_part(image, top, left, bottom, right, padding)
    offset = torch.tensor([left, top], dtype=torch.float64)
    matrix = torch.cat([matrix[:, :2], matrix[:, 2:] + matrix[:, :2] @ offset[:, None]], 1)
    if scale < 1:
        rows, columns = (max(1, math.ceil(side * scale)) for side in part.shape[-2:])
        factors = torch.tensor([columns / part.shape[-1], rows / part.shape[-2]], dtype=torch.float64)
        part = F.interpolate(part[None], (rows, columns), mode="bicubic", align_corners=False, antialias=True)[0]
        # A pixel centre p of the part is (p + 0.5) * factor - 0.5 in its smaller copy; the map starts from there.
        back = matrix[:, :2] / factors
        matrix = torch.cat([back, matrix[:, 2:] + back @ (0.5 - 0.5 * factors)[:, None]], 1)
    return warp_affine(
        part[None], matrix[None].to(part), (height, width), mode="bicubic", padding_mode="border", align_corners=True
    )[0]


def source_part(matrix: Tensor, height: int, width: int, margin: int) -> tuple[int, int, int, int]:
    """Top, left, bottom, right (exclusive) of the pixels that a result of (height, width) is made from."""
    corners = torch.tensor([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], dtype=torch.float64)
    points = apply(inverse(matrix.double()), corners)
    (left, top), (right, bottom) = points.amin(0).floor().tolist(), points.amax(0).ceil().tolist()
    return int(top) - margin, int(left) - margin, int(bottom) + 1 + margin, int(right) + 1 + margin


def padded_part(image: Tensor, top: int, left: int, bottom: int, right: int, padding: str) -> Tensor:
    """Rows top..bottom and columns left..right of an image (C, H, W), which may lie beyond it."""
    height, width = image.shape[-2:]
    inside = image[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.shape[-2:] == (bottom - top, right - left):
        return inside
    rows, columns = torch.arange(top, bottom), torch.arange(left, right)
    if padding == "reflection":
        part = image[:, _reflected(rows, height)][:, :, _reflected(columns, width)]
    else:
        part = image[:, rows.clamp(0, height - 1)][:, :, columns.clamp(0, width - 1)]
        if padding == "zeros":
            part = part * ((rows >= 0) & (rows < height)).to(image)[:, None]
            part = part * ((columns >= 0) & (columns < width)).to(image)
    return part


def _reflected(index: Tensor, length: int) -> Tensor:
    """Indices beyond 0..length-1 mirrored at the first and last pixel, as often as needed."""
    if length == 1:
        return torch.zeros_like(index)
    index = index.remainder(2 * (length - 1))
    return torch.minimum(index, 2 * (length - 1) - index)
