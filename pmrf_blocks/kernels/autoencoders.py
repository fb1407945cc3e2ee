"""Faster layers of the autoencoders, in inference on a CPU: in place, by strips of rows, upsampling in fewer products.

Where gradients are taken, elsewhere than on a CPU, under autocast, while tracing, and where layers are hooked or
wrapped, they compute what the plain layers do, as the plain layers do.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.autoencoders.blocks import PixelAttention, ResBlock, SDResBlock, SimpleResBlock
from pmrf_blocks.autoencoders.networks import Chain, Decoder, Encoder, Prepare
from pmrf_blocks.autoencoders.norms import ChannelLayerNorm
from pmrf_blocks.autoencoders.resize import Downsample, NearestUpsample, PixelShuffleUpsample, ResidualConv
from pmrf_blocks.autoencoders.shortcuts import channel_to_space
from pmrf_blocks.kernels.choice import fits
from pmrf_blocks.kernels.doubling import convolve_doubled, folds
from pmrf_blocks.kernels.layer_norm import channel_layer_norm
from pmrf_blocks.kernels.reuse import is_plain, may_reuse
from pmrf_blocks.kernels.strips import Span, convolve, convolve_rows, is_large, is_standard, small_batches, strips
from pmrf_blocks.kernels.swap import Rule
from pmrf_blocks.pretrained import plain_class

MAKERS = (nn.Conv2d, ResidualConv, SimpleResBlock, SDResBlock, PixelAttention)  # they end with a sum or a product


class TritonChannelLayerNorm(ChannelLayerNorm):
    """One Triton kernel on CUDA, SiLU included where asked."""

    plain_class = ChannelLayerNorm

    def forward(self, x: Tensor, silu: bool = False) -> Tensor:
        if fits(x, self.weight, self.bias):
            return channel_layer_norm(x, self.weight, self.bias, self.eps, silu)
        return F.silu(super().forward(x)) if silu else super().forward(x)


def norm_silu(norm: nn.Module, x: Tensor) -> Tensor:
    """silu(norm(x)), in one kernel where there is one."""
    return norm(x, silu=True) if type(norm) is TritonChannelLayerNorm else F.silu(norm(x))


class InPlaceBlock(ResBlock):
    """A residual block that overwrites what only it has seen, and its input where it is told that it may."""

    def before(self, x: Tensor) -> Tensor:
        """What the first convolution sees."""
        raise NotImplementedError

    def between(self, y: Tensor, spare: bool) -> Tensor:
        """What the second convolution sees; a `spare` y may be overwritten."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        # Fresh memory for a large map takes longer than a sum.
        spare = is_standard(self.conv1) and is_standard(self.conv2) and may_reuse(self, x)
        y = self.conv2(self.between(self.conv1(self.before(x)), spare))
        skip = self.shortcut(x)
        return y.add_(skip) if spare and y.dtype == skip.dtype else skip + y  # autocast may mix them

    def may_overwrite(self, x: Tensor) -> bool:
        """Whether overwrite() is the same as forward() and better: it was timed on a CPU (10 % less time for 128
        channels at 512x512 in bfloat16, a third of the memory), and sees layers' weights alone, not what wraps them."""
        if x.device.type != "cpu" or x.stride(1) != 1 or not is_large(x) or torch.is_autocast_enabled("cpu"):
            return False
        norms = [layer for layer in self.children() if not isinstance(layer, nn.Conv2d)]
        return (
            not hasattr(self, "conv_shortcut")
            and is_standard(self.conv1)
            and is_standard(self.conv2)
            and all(plain_class(type(norm)) is ChannelLayerNorm for norm in norms)
            and may_reuse(self, x)
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


class FastSimpleResBlock(InPlaceBlock, SimpleResBlock):
    plain_class = SimpleResBlock

    def before(self, x: Tensor) -> Tensor:
        return self.norm(x)

    def between(self, y: Tensor, spare: bool) -> Tensor:
        return F.silu(y, inplace=spare)


class FastSDResBlock(InPlaceBlock, SDResBlock):
    plain_class = SDResBlock

    def before(self, x: Tensor) -> Tensor:
        return norm_silu(self.norm1, x)

    def between(self, y: Tensor, spare: bool) -> Tensor:
        return norm_silu(self.norm2, y)


class FastNearestUpsample(NearestUpsample):
    """In 4/9 of the multiplications, by strips; see convolve_doubled()."""

    plain_class = NearestUpsample

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or not folds(x, self.conv):
            return super().forward(x)
        y = convolve_doubled(x, self.conv)
        return y + channel_to_space(x, y.shape[1]) if self.residual else y


class FastChain(Chain):
    """Large maps that only the layer before has seen are overwritten by the next."""

    def run(self, layers: Iterable[nn.Module], x: Tensor, prepare: Prepare = lambda i, x: x) -> Tensor:
        if torch.is_grad_enabled():
            return super().run(layers, x, prepare)
        before: nn.Module | None = None
        for i, layer in enumerate(layers):
            x = prepare(i, x)
            if isinstance(layer, InPlaceBlock) and made_anew(before) and layer.may_overwrite(x):
                x = layer.overwrite(x)
            elif isinstance(layer, nn.Conv2d) and has_gaps(x) and is_standard(layer) and is_plain(layer):
                x = convolve(x, layer.weight, layer.bias)
            else:
                x = layer(x)
            before = layer
        return x


class FastEncoder(FastChain, Encoder):
    plain_class = Encoder


class FastDecoder(FastChain, Decoder):
    plain_class = Decoder


def made_anew(before: nn.Module | None) -> bool:
    """Whether what a layer gave is new memory that nobody else holds: it is of a known class, and no hook kept it."""
    if before is None or not is_plain(before):
        return False
    kind = plain_class(type(before))
    resizing = kind in (Downsample, NearestUpsample, PixelShuffleUpsample)
    return kind in MAKERS or (resizing and type(before.conv) is nn.Conv2d)


def has_gaps(x: Tensor) -> bool:
    """Whether a map on a CPU is a part of a wider one, as tiles are: convolutions of torch copy it first."""
    return x.device.type == "cpu" and not (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last))


RULES = (
    Rule(FastSimpleResBlock), Rule(FastSDResBlock), Rule(FastNearestUpsample), Rule(FastEncoder), Rule(FastDecoder),
    Rule(TritonChannelLayerNorm, triton=True),
)  # fmt: skip
