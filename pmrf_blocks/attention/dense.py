"""Neighborhood attention as full attention under a mask: quadratic in pixels, plain, the measure of the others."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pmrf_blocks.attention.scaled_dot_product import attend
from pmrf_blocks.attention.windows import Pair


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def neighborhood_mask(size: Pair, kernel: Pair, dilation: Pair, device: torch.device) -> Tensor:
    """(H * W, H * W) bool on `device`: whether query row sees key column."""
    axes = []
    for length, width, step in zip(size, kernel, dilation):
        p = np.arange(length)
        inside = (length - p % step + step - 1) // step  # how many positions share p's remainder modulo the dilation
        first = np.minimum((p // step - width // 2).clip(min=0), inside - width)[:, None]
        key = p // step
        axes.append((p[:, None] % step == p % step) & (key >= first) & (key < first + width))
    both = axes[0][:, None, :, None] & axes[1][None, :, None, :]
    return torch.from_numpy(both.reshape(size[0] * size[1], -1)).to(device)


def dense_attention(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, dilation: Pair, scale: float) -> Tensor:
    size = (q.shape[1], q.shape[2])
    mask = neighborhood_mask(size, kernel, dilation, q.device)
    q, k, v = (x.flatten(1, 2).transpose(1, 2) for x in (q, k, v))
    return attend(q, k, v, mask, scale).transpose(1, 2).unflatten(1, size)
