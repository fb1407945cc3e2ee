"""Encoding and decoding in tiles: memory bounded by the tile, whatever the image.

A network of convolutions and per-pixel norms is local: each output pixel depends on a known region of every layer's
input (locality.py). So for each tile the regions are worked out from the last layer to the first, clipped to the image,
and the layers run on just these, trimmed as they go: at the image's border a crop ends where the image ends and is
padded as the image is; elsewhere it holds all that the tile depends on. The result equals the untiled one.

Layers at the low resolutions have the widest halos and the smallest feature maps: where a whole map is no larger than
the largest of a tile, they run on the whole image, which costs no memory and computes nothing twice.

Group norm, self-attention and layers that state no locality see the whole image. In tiles nothing can be exact there:
these overlap and are blended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from pmrf_blocks.autoencoders.locality import Span, locality_of
from pmrf_blocks.autoencoders.networks import Chain

BeforeLayer = Callable[[], object]


def halo(layers: Sequence[nn.Module]) -> int:
    """Rows of the network's input, beyond those below a tile itself, that the tile depends on at each side at most."""
    unit = 1024  # a tile far from any border, of whole pixels of every level
    grow = output_size(layers, unit)
    low, high = grow, 2 * grow
    for layer in reversed(layers):
        low, high = locality_of(layer).input_span((low, high))
    return max(unit - low, high - 2 * unit)


def why_not_exact(layers: Iterable[nn.Module]) -> str | None:
    """The reason why tiles cannot give the untiled result, or None where they do."""
    return next((why for layer in layers if (why := locality_of(layer).why_whole)), None)


def run_tiled(
    network: Chain, layers: Sequence[nn.Module], x: Tensor, *, tile: int, warn: Callable[[nn.Module, str], None],
    before_layer: BeforeLayer | None,
) -> Tensor:  # fmt: skip
    """The network's layers on x (B, C, H, W), computed for `tile` x `tile` pixels of their output at a time; at either
    end whole where that takes no more memory.

    Where the result cannot be exact, `warn` gets the first layer that sees the whole image and the reason, and
    overlapping tiles are blended. `before_layer` is called before each layer of a tile.
    """
    first, last = tiled_part(layers, x.shape, tile)
    for layer in layers[first:last]:
        if reason := locality_of(layer).why_whole:
            warn(layer, reason)
            # Of all layers: their halo shows more to those that want to see it whole.
            return Tiles(network, layers, before_layer).blended(x, tile)
    x = network.run(layers[:first], x)
    for layer in reversed(layers[last:]):
        tile = _input_tile(layer, tile)
    if first < last:
        x = Tiles(network, layers[first:last], before_layer).exact(x, tile)
    return network.run(layers[last:], x)


def tiled_part(layers: Sequence[nn.Module], shape: Sequence[int], tile: int) -> tuple[int, int]:
    """Which of the layers need tiles, (first, one past the last): before and after, feature maps of the whole image are
    no larger than the largest map of a tile. `shape` is that of x, `tile` in pixels of the output. Self-attention there
    is counted by its map: torch's fused kernels need no matrix of pixels by pixels. A layer without `out_channels` is
    taken to keep the channels."""
    _, channels, height, width = shape
    whole, widths = [channels * height * width], [channels]
    for layer in layers:
        height, width = (locality_of(layer).output_size(size) for size in (height, width))
        widths.append(getattr(layer, "out_channels", widths[-1]))
        whole.append(widths[-1] * height * width)
    sides = [tile]
    for layer in reversed(layers):
        sides.append(_input_tile(layer, sides[-1]))
    room = max(width * side * side for width, side in zip(widths, reversed(sides)))
    first, last = 0, len(layers)
    while first < last and whole[first + 1] <= room:
        first += 1
    while last > first and whole[last - 1] <= room:
        last -= 1
    return first, last


def _input_tile(layer: nn.Module, tile: int) -> int:
    """Side of what a tile of a layer's output takes of its input, its halo aside."""
    return math.ceil(tile / locality_of(layer).total_scale)


def output_size(layers: Iterable[nn.Module], size: int) -> int:
    """Rows that the layers make of `size` rows."""
    for layer in layers:
        size = locality_of(layer).output_size(size)
    return size


class Tiles:
    """Layers of a network, run on parts of an image."""

    def __init__(self, network: Chain, layers: Sequence[nn.Module], before_layer: BeforeLayer | None = None) -> None:
        self.network, self.layers, self.before_layer = network, layers, before_layer
        self.localities = [locality_of(layer) for layer in layers]

    def exact(self, x: Tensor, tile: int) -> Tensor:
        """Tile by tile, each written where it belongs."""
        height, width = (output_size(self.layers, size) for size in x.shape[-2:])
        out = None
        for rows in _spans(height, tile):
            for columns in _spans(width, tile):
                part = self.part(x, rows, columns)
                if out is None:
                    out = part.new_empty((*part.shape[:2], height, width))
                out[..., rows[0] : rows[1], columns[0] : columns[1]] = part
        assert out is not None
        return out

    def blended(self, x: Tensor, tile: int) -> Tensor:
        """Tiles that overlap by a quarter, each with its halo, with weights that rise linearly from their edges.

        The halo keeps the tiles' own edges out of the result; what group norm and attention see is still the crop.
        """
        height, width = (output_size(self.layers, size) for size in x.shape[-2:])
        overlap = tile // 4
        total = weights = None
        for rows in _spans(height, tile, overlap):
            for columns in _spans(width, tile, overlap):
                part = self.part(x, rows, columns)
                weight = _ramp(rows, height, overlap).view(-1, 1) * _ramp(columns, width, overlap).view(1, -1)
                weight = weight.to(part)
                if total is None or weights is None:
                    total = part.new_zeros((*part.shape[:2], height, width))
                    weights = part.new_zeros((height, width))
                total[..., rows[0] : rows[1], columns[0] : columns[1]] += weight * part
                weights[rows[0] : rows[1], columns[0] : columns[1]] += weight
        assert total is not None and weights is not None  # noqa: PT018
        return total / weights

    def part(self, x: Tensor, rows: Span, columns: Span) -> Tensor:
        """Rows and columns of the output, from no more of x than they depend on."""
        plans = [self.plan(size, span) for size, span in zip(x.shape[-2:], (rows, columns))]

        def crop(i: int, y: Tensor) -> Tensor:
            """What layer i needs of y, which the layer before it made of what it needed."""
            before = [plan[i - 1] for plan in plans]
            self._check(i - 1, [high - low for low, high in before], y)
            starts = [self.localities[i - 1].output_size(low) for low, _ in before]
            (top, bottom), (left, right) = ((plan[i][0] - at, plan[i][1] - at) for plan, at in zip(plans, starts))
            return y[..., top:bottom, left:right]

        def prepare(i: int, y: Tensor) -> Tensor:
            if self.before_layer is not None:
                self.before_layer()
            return crop(i, y) if i else y

        (top, bottom), (left, right) = (plan[0] for plan in plans)
        return crop(len(self.layers), self.network.run(self.layers, x[..., top:bottom, left:right], prepare))

    def plan(self, size: int, span: Span) -> list[Span]:
        """The span of every layer's input, of an image of `size` rows, for rows `span` of the output; that last."""
        sizes = [size]
        for locality in self.localities:
            sizes.append(locality.output_size(sizes[-1]))
        spans = [span]
        for locality, limit in zip(reversed(self.localities), reversed(sizes[:-1])):
            low, high = locality.input_span(spans[-1])
            spans.append((max(low, 0), min(high, limit)))
        return spans[::-1]

    def _check(self, i: int, sizes: Sequence[int], y: Tensor) -> None:
        """Raise ValueError where layer i made y of another size than its locality says."""
        scale = self.localities[i].total_scale
        for size, made in zip(sizes, y.shape[-2:]):
            if abs(made - size * scale) >= 1:
                raise ValueError(
                    f"{type(self.layers[i]).__name__} made {made} rows or columns of {size}, and its locality says "
                    f"scale {scale}; state its own: locality = Locality(halo=..., scale=...)"
                )


def _spans(size: int, tile: int, overlap: int = 0) -> Iterator[Span]:
    for start in range(0, max(size - overlap, 1), tile - overlap):
        yield start, min(start + tile, size)


def _ramp(span: Span, size: int, overlap: int) -> Tensor:
    length = span[1] - span[0]
    position = torch.arange(length, dtype=torch.float32) + 0.5
    weight = torch.ones(length)
    if span[0] > 0:
        weight = torch.minimum(weight, position / max(overlap, 1))
    if span[1] < size:
        weight = torch.minimum(weight, position.flip(0) / max(overlap, 1))
    return weight
