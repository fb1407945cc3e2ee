"""A small convolutional U-Net that estimates the posterior mean where SwinIR would be too slow."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from pmrf_blocks.estimators.norms import LayerNorm
from pmrf_blocks.pretrained import Pretrained


class ResBlock(nn.Module):
    """x + conv(silu(conv(norm(x)))), 3x3 convolutions, layer norm over the channels of a pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm(channels, eps=1e-6)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.conv2.parameters():  # every block starts as the identity
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        y = rearrange(self.norm(rearrange(x, "b c h w -> b h w c")), "b h w c -> b c h w")
        return x + self.conv2(F.silu(self.conv1(y)))


class UNet(nn.Module, Pretrained):
    """Posterior-mean estimator: degraded (B, 3, H, W) in [0, 1] to an estimate of the same shape, not clipped.

    Trained with the squared error, its output tends to E[X | Y] (section 2.2, stage 1). It predicts the
    difference to its input. Any size: the input is padded by replication and the output cropped back.

    Arguments:
        widths: channels of each level; the first works at 1 / unshuffle of the resolution, each next at half.
        blocks: residual blocks of each level, on the way down and again on the way up (once at the bottom).
        unshuffle: side of the pixel blocks that are folded into channels at the input.
        image_channels: C of images (B, C, H, W).

    Raises ValueError for arguments, or images, that do not fit.

    Examples:
        >>> UNet(widths=(8, 16), blocks=(1, 1))(torch.rand(1, 3, 30, 22)).shape
        torch.Size([1, 3, 30, 22])
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (48, 96, 192, 256),
        blocks: Sequence[int] = (1, 2, 2, 4),
        unshuffle: int = 2,
        image_channels: int = 3,
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks) or not widths:
            raise ValueError(f"widths and blocks must be of one length, at least 1; got {widths} and {blocks}")
        self.image_channels = image_channels
        self.unshuffle = unshuffle
        self.multiple = unshuffle * 2 ** (len(widths) - 1)
        folded = image_channels * unshuffle**2
        self.conv_in = nn.Conv2d(folded, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_blocks(width, count) for width, count in zip(widths[:-1], blocks))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths))
        self.bottom = _blocks(widths[-1], blocks[-1])
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in itertools.pairwise(widths))
        self.merge = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for width in widths[:-1])
        self.up = nn.ModuleList(_blocks(width, count) for width, count in zip(widths[:-1], blocks))
        self.conv_out = nn.Conv2d(widths[0], folded, 3, padding=1)
        for parameter in self.conv_out.parameters():  # and the whole network
            nn.init.zeros_(parameter)

    def forward(self, y: Tensor) -> Tensor:
        if y.ndim != 4 or y.shape[1] != self.image_channels:
            raise ValueError(f"images must be (B, {self.image_channels}, H, W); got {tuple(y.shape)}")
        height, width = y.shape[-2:]
        padded = F.pad(y, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        x = self.conv_in(F.pixel_unshuffle(padded, self.unshuffle))
        skips = []
        for level, shrink in zip(self.down, self.shrink):
            x = level(x)
            skips.append(x)
            x = shrink(x)
        x = self.bottom(x)
        for i in reversed(range(len(self.up))):
            x = self.grow[i](F.interpolate(x, scale_factor=2.0, mode="nearest"))
            x = self.up[i](self.merge[i](torch.cat((x, skips[i]), dim=1)))
        residual = F.pixel_shuffle(self.conv_out(x), self.unshuffle)
        return y + residual[..., :height, :width]


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResBlock(width) for _ in range(count)))
