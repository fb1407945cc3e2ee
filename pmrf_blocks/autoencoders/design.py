"""The choices of an autoencoder: a registered name, or a class or function of one's own (table 2, appendix B.1)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from torch import nn

from pmrf_blocks.autoencoders.blocks import BLOCKS, Block, PixelAttention, SDResBlock
from pmrf_blocks.autoencoders.locality import Locality, locality_of
from pmrf_blocks.autoencoders.norms import NORMS, Norm
from pmrf_blocks.autoencoders.resize import UPSAMPLERS, Downsample, ResidualConv, Resize
from pmrf_blocks.variants import resolve

MiddleLayer = Callable[[int], nn.Module]  # of the number of channels

MIDDLES = ("conv", "attention")
RESIZES = ("fused", "separate")


@dataclass(frozen=True)
class Design:
    """The choices of the paper's ablation; the defaults are Sim-VAE's. SimVAE explains them.

    Raises ValueError where a choice is neither a known name nor a class or function.

    Examples:
        >>> Design(norm="group", residual=True).norm
        'group'
    """

    norm: str | Norm = "layer"
    norm_groups: int = 32
    middle: str | MiddleLayer = "conv"
    resize: str | tuple[Resize, Resize] = "fused"
    upsample: str | Resize = "nearest"
    block: str | Block = "simple"
    residual: bool = False

    def __post_init__(self) -> None:
        tables: dict[str, Any] = {
            "norm": NORMS,
            "middle": dict.fromkeys(MIDDLES),
            "upsample": UPSAMPLERS,
            "block": BLOCKS,
        }
        for name, table in tables.items():
            resolve(getattr(self, name), table, name)
        if self.norm_groups < 1:
            raise ValueError(f"norm_groups must be at least 1; got {self.norm_groups}")
        pair = self.own_pair
        if pair is None and self.resize not in RESIZES:
            raise ValueError(
                f"resize must be one of {', '.join(map(repr, RESIZES))}, or two classes or functions of (in_channels, "
                f"out_channels), the first of which halves and the second doubles; got {self.resize!r}"
            )
        if pair is not None and self.upsample != "nearest":
            raise ValueError(
                f"resize brings an enlarging layer of its own; upsample={self.upsample!r} would be ignored"
            )
        if self.residual and (pair is not None or callable(self.upsample)):
            raise ValueError("residual=True adds shortcuts to the resizing layers known here; yours have their own")

    @property
    def own_pair(self) -> Sequence[Resize] | None:
        """The pair that `resize` may be."""
        pair = self.resize
        own = isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(callable, pair))
        return pair if own else None  # type: ignore[return-value]

    @property
    def separate(self) -> bool:
        """Whether blocks change the channels, and not the resizing layers."""
        return self.resize == "separate"

    @property
    def normalises_output(self) -> bool:
        """Whether a norm and an activation stand before a network's last convolution, as SD-VAE's blocks ask for."""
        block = resolve(self.block, BLOCKS, "block")
        return isinstance(block, type) and issubclass(block, SDResBlock)

    def make_norm(self, channels: int) -> nn.Module:
        if callable(self.norm):
            return made(self.norm, channels)
        return NORMS[self.norm](channels, self.norm_groups)

    def make_middle(self, channels: int) -> nn.Module | None:
        """What stands second in the middle, where that is no residual block."""
        if callable(self.middle):
            return made(self.middle, channels)
        return PixelAttention(channels, self.make_norm) if self.middle == "attention" else None

    def make_conv(self, in_channels: int, out_channels: int, *, carried: int | None = None) -> nn.Conv2d:
        """The first or the last convolution of a network; see ResidualConv."""
        if self.residual:
            return ResidualConv(in_channels, out_channels, carried=carried)
        return nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def make_blocks(self, in_channels: int, out_channels: int, count: int) -> nn.ModuleList:
        """`count` residual blocks, the first of which changes the channels."""
        widths = [in_channels] + [out_channels] * count
        block = resolve(self.block, BLOCKS, "block")
        return nn.ModuleList(made(block, a, b, self.make_norm) for a, b in itertools.pairwise(widths))

    def make_downsample(self, in_channels: int, out_channels: int) -> nn.Module:
        if self.own_pair is not None:
            return resizing(self.own_pair[0], in_channels, out_channels, Fraction(1, 2))
        return Downsample(in_channels, out_channels, asymmetric=self.separate, residual=self.residual)

    def make_upsample(self, in_channels: int, out_channels: int) -> nn.Module:
        own = self.own_pair[1] if self.own_pair is not None else self.upsample
        if callable(own):
            return resizing(own, in_channels, out_channels, Fraction(2))
        return UPSAMPLERS[own](in_channels, out_channels, residual=self.residual)


def made(make: Callable[..., nn.Module], *arguments: Any) -> nn.Module:
    """make(*arguments); TypeError where that is no layer."""
    layer = make(*arguments)
    if not isinstance(layer, nn.Module):
        raise TypeError(f"{make!r} must make an nn.Module; got {type(layer).__name__}")
    return layer


def resizing(make: Resize, in_channels: int, out_channels: int, scale: Fraction) -> nn.Module:
    """A resizing layer of one's own. Where its locality is unknown, its scale at least is known here."""
    layer = made(make, in_channels, out_channels)
    locality = locality_of(layer)
    if locality.why_whole and locality.total_scale == 1:
        layer.locality = Locality(scale=scale, whole=locality.why_whole)  # type: ignore[assignment]
    elif locality.total_scale != scale:
        raise ValueError(f"{make!r} must make a layer of scale {scale}; its locality says {locality.total_scale}")
    return layer
