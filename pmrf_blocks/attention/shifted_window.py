"""Attention inside windows that every second layer shifts (Liu et al., 2021), in the form of k-diffusion's
image transformer v2."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from pmrf_blocks.attention.keeping import kept
from pmrf_blocks.attention.scaled_dot_product import attend
from pmrf_blocks.attention.windows import Pair, check_tensors, repeat_heads


def shifted_window_attention_2d(
    q: Tensor, k: Tensor, v: Tensor, window_size: int, *, shift: int = 0, scale: float | None = None
) -> Tensor:
    """Attention of every pixel to its own window (Liu et al., 2021).

    Windows of window_size x window_size tile the grid; a shift moves the grid down and right by so many pixels
    first, cyclically, and pixels that only the cycle has brought together do not see one another. Any size: the
    windows at the lower and right border hold what there is. Along an axis shorter than window_size the one window
    is the whole axis, unshifted.

    Arguments:
        q, k, v: (B, H, W, N, D), one floating dtype and device; k and v may have fewer heads, a divisor of N, which
            groups of query heads share, and v another D.
        shift: 0 to window_size - 1; window_size // 2 in every second layer.
        scale: factor on q k^T; D ** -0.5 when None.

    Returns (B, H, W, N, D) with the D of v. Raises ValueError for arguments that do not fit.

    Examples:
        >>> q, k, v = torch.rand(3, 1, 8, 12, 2, 16)
        >>> shifted_window_attention_2d(q, k, v, window_size=4, shift=2).shape
        torch.Size([1, 8, 12, 2, 16])
    """
    check_tensors(q, k, v)
    if window_size < 1 or not 0 <= shift < window_size:
        raise ValueError(
            f"window_size must be at least 1 and shift between 0 and window_size - 1; got {window_size}, {shift}"
        )
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    height, width = q.shape[1:3]
    window = (min(window_size, height), min(window_size, width))
    shifts = (shift if height >= window_size else 0, shift if width >= window_size else 0)
    k, v = repeat_heads(q, k, v)
    mask = window_mask((height, width), window, shifts, q.device)
    qs, ks, vs = (_windows(x, window, shifts) for x in (q, k, v))
    out = attend(qs, ks, vs, mask, scale)
    return _whole(out, (height, width), window, shifts)


@kept(16)
def window_mask(size: Pair, window: Pair, shifts: Pair, device: torch.device) -> Tensor | None:
    """(windows, 1, T, T) bool: which pixels of a window see one another; None where all do.

    Along each axis a pixel of the shifted grid is of one of three kinds: its own place, brought round by the cycle,
    or padding. Pixels of one kind see one another; padding sees padding, so that no row is empty.
    """
    kinds = []
    for length, side, shift in zip(size, window, shifts):
        padded = length + -length % side
        place = (np.arange(padded) - shift) % padded  # where the pixel was before the shift
        kinds.append(np.where(place < length, np.arange(padded) < shift, 2).reshape(-1, side))
    both = 3 * kinds[0][:, None, :, None] + kinds[1][None, :, None, :]
    flat = both.reshape(-1, window[0] * window[1])
    mask = flat[:, None, :, None] == flat[:, None, None, :]
    return None if mask.all() else torch.from_numpy(mask).to(device)


def _windows(x: Tensor, window: Pair, shifts: Pair) -> Tensor:
    """(B, H, W, N, D) to (B, windows, N, T, D), padded with zeros below and to the right, then shifted."""
    below, right = -x.shape[1] % window[0], -x.shape[2] % window[1]
    if below or right:
        x = F.pad(x, (0, 0, 0, 0, 0, right, 0, below))
    if any(shifts):
        x = x.roll(shifts, dims=(1, 2))
    return rearrange(x, "b (r u) (c v) n d -> b (r c) n (u v) d", u=window[0], v=window[1])


def _whole(x: Tensor, size: Pair, window: Pair, shifts: Pair) -> Tensor:
    """The inverse of _windows, cropped to `size`."""
    x = rearrange(x, "b (r c) n (u v) d -> b (r u) (c v) n d", r=-(-size[0] // window[0]), u=window[0])
    if any(shifts):
        x = x.roll((-shifts[0], -shifts[1]), dims=(1, 2))
    return x[:, : size[0], : size[1]]
