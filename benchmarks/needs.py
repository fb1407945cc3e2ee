"""What a piece of work takes at least: operations and bytes, counted on tensors without data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pmrf_blocks.attention.windows import Window
from pmrf_blocks.autoencoders.resize import NearestUpsample
from pmrf_blocks.transformers import HourglassTransformer


@dataclass(frozen=True)
class Need:
    """Floating-point `operations` (a multiplication and an addition are two) and `traffic`, bytes that must be read
    and written, of one call; at the device's rate in `dtype` they give its roofline. 0 is unknown."""

    operations: float = 0.0
    traffic: float = 0.0
    dtype: torch.dtype = torch.float32

    def __add__(self, other: Need) -> Need:
        """One after the other."""
        return Need(self.operations + other.operations, self.traffic + other.traffic, self.dtype)

    def __rmul__(self, times: float) -> Need:
        return Need(times * self.operations, times * self.traffic, self.dtype)


def count(
    build: Callable[[], nn.Module],
    call: Callable[[nn.Module, Tensor], Tensor],
    *shape: int,
    dtype: torch.dtype = torch.float32,
) -> Need:
    """Of call(network, x), x of `shape`: its products, as the layers are written, and its least traffic.

    Operations are those of matrix products, convolutions and attention; all else is left out, so that the limit is a
    lower bound. Neighborhood attention counts as its definition has it, kernel * kernel keys for each query: its
    backends compute what they then mask, the dense one many times more. Upsampling and its convolution count as the
    2x2 convolutions that they come to, 4/9 of the products. Traffic is every parameter and x read once and the output
    written once.
    """
    with torch.device("meta"), torch.no_grad():
        network = build().to("meta")  # buffers may be drawn on the CPU
        for module in network.modules():
            if isinstance(module, HourglassTransformer):
                module.set_backend(windows_alone)
        x = torch.empty(shape)
        with FlopCounterMode(display=False) as counter:
            y = call(network, x)
    of_modules = {name.partition(".")[2]: sum(flops.values()) for name, flops in counter.get_flop_counts().items()}
    upsampling = [name for name, module in network.named_modules() if isinstance(module, NearestUpsample)]
    spared = sum(of_modules.get(name, 0) for name in upsampling) * 5 / 9
    values = sum(parameter.numel() for parameter in network.parameters()) + x.numel() + y.numel()
    return Need(counter.get_total_flops() - spared, values * dtype.itemsize, dtype)


def windows_alone(q: Tensor, k: Tensor, v: Tensor, window: Window, scale: float) -> Tensor:
    """The two products of neighborhood attention, (B, H, W, N, D) to the same shape: each query with as many keys as
    its window has, and nothing masked. For tensors without data: which keys they are does not matter here."""
    rows, keys, values = (rearrange(x, "b h w n d -> (b h w n) 1 d") for x in (q, k, v))
    keys, values = (x.expand(-1, window.kernel[0] * window.kernel[1], -1) for x in (keys, values))
    return torch.bmm(torch.bmm(rows, keys.transpose(1, 2)), values).view(v.shape)
