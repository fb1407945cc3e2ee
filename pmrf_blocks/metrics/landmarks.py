"""Landmarks: how far the points of a face have moved from those of its reference."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pmrf_blocks.metrics.checks import check_pair, to_double


def landmark_distance(
    x: Tensor, y: Tensor, detector: Callable[[Tensor], Tensor] | None = None, *, scale: float = 1.0
) -> Tensor:
    """Mean distance of corresponding landmarks, (B,), float64, in pixels: 'LMD' of the paper's table 4.

    Arguments:
        x, y: landmarks (B, K, 2) in pixels; with a detector, images (B, 3, H, W) in [0, 1].
        detector: any function from images to landmarks (B, K, 2) in their pixels.
        scale: multiplies the result; 512 / side gives pixels of the 512x512 that published numbers are in.

    Raises ValueError for landmarks of two shapes, or that are not finite.

    Examples:
        >>> landmark_distance(torch.zeros(1, 5, 2), torch.full((1, 5, 2), 3.0))
        tensor([4.2426], dtype=torch.float64)
    """
    if detector is not None:
        x, y = (detector(images) for images in check_pair(x, y))
    if x.ndim != 3 or x.shape[2] != 2 or x.shape != y.shape:
        raise ValueError(f"landmarks must be two (B, K, 2) of one shape; got {tuple(x.shape)} and {tuple(y.shape)}")
    if not bool(torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise ValueError("landmarks must be finite")
    return scale * (to_double(x) - to_double(y)).norm(dim=2).mean(1)
