"""Neighborhood attention as full attention under a mask: quadratic in pixels, plain, the measure of the others."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from pmrf_blocks.attention.flex import neighborhood_rule
from pmrf_blocks.attention.keeping import kept, traced
from pmrf_blocks.attention.scaled_dot_product import attend
from pmrf_blocks.attention.windows import Axis, Pair, Window, seen_keys


def neighborhood_mask(size: Pair, window: Window, device: torch.device) -> Tensor:
    """(H * W, H * W) bool on `device`: whether query row sees key column. Traced sizes need not be numbers."""
    if traced():
        pixel = torch.arange(size[0] * size[1], device=device)
        return neighborhood_rule(size, window)(pixel, pixel, pixel[:, None], pixel[None, :])
    return _kept_mask(size, window, device)


@kept(16)
def _kept_mask(size: Pair, window: Window, device: torch.device) -> Tensor:
    rows, columns = (_axis_mask(length, axis) for length, axis in zip(size, window.axes))
    both = rows[:, None, :, None] & columns[None, :, None, :]
    return torch.from_numpy(both.reshape(size[0] * size[1], -1)).to(device)


def _axis_mask(size: int, axis: Axis) -> np.ndarray:
    """(size, size) bool: each residue class modulo the dilation is an axis of its own."""
    mask = np.zeros((size, size), bool)
    for start in range(axis.dilation):
        of_class = np.arange(start, size, axis.dilation)
        first, last = (bound[:, None] for bound in seen_keys(len(of_class), axis))
        key = np.arange(len(of_class))
        mask[np.ix_(of_class, of_class)] = (key >= first) & (key < last)
    return mask


def dense_attention(q: Tensor, k: Tensor, v: Tensor, window: Window, scale: float) -> Tensor:
    """As neighborhood_attention_2d, arguments checked already."""
    size = (q.shape[1], q.shape[2])
    mask = neighborhood_mask(size, window, q.device)
    q, k, v = (rearrange(x, "b h w n d -> b n (h w) d") for x in (q, k, v))
    return rearrange(attend(q, k, v, mask, scale), "b n (h w) d -> b h w n d", h=size[0])
