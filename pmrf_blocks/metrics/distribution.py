"""Distances between two sets of images, by their features (M, D) and (N, D). All in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared Wasserstein-2 distance of the Gaussians fitted to two sets of features; a scalar (Heusel et al., 2017).

    |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) with unbiased covariances. Biased upwards for few samples, more
    so for more dimensions: compare only at equal numbers of samples, and distrust it below some thousands.
    """
    a, b = _check_features(a, b)
    difference = (a.mean(0) - b.mean(0)).square().sum()
    x, y = ((f - f.mean(0)) / (len(f) - 1) ** 0.5 for f in (a, b))
    # With A = x'x and B = y'y the eigenvalues of A B are the squared singular values of x y': no square root of a
    # D x D matrix, and fewer samples than dimensions do no harm.
    cross = torch.linalg.svdvals(x @ y.T).sum()
    return (difference + x.square().sum() + y.square().sum() - 2.0 * cross).clamp(min=0.0)


def mmd_rbf(a: Tensor, b: Tensor, *, sigma: float = 10.0, scale: float = 1000.0, biased: bool = True) -> Tensor:
    """Squared maximum mean discrepancy under exp(-|x - y|^2 / (2 sigma^2)), times `scale`; a scalar.

    The defaults are CMMD's (Jayasumana et al., 2024), made for its CLIP embeddings; other features want a sigma of
    about their own spread. The biased estimate is never negative; the unbiased one leaves each sample's kernel with
    itself out and may fall below zero.
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be positive; got {sigma}")
    a, b = _check_features(a, b)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(x, y).square() / (2.0 * sigma**2))

    def inner(x: Tensor) -> Tensor:
        k = kernel(x, x)
        if biased:
            return k.mean()
        return (k.sum() - k.diagonal().sum()) / (len(x) * (len(x) - 1))

    return scale * (inner(a) + inner(b) - 2.0 * kernel(a, b).mean())


def _check_features(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features must be (M, D) and (N, D); got {tuple(a.shape)} and {tuple(b.shape)}")
    if len(a) < 2 or len(b) < 2:
        raise ValueError(
            f"a distance of distributions needs at least 2 images a side, and means little below hundreds; "
            f"got {len(a)} and {len(b)}"
        )
    for name, features in (("first", a), ("second", b)):
        bad = int((~torch.isfinite(features)).any(1).sum())
        if bad:
            raise ValueError(f"{bad} of the {name} set's {len(features)} feature rows are not finite")
    return a.double(), b.double()
