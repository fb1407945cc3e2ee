"""Residual blocks of the autoencoders (appendix B.1, figure 6), and the attention of SD-VAE's middle."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.autoencoders.norms import ChannelLayerNorm, norm_silu
from pmrf_blocks.autoencoders.strips import Span, convolve_rows, is_large, small_batches, strips
from pmrf_blocks.kernels import may_reuse

Norm = Callable[[int], nn.Module]


class ResBlock(nn.Module):
    """skip(x) + conv2(between(conv1(before(x)))); the skip is x where the channels stay, else a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def before(self, x: Tensor) -> Tensor:
        """What the first convolution sees."""
        raise NotImplementedError

    def between(self, y: Tensor, spare: bool) -> Tensor:
        """What the second convolution sees; a `spare` y may be overwritten."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        spare = may_reuse(self)  # fresh memory for a large map takes longer than a sum
        y = self.conv2(self.between(self.conv1(self.before(x)), spare))
        shortcut = getattr(self, "conv_shortcut", None)
        skip = x if shortcut is None else shortcut(x)
        return y.add_(skip) if spare else skip + y

    def may_overwrite(self, x: Tensor) -> bool:
        """Whether overwrite() is the same as forward() and better: it was timed on a processor (10 % less time for 128
        channels at 512x512 in bfloat16, a third of the memory), and sees layers' weights alone, not what wraps them."""
        if x.device.type != "cpu" or x.stride(1) != 1 or not is_large(x) or torch.is_autocast_enabled("cpu"):
            return False
        norms = [layer for layer in self.children() if not isinstance(layer, nn.Conv2d)]
        return (
            not hasattr(self, "conv_shortcut")
            and type(self.conv1) is type(self.conv2) is nn.Conv2d
            and all(type(norm) is ChannelLayerNorm for norm in norms)
            and may_reuse(self)
        )

    def overwrite(self, x: Tensor) -> Tensor:
        """forward(x) in x's own memory, a strip of rows at a time."""
        for images in small_batches(x):
            above = None
            for rows in strips(images, overhang=2):
                above = self._overwrite_strip(images, rows, above)
        return x

    def _overwrite_strip(self, x: Tensor, rows: Span, above: Tensor | None) -> Tensor:
        """`above` is before() of the two rows above, as they were. Returns the same for the next strip."""
        (first, last), height = rows, x.shape[2]
        start, middle = max(first - 2, 0), (max(first - 1, 0), min(last + 1, height))
        y = self.before(x[:, :, first : last + 2])
        if above is not None:
            y = torch.cat((above, y), 2)
        above = y[:, :, last - 2 - start : last - start].clone()
        y = convolve_rows(y, self.conv1.weight, self.conv1.bias, middle, start=start, height=height)
        y = self.between(y, spare=True)
        y = convolve_rows(y, self.conv2.weight, self.conv2.bias, rows, start=middle[0], height=height)
        x[:, :, first:last] += y
        return above


class SimpleResBlock(ResBlock):
    """Sim-VAE's: skip(x) + conv(silu(conv(norm(x)))) (figure 6)."""

    def __init__(self, in_channels: int, out_channels: int, norm: Norm) -> None:
        super().__init__(in_channels, out_channels)
        self.norm = norm(in_channels)

    def before(self, x: Tensor) -> Tensor:
        return self.norm(x)

    def between(self, y: Tensor, spare: bool) -> Tensor:
        return F.silu(y, inplace=spare)


class SDResBlock(ResBlock):
    """SD-VAE's: skip(x) + conv(silu(norm(conv(silu(norm(x))))))."""

    def __init__(self, in_channels: int, out_channels: int, norm: Norm) -> None:
        super().__init__(in_channels, out_channels)
        self.norm1 = norm(in_channels)
        self.norm2 = norm(out_channels)

    def before(self, x: Tensor) -> Tensor:
        return norm_silu(self.norm1, x)

    def between(self, y: Tensor, spare: bool) -> Tensor:
        return norm_silu(self.norm2, y)


class PixelAttention(nn.Module):
    """SD-VAE's self-attention: every pixel sees every pixel, one head as wide as the features; x is added."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.group_norm = norm(channels)  # the published name, whatever the norm
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, H W, C)
        q, k, v = (project(tokens)[:, None] for project in (self.to_q, self.to_k, self.to_v))
        y = self.to_out[0](F.scaled_dot_product_attention(q, k, v)[:, 0])
        return x + y.transpose(1, 2).unflatten(2, x.shape[-2:])


BLOCKS: dict[str, type[SimpleResBlock] | type[SDResBlock]] = {"simple": SimpleResBlock, "sd": SDResBlock}
