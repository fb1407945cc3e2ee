"""Maximum mean discrepancy of two sets of features, under a Gaussian kernel (CMMD's formula)."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.metrics.feature_checks import check_two

BLOCK = 1024  # features a side whose kernel is held at a time


def mmd_rbf(a: Tensor, b: Tensor, *, sigma: float = 10.0, scale: float = 1000.0, biased: bool = True) -> Tensor:
    """Squared maximum mean discrepancy under exp(-|x - y|^2 / (2 sigma^2)), times `scale`; a scalar, float64.

    Arguments: features (M, D) and (N, D). Memory grows with M + N: kernels are summed block by block.

    The defaults are CMMD's (Jayasumana et al., 2024), made for its CLIP embeddings; other features want a sigma of
    about their own spread. The biased estimate is never negative, and above zero for two sets of one distribution,
    by about 2 * scale / N; the unbiased one leaves each sample's kernel with itself out and may fall below zero.

    Raises ValueError for a sigma that is not positive, fewer than two features, or two widths.

    Examples:
        >>> features = torch.rand(8, 4)
        >>> abs(mmd_rbf(features, features).item()) < 1e-6
        True
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be positive; got {sigma}")
    a, b = check_two(a, b)
    centre = b.mean(0)  # distances are taken through inner products, which cancel less near the origin
    a, b = a - centre, b - centre
    return scale * (
        _within(a, sigma, biased) + _within(b, sigma, biased) - 2.0 * _kernel_sum(a, b, sigma) / len(a) / len(b)
    )


def _within(x: Tensor, sigma: float, biased: bool) -> Tensor:
    """Mean kernel of a set with itself; unbiased, without each sample's kernel with itself, which is 1."""
    count = len(x)
    total = x.new_zeros(())
    for start in range(0, count, BLOCK):
        rows = x[start : start + BLOCK]
        total = total + _kernel_sum(rows, rows, sigma)
        total = total + 2.0 * _kernel_sum(rows, x[start + BLOCK :], sigma)
    return total / count**2 if biased else (total - count) / (count * (count - 1))


def _kernel_sum(x: Tensor, y: Tensor, sigma: float) -> Tensor:
    total = x.new_zeros(())
    for rows in x.split(BLOCK):
        for columns in y.split(BLOCK):
            distance = rows.square().sum(1)[:, None] + columns.square().sum(1) - 2.0 * rows @ columns.T
            total = total + torch.exp(distance.clamp(min=0.0) / (-2.0 * sigma**2)).sum()
    return total
