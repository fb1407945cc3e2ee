"""Shortcuts without parameters around layers that change the resolution or the channels.

DC-AE, section 3.1: Chen et al., 2025, https://arxiv.org/abs/2410.10733.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor


def match_channels(x: Tensor, channels: int) -> Tensor:
    """x (B, C, H, W) with `channels` channels and no parameter: each repeated where there are to be more, else means
    of groups that lie side by side."""
    have = x.shape[1]
    if channels >= have:
        return x[:, [i * have // channels for i in range(channels)]]
    if have % channels == 0:
        return x.unflatten(1, (channels, -1)).mean(2)
    bounds = [i * have // channels for i in range(channels + 1)]
    return torch.stack([x[:, low:high].mean(1) for low, high in itertools.pairwise(bounds)], 1)


def space_to_channel(x: Tensor, channels: int) -> Tensor:
    """(B, C, 2h, 2w) to (B, channels, h, w): the four pixels of a square side by side, then means."""
    return match_channels(F.pixel_unshuffle(x, 2), channels)


def channel_to_space(x: Tensor, channels: int) -> Tensor:
    """(B, C, h, w) to (B, channels, 2h, 2w), the way back: repeated channels, dealt out to the four pixels."""
    return F.pixel_shuffle(match_channels(x, 4 * channels), 2)
