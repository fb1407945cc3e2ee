"""Encoder and decoder, from Sim-VAE's form to SD-VAE's and every ablation between them (table 2, appendix B.1)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pmrf_blocks.autoencoders.blocks import BLOCKS, PixelAttention, ResBlock
from pmrf_blocks.autoencoders.norms import NORMS, norm_silu
from pmrf_blocks.autoencoders.resize import UPSAMPLERS, Downsample, ResidualConv
from pmrf_blocks.kernels import is_plain

MIDDLES = ("conv", "attention")
RESIZES = ("fused", "separate")
Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Design:
    """The choices of the paper's ablation; the defaults are Sim-VAE's."""

    norm: str = "layer"
    norm_groups: int = 32
    middle: str = "conv"
    resize: str = "fused"
    upsample: str = "nearest"
    block: str = "simple"
    residual: bool = False

    def __post_init__(self) -> None:
        for name, valid in (
            ("norm", NORMS), ("middle", MIDDLES), ("resize", RESIZES), ("upsample", UPSAMPLERS), ("block", BLOCKS),
        ):  # fmt: skip
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, valid))}; got {getattr(self, name)!r}")
        if self.norm_groups < 1:
            raise ValueError(f"norm_groups must be at least 1; got {self.norm_groups}")

    def make_norm(self, channels: int) -> nn.Module:
        return NORMS[self.norm](channels, self.norm_groups)

    def make_conv(self, in_channels: int, out_channels: int, *, carried: int | None = None) -> nn.Conv2d:
        """The first or the last convolution of a network; see ResidualConv."""
        if self.residual:
            return ResidualConv(in_channels, out_channels, carried=carried)
        return nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def make_blocks(self, in_channels: int, out_channels: int, count: int) -> nn.ModuleList:
        """`count` residual blocks, the first of which changes the channels."""
        widths = [in_channels] + [out_channels] * count
        return nn.ModuleList(BLOCKS[self.block](a, b, self.make_norm) for a, b in itertools.pairwise(widths))


def run_step(step: Step, x: Tensor, before: Step | None) -> Tensor:
    """step(x), where nothing but the step `before`, if any, made x for it: without gradients x may be overwritten."""
    if isinstance(step, ResBlock) and step.may_overwrite(x) and isinstance(before, nn.Module) and is_plain(before):
        return step.overwrite(x)  # no hook kept what the layer before it made
    return step(x)


class Chain(nn.Module):
    """Layers one after the other. With `gradient_checkpointing`, which may be set at any time, the backward pass
    computes each again from its input, which alone is kept."""

    gradient_checkpointing = False

    def steps(self) -> Iterator[Step]:
        """The layers in their order, down to residual blocks and resizing layers."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        again = self.gradient_checkpointing and torch.is_grad_enabled()
        before = None
        for step in self.steps():
            x = checkpoint(step, x, use_reentrant=False) if again else run_step(step, x, before)
            before = step
        return x


class Level(Chain):
    """Residual blocks at one resolution, then the resizing layer to the next level, if any."""

    def __init__(self, blocks: nn.ModuleList, **resize: nn.Module | None) -> None:
        super().__init__()
        self.resnets = blocks
        for name, layer in resize.items():  # 'downsampler' or 'upsampler', as the published keys have it
            if layer is not None:
                self.add_module(name, layer)

    def steps(self) -> Iterator[Step]:
        yield from self.resnets
        yield from (layer for name, layer in self.named_children() if name != "resnets")


class Middle(Chain):
    """`blocks` layers at the lowest resolution: residual blocks, the second of them self-attention if asked for."""

    def __init__(self, channels: int, blocks: int, design: Design) -> None:
        super().__init__()
        attention = design.middle == "attention"
        if attention and blocks < 2:
            raise ValueError(f"middle 'attention' needs middle_blocks of at least 2; got {blocks}")
        self.resnets = design.make_blocks(channels, channels, blocks - attention)
        if attention:
            self.attentions = nn.ModuleList([PixelAttention(channels, design.make_norm)])

    def steps(self) -> Iterator[Step]:
        yield self.resnets[0]
        yield from getattr(self, "attentions", ())
        yield from self.resnets[1:]


class Encoder(Chain):
    """Image (B, 3, H, W) to moments (B, 2 * latent_channels, H / f, W / f), f = 2 ** (levels - 1)."""

    def __init__(
        self, in_channels: int, out_channels: int, channels: Sequence[int], blocks: int, middle: int, design: Design
    ) -> None:
        super().__init__()
        separate = design.resize == "separate"
        down = partial(Downsample, asymmetric=separate, residual=design.residual)
        self.conv_in = design.make_conv(in_channels, channels[0])
        self.down_blocks = nn.ModuleList()
        for i, width in enumerate(channels):
            before = channels[max(i - 1, 0)] if separate else width
            last = i + 1 == len(channels)
            resize = None if last else down(width, width if separate else channels[i + 1])
            self.down_blocks.append(Level(design.make_blocks(before, width, blocks), downsampler=resize))
        self.mid_block = Middle(channels[-1], middle, design)
        if design.block == "sd":
            self.conv_norm_out = design.make_norm(channels[-1])
        self.conv_out = design.make_conv(channels[-1], out_channels, carried=out_channels // 2)  # the mean

    def steps(self) -> Iterator[Step]:
        yield self.conv_in
        for level in self.down_blocks:
            yield from level.steps()  # type: ignore[operator]
        yield from self.mid_block.steps()
        if hasattr(self, "conv_norm_out"):
            yield partial(norm_silu, self.conv_norm_out)
        yield self.conv_out


class Decoder(Chain):
    """Latent (B, latent_channels, h, w) to image (B, 3, f * h, f * w)."""

    def __init__(
        self, in_channels: int, out_channels: int, channels: Sequence[int], blocks: int, middle: int, design: Design
    ) -> None:
        super().__init__()
        separate = design.resize == "separate"
        widths = list(reversed(channels))
        self.conv_in = design.make_conv(in_channels, widths[0])
        self.mid_block = Middle(widths[0], middle, design)
        self.up_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            before = widths[max(i - 1, 0)] if separate else width
            last = i + 1 == len(widths)
            up = partial(UPSAMPLERS[design.upsample], residual=design.residual)
            resize = None if last else up(width, width if separate else widths[i + 1])
            self.up_blocks.append(Level(design.make_blocks(before, width, blocks), upsampler=resize))
        if design.block == "sd":
            self.conv_norm_out = design.make_norm(widths[-1])
        self.conv_out = design.make_conv(widths[-1], out_channels)

    def steps(self) -> Iterator[Step]:
        yield self.conv_in
        yield from self.mid_block.steps()
        for level in self.up_blocks:
            yield from level.steps()  # type: ignore[operator]
        if hasattr(self, "conv_norm_out"):
            yield partial(norm_silu, self.conv_norm_out)
        yield self.conv_out
