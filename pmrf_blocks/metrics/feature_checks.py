"""Checks that the distances of distributions share."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.metrics.checks import to_double


def check_features(features: Tensor, name: str = "the") -> Tensor:
    """Features (N, D) in float64; ValueError where their shape is another or a row is not finite."""
    if features.ndim != 2:
        raise ValueError(f"features must be (N, D); got {tuple(features.shape)} for {name} set")
    bad = int((~torch.isfinite(features)).any(1).sum())
    if bad:
        raise ValueError(f"{bad} of {name} set's {len(features)} feature rows are not finite")
    return to_double(features)


def check_two(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two sets of features of one width, at least two rows each, in float64."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features must be (M, D) and (N, D); got {tuple(a.shape)} and {tuple(b.shape)}")
    check_counts(len(a), len(b))
    return check_features(a, "the first"), check_features(b, "the second")


def check_counts(first: int, second: int) -> None:
    if first < 2 or second < 2:
        raise ValueError(
            f"a distance of distributions needs at least 2 images a side, and means little below hundreds; "
            f"got {first} and {second}"
        )
