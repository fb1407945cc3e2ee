"""What a layer must see of its input for a part of its output: what tiles are planned by.

A layer states it as `locality`, in its class or in the instance:

    class Blur(nn.Module):
        locality = Locality(halo=2)  # a 5x5 filter

A layer that states nothing, and is none of torch's that are known here, is taken to see the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from torch import nn

from pmrf_blocks.pretrained import plain_class

Span = tuple[int, int]  # first and one past the last row, or column


@dataclass(frozen=True)
class Locality:
    """Of rows and columns alike.

    Arguments:
        halo: rows of the input that a row of the output depends on at either side of those it lies over, or two
            numbers: above and below.
        scale: rows of the output for one of the input: 2 enlarges, 0.5 (or Fraction(1, 2)) reduces. Row i of the output
            lies over the rows from floor(i / scale) on.
        whole: why the layer sees the whole image, as the end of a sentence; empty where it does not.
        rest: of what comes after it in the same layer; see then().

    Examples:
        >>> layer = Locality(halo=1).then(Locality(scale=2))  # a 3x3 window, then twice the size
        >>> layer.output_size(24), layer.input_span((16, 32))  # which of the input 16 of the output need
        (48, (7, 17))
    """

    halo: int | tuple[int, int] = 0
    scale: float | Fraction = Fraction(1)
    whole: str = ""
    rest: tuple[Locality, ...] = ()

    def __post_init__(self) -> None:
        scale = Fraction(self.scale)
        if min(scale.numerator, scale.denominator) != 1 or scale <= 0:
            raise ValueError(f"scale must be a whole number or one over a whole number; got {self.scale}")
        if min(self.sides) < 0:
            raise ValueError(f"halo must not be negative; got {self.halo}")
        object.__setattr__(self, "scale", scale)

    def then(self, other: Locality) -> Locality:
        """Of this one's layer followed by the other's."""
        return replace(self, rest=(*self.rest, other))

    @property
    def sides(self) -> tuple[int, int]:
        """The halo above and below, without the rest's."""
        return self.halo if isinstance(self.halo, tuple) else (self.halo, self.halo)

    @cached_property
    def total_scale(self) -> Fraction:
        """Rows of the output for one of the input, the rest included."""
        return math.prod((part.total_scale for part in self.rest), start=Fraction(self.scale))

    @property
    def why_whole(self) -> str:
        """`whole`, of this or the first of the rest that has it."""
        return self.whole or next((part.why_whole for part in self.rest if part.why_whole), "")

    def input_span(self, span: Span) -> Span:
        """Rows of the input that rows `span` of the output depend on, not clipped to the image. The first is a multiple
        of the whole layer's stride, so that strides stay aligned where a crop begins there."""
        stride = self.total_scale.denominator
        for part in reversed(self.rest):
            span = part.input_span(span)
        (low, high), (above, below) = span, self.sides
        rows, of = self.scale.denominator, self.scale.numerator  # type: ignore[union-attr]
        low, high = low * rows // of - above, -(-high * rows // of) + below
        return low // stride * stride, high

    def output_size(self, size: int) -> int:
        """Rows that the layer makes of `size` rows, and where it puts what it makes of row `size`."""
        return size * self.total_scale.numerator // self.total_scale.denominator


WHOLE = Locality(whole="it sees the whole image")
PIXEL = Locality()


def locality_of(layer: nn.Module) -> Locality:
    """What a layer states, what is known of torch's, or else that it sees the whole image.

    A class that changes its parent's forward() and states nothing is taken to see the whole image, whatever the parent
    states. Weights that are parametrised, hooks, and the faster classes of kernels/ change nothing.
    """
    if "locality" in vars(layer):
        return vars(layer)["locality"]
    for kind in plain_class(type(layer)).__mro__:
        if "locality" in vars(kind):
            return layer.locality  # type: ignore[return-value]
        if kind in KNOWN:
            return KNOWN[kind](layer)
        if "forward" in vars(kind):
            break
    return Locality(whole=f"{type(layer).__name__} states no locality, so it is taken to see the whole image")


def in_sequence(layers: Iterable[nn.Module]) -> Locality:
    """Of layers one after another."""
    return replace(PIXEL, rest=tuple(map(locality_of, layers)))


def widest(*localities: Locality) -> Locality:
    """Of layers that keep the resolution, on the same input, whose outputs are added."""
    spans = [part.input_span((0, 1)) for part in localities]
    whole = next((part.why_whole for part in localities if part.why_whole), "")
    return Locality(halo=(-min(low for low, _ in spans), max(high for _, high in spans) - 1), whole=whole)


def _convolution(conv: Any) -> Locality:
    """Of an nn.Conv2d that makes n rows of n * stride."""
    above = below = 0
    for size, stride, dilation, index in zip(conv.kernel_size, conv.stride, conv.dilation, (0, 1)):
        reach = dilation * (size - 1)
        if conv.padding == "same":
            padding = reach // 2
        else:
            padding = 0 if conv.padding == "valid" else conv.padding[index]
        short = 2 * padding - reach - 1 + stride  # rows that padding adds too many
        if not 0 <= short < stride and not (conv.padding == "same" and stride == 1):
            return Locality(whole=f"a convolution of kernel {size} and padding {padding} changes the size")
        above, below = max(above, padding), max(below, reach - padding - stride + 1)
    if conv.padding_mode not in ("zeros", "replicate") or conv.stride[0] != conv.stride[1]:
        return Locality(whole=f"a convolution with padding_mode {conv.padding_mode!r} sees what is far away")
    return Locality(halo=(above, below), scale=Fraction(1, conv.stride[0]))


def _batch_norm(norm: Any) -> Locality:
    """Pixel by pixel where the statistics are those of training."""
    here = norm.training or norm.running_mean is None
    return Locality(whole="batch norm takes its statistics over the whole image" if here else "")


def _enlarging(layer: Any) -> Locality:
    """Of an nn.Upsample of nearest neighbours."""
    if layer.mode != "nearest" or not isinstance(layer.scale_factor, (int, float)) or layer.scale_factor % 1:
        return Locality(whole=f"an Upsample of mode {layer.mode!r} is not known")
    return Locality(scale=int(layer.scale_factor))


def _fixed(locality: Locality) -> Callable[[Any], Locality]:
    return lambda layer: locality


KNOWN: dict[type[nn.Module], Callable[[Any], Locality]] = {
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.Sequential: in_sequence,
    nn.Upsample: _enlarging,
    nn.PixelShuffle: lambda layer: Locality(scale=layer.upscale_factor),
    nn.PixelUnshuffle: lambda layer: Locality(scale=Fraction(1, layer.downscale_factor)),
    nn.GroupNorm: _fixed(Locality(whole="group norm takes its statistics over the whole image")),
    nn.InstanceNorm2d: _fixed(Locality(whole="instance norm takes its statistics over the whole image")),
    **dict.fromkeys((nn.Identity, nn.SiLU, nn.ReLU, nn.GELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh), _fixed(PIXEL)),
}
