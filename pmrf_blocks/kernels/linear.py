"""Linear layers in inference on a CPU: in float32 by oneDNN's matrix product, and in halves where asked.

torch.nn.functional.linear asks MKL for them, which is 1.1 to 1.6 times slower on AMD's CPUs (docs/measurements.md).
"""

from __future__ import annotations

import platform
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.attention.scaled_dot_product import forward_mode
from pmrf_blocks.kernels.swap import Rule

LEAST = 2**24  # multiplications; of fewer, what an operator's call takes itself decides


class FastLinear(nn.Linear):
    """nn.Linear, equal up to rounding; training, other devices and other precisions go its own way."""

    plain_class = nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def halves(layer: nn.Linear, x: Tensor) -> tuple[Tensor, Tensor]:
    """layer(x) in two halves of its last axis, in inference.

    On a CPU each is a product of its own: what comes next goes through contiguous halves, and may overwrite them.
    Autocast would cast the weight at every call, since it keeps copies of whole weights alone.
    """
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        first, second = layer(x).chunk(2, -1)
        return first, second
    weights = layer.weight.chunk(2)
    biases = (None, None) if layer.bias is None else layer.bias.chunk(2)
    return linear(x, weights[0], biases[0]), linear(x, weights[1], biases[1])


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """torch.nn.functional.linear, by oneDNN where that is the faster way to the same result."""
    if not torch.is_grad_enabled() and suits_onednn(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN gives x @ weight.T, and faster: plain float32 tensors of a CPU, and enough work."""
    return (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == weight.device.type == "cpu"
        and x.numel() * weight.shape[0] >= LEAST
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and not any(map(torch._C._functorch.is_functorch_wrapped_tensor, (x, weight)))
        and not forward_mode(x, weight)
        and onednn_available()
    )


@cache
def onednn_available() -> bool:
    """Whether this build of torch has oneDNN's operator. Elsewhere than on x86 it was not timed."""
    there = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return there and platform.machine().lower() in ("x86_64", "amd64")


RULES = (Rule(FastLinear),)
