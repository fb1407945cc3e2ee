"""Encoding and decoding in tiles: memory bounded by the tile, whatever the image.

A network of convolutions and per-pixel norms is local: each output pixel depends on a known region of every layer's
input. So for each tile the regions are worked out from the last layer to the first, clipped to the image, and the
layers run on just these, trimmed as they go: at the image's border a crop ends where the image ends and is padded as
the image is; elsewhere it holds all that the tile depends on. The result equals the untiled one.

Layers at the low resolutions have the widest halos and the smallest feature maps: where a whole map is no larger than
the largest of a tile, they run on the whole image, which costs no memory and computes nothing twice.

Group norm and self-attention see the whole image. In tiles nothing can be exact there: these overlap and are blended.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial

import torch
from torch import Tensor, nn

from pmrf_blocks.autoencoders.blocks import PixelAttention, ResBlock
from pmrf_blocks.autoencoders.networks import Step, norm_silu, run_step
from pmrf_blocks.autoencoders.resize import Downsample, NearestUpsample, PixelShuffleUpsample
from pmrf_blocks.autoencoders.strips import Span, convolve
from pmrf_blocks.kernels import is_plain


def input_span(step: Step, span: Span) -> Span:
    """Rows of a layer's input that rows `span` of its output depend on; not clipped to the image."""
    low, high = span
    if isinstance(step, Downsample):
        return (2 * low, 2 * high + 1) if step.asymmetric else (2 * low - 2, 2 * high)  # even: strides stay aligned
    if isinstance(step, NearestUpsample):
        return (low - 1) // 2, -(-(high + 1) // 2)
    if isinstance(step, PixelShuffleUpsample):
        return low // 2 - 1, -(-high // 2) + 1
    radius = _radius(step)
    return low - radius, high + radius


def _radius(step: Step) -> int:
    if isinstance(step, nn.Conv2d):
        return step.kernel_size[0] // 2
    if isinstance(step, ResBlock):
        return 2
    if isinstance(step, PixelAttention):
        return 0  # of what it adds around a tile: it is never exact, and sees what the layers beside it need
    if isinstance(step, partial) and step.func is norm_silu:
        return 0
    raise TypeError(f"no receptive field is known for {step}")


def halo(steps: Sequence[Step]) -> int:
    """Rows of the network's input, beyond those below a tile itself, that the tile depends on at each side at most."""
    unit = 1024  # a tile far from any border, of whole pixels of every level
    grow = output_size(steps, unit)
    low, high = grow, 2 * grow
    for step in reversed(steps):
        low, high = input_span(step, (low, high))
    return max(unit - low, high - 2 * unit)


def output_place(step: Step, position: int) -> int:
    """Where a layer puts what it makes of input row `position`."""
    if isinstance(step, Downsample):
        return position // 2
    if isinstance(step, (NearestUpsample, PixelShuffleUpsample)):
        return 2 * position
    return position


def why_not_exact(steps: Iterable[Step]) -> str | None:
    """The reason why tiles cannot give the untiled result, or None where they do."""
    for step in steps:
        if isinstance(step, PixelAttention):
            return "self-attention in the middle sees the whole image"
        module = step.args[0] if isinstance(step, partial) else step
        if isinstance(module, nn.Module) and any(isinstance(part, nn.GroupNorm) for part in module.modules()):
            return "group norm takes its statistics over the whole image"
    return None


def run_tiled(steps: Sequence[Step], x: Tensor, *, tile: int, name: str) -> Tensor:
    """The steps on x (B, C, H, W), computed for `tile` x `tile` pixels of their output at a time; at either end whole
    where that takes no more memory.

    Where the result cannot be exact a RuntimeWarning says why, and overlapping tiles are blended.
    """
    first, last = tiled_part(steps, x.shape, tile)
    reason = why_not_exact(steps[first:last])
    if reason is not None:
        warnings.warn(f"{name} is not exact here, and seams are blended: {reason}", RuntimeWarning, stacklevel=3)
        return _blended(steps, x, tile)  # of all layers: their halo shows more to those that want to see it whole
    for step in steps[:first]:
        x = step(x)
    for step in reversed(steps[last:]):
        tile = _input_tile(step, tile)
    if first < last:
        x = _in_tiles(steps[first:last], x, tile)
    for step in steps[last:]:
        x = step(x)
    return x


def tiled_part(steps: Sequence[Step], shape: Sequence[int], tile: int) -> tuple[int, int]:
    """Which of the steps need tiles, (first, one past the last): before and after, feature maps of the whole image are
    no larger than the largest map of a tile. `shape` is that of x, `tile` in pixels of the output. Self-attention there
    is counted by its map: torch's fused kernels need no matrix of pixels by pixels."""
    _, channels, height, width = shape
    whole, widths = [channels * height * width], [channels]
    for step in steps:
        height, width = (output_place(step, size) for size in (height, width))
        widths.append(_out_channels(step, widths[-1]))
        whole.append(widths[-1] * height * width)
    sides = [tile]
    for step in reversed(steps):
        sides.append(_input_tile(step, sides[-1]))
    room = max(width * side * side for width, side in zip(widths, reversed(sides)))
    first, last = 0, len(steps)
    while first < last and whole[first + 1] <= room:
        first += 1
    while last > first and whole[last - 1] <= room:
        last -= 1
    return first, last


def _input_tile(step: Step, tile: int) -> int:
    """Side of what a tile of a layer's output takes of its input, its halo aside."""
    if isinstance(step, Downsample):
        return 2 * tile
    return -(-tile // 2) if isinstance(step, (NearestUpsample, PixelShuffleUpsample)) else tile


def _out_channels(step: Step, before: int) -> int:
    if isinstance(step, nn.Conv2d):
        return step.out_channels
    if isinstance(step, ResBlock):
        return step.conv2.out_channels
    if isinstance(step, (Downsample, NearestUpsample, PixelShuffleUpsample)):
        return step.conv.out_channels // (4 if isinstance(step, PixelShuffleUpsample) else 1)
    return before


def _in_tiles(steps: Sequence[Step], x: Tensor, tile: int) -> Tensor:
    height, width = (output_size(steps, size) for size in x.shape[-2:])
    out = None
    for rows in _spans(height, tile):
        for columns in _spans(width, tile):
            part = _run_local(steps, x, rows, columns)
            if out is None:
                out = part.new_empty((*part.shape[:2], height, width))
            out[..., rows[0] : rows[1], columns[0] : columns[1]] = part
    assert out is not None
    return out


def _give_back() -> None:
    """Return freed memory to the system, before every layer of a tile: glibc keeps what lies below the small blocks
    that each new shape leaves in the convolution library's caches, and what one layer left would be beside what the
    next needs. To have it cleared again takes 4 % of the time."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None


def output_size(steps: Sequence[Step], size: int) -> int:
    for step in steps:
        size = output_place(step, size)
    return size


def _spans(size: int, tile: int, overlap: int = 0) -> Iterator[Span]:
    for start in range(0, max(size - overlap, 1), tile - overlap):
        yield start, min(start + tile, size)


def _run_local(steps: Sequence[Step], x: Tensor, rows: Span, columns: Span) -> Tensor:
    """Rows and columns of the output, from no more of x than they depend on."""
    plans = [_plan(steps, size, span) for size, span in ((x.shape[-2], rows), (x.shape[-1], columns))]
    (top, bottom), (left, right) = (plan[0] for plan in plans)
    x = x[..., top:bottom, left:right]
    for i, step in enumerate(steps):
        if x.device.type == "cpu":
            _give_back()
        starts = [output_place(step, plan[i][0]) for plan in plans]
        (top, bottom), (left, right) = (
            (plan[i + 1][0] - start, plan[i + 1][1] - start) for plan, start in zip(plans, starts)
        )
        x = _run(step, x, steps[i - 1] if i else None)[..., top:bottom, left:right]
    return x


def _run(step: Step, x: Tensor, before: Step | None) -> Tensor:
    if x.device.type == "cpu" and type(step) is nn.Conv2d and step.kernel_size == (3, 3) and is_plain(step):
        return convolve(x, step.weight, step.bias)
    return run_step(step, x, before)


def _plan(steps: Sequence[Step], size: int, span: Span) -> list[Span]:
    """The span of every layer's input, and of the output last."""
    sizes = [size]
    for step in steps:
        sizes.append(output_place(step, sizes[-1]))
    spans = [span]
    for step, limit in zip(reversed(steps), reversed(sizes[:-1])):
        low, high = input_span(step, spans[-1])
        spans.append((max(low, 0), min(high, limit)))
    return spans[::-1]


def _blended(steps: Sequence[Step], x: Tensor, tile: int) -> Tensor:
    """Tiles that overlap by a quarter, each with its halo, with weights that rise linearly from their edges.

    The halo keeps the tiles' own edges out of the result; what group norm and attention see is still the crop.
    """
    height, width = (output_size(steps, size) for size in x.shape[-2:])
    overlap = tile // 4
    total = weights = None
    for rows in _spans(height, tile, overlap):
        for columns in _spans(width, tile, overlap):
            part = _run_local(steps, x, rows, columns)
            weight = _ramp(rows, height, overlap).view(-1, 1) * _ramp(columns, width, overlap).view(1, -1)
            weight = weight.to(part)
            if total is None or weights is None:
                total = part.new_zeros((*part.shape[:2], height, width))
                weights = part.new_zeros((height, width))
            total[..., rows[0] : rows[1], columns[0] : columns[1]] += weight * part
            weights[rows[0] : rows[1], columns[0] : columns[1]] += weight
    assert total is not None and weights is not None  # noqa: PT018
    return total / weights


def _ramp(span: Span, size: int, overlap: int) -> Tensor:
    length = span[1] - span[0]
    position = torch.arange(length, dtype=torch.float32) + 0.5
    weight = torch.ones(length)
    if span[0] > 0:
        weight = torch.minimum(weight, position / max(overlap, 1))
    if span[1] < size:
        weight = torch.minimum(weight, position.flip(0) / max(overlap, 1))
    return weight
