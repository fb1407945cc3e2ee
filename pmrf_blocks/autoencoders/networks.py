"""Encoder and decoder, from Sim-VAE's form to SD-VAE's and every ablation between them (table 2, appendix B.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pmrf_blocks.autoencoders.design import Design

Prepare = Callable[[int, Tensor], Tensor]


class Chain(nn.Module):
    """Layers one after the other. With `gradient_checkpointing`, which may be set at any time, the backward pass
    computes each again from its input, which alone is kept."""

    gradient_checkpointing = False

    def steps(self) -> Iterator[nn.Module]:
        """The layers in their order, down to residual blocks and resizing layers."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.steps(), x)

    def run(self, layers: Iterable[nn.Module], x: Tensor, prepare: Prepare = lambda i, x: x) -> Tensor:
        """x (B, C, H, W) through `layers`, each of which gets prepare(its number, what the one before it made)."""
        again = self.gradient_checkpointing and torch.is_grad_enabled()
        for i, layer in enumerate(layers):
            x = prepare(i, x)
            x = checkpoint(layer, x, use_reentrant=False) if again else layer(x)
        return x


class Level(Chain):
    """Residual blocks at one resolution, then the resizing layer to the next level, if any."""

    def __init__(self, blocks: nn.ModuleList, **resize: nn.Module | None) -> None:
        super().__init__()
        self.resnets = blocks
        for name, layer in resize.items():  # 'downsampler' or 'upsampler', as the published keys have it
            if layer is not None:
                self.add_module(name, layer)

    def steps(self) -> Iterator[nn.Module]:
        yield from self.resnets
        yield from (layer for name, layer in self.named_children() if name != "resnets")


class Middle(Chain):
    """`blocks` layers at the lowest resolution: residual blocks, the second of them another layer if asked for."""

    def __init__(self, channels: int, blocks: int, design: Design) -> None:
        super().__init__()
        special = design.middle != "conv"
        if special and blocks < 2:
            raise ValueError(f"middle {design.middle!r} needs middle_blocks of at least 2; got {blocks}")
        self.resnets = design.make_blocks(channels, channels, blocks - special)
        layer = design.make_middle(channels)
        if layer is not None:
            self.attentions = nn.ModuleList([layer])  # the published name, whatever the layer

    def steps(self) -> Iterator[nn.Module]:
        yield self.resnets[0]
        yield from getattr(self, "attentions", ())
        yield from self.resnets[1:]


class Encoder(Chain):
    """Image (B, 3, H, W) to moments (B, 2 * latent_channels, H / f, W / f), f = 2 ** (levels - 1)."""

    def __init__(
        self, in_channels: int, out_channels: int, channels: Sequence[int], blocks: int, middle: int, design: Design
    ) -> None:
        super().__init__()
        self.conv_in = design.make_conv(in_channels, channels[0])
        self.down_blocks = nn.ModuleList()
        for i, width in enumerate(channels):
            before = channels[max(i - 1, 0)] if design.separate else width
            resize = None
            if i + 1 < len(channels):
                resize = design.make_downsample(width, width if design.separate else channels[i + 1])
            self.down_blocks.append(Level(design.make_blocks(before, width, blocks), downsampler=resize))
        self.mid_block = Middle(channels[-1], middle, design)
        if design.normalises_output:
            self.conv_norm_out, self.conv_act = design.make_norm(channels[-1]), nn.SiLU()
        self.conv_out = design.make_conv(channels[-1], out_channels, carried=out_channels // 2)  # the mean

    def steps(self) -> Iterator[nn.Module]:
        yield self.conv_in
        for level in self.down_blocks:
            yield from level.steps()  # type: ignore[operator]
        yield from self.mid_block.steps()
        yield from _last(self)


class Decoder(Chain):
    """Latent (B, latent_channels, h, w) to image (B, 3, f * h, f * w)."""

    def __init__(
        self, in_channels: int, out_channels: int, channels: Sequence[int], blocks: int, middle: int, design: Design
    ) -> None:
        super().__init__()
        widths = list(reversed(channels))
        self.conv_in = design.make_conv(in_channels, widths[0])
        self.mid_block = Middle(widths[0], middle, design)
        self.up_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            before = widths[max(i - 1, 0)] if design.separate else width
            resize = None
            if i + 1 < len(widths):
                resize = design.make_upsample(width, width if design.separate else widths[i + 1])
            self.up_blocks.append(Level(design.make_blocks(before, width, blocks), upsampler=resize))
        if design.normalises_output:
            self.conv_norm_out, self.conv_act = design.make_norm(widths[-1]), nn.SiLU()
        self.conv_out = design.make_conv(widths[-1], out_channels)

    def steps(self) -> Iterator[nn.Module]:
        yield self.conv_in
        yield from self.mid_block.steps()
        for level in self.up_blocks:
            yield from level.steps()  # type: ignore[operator]
        yield from _last(self)


def _last(network: Encoder | Decoder) -> Iterator[nn.Module]:
    """What stands after the last level or middle."""
    yield from (layer for name, layer in network.named_children() if name in ("conv_norm_out", "conv_act", "conv_out"))
