"""Layer norm whose gradients stay right under autocast on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """nn.LayerNorm, in float32 where gradients are taken under autocast, as autocast does on CUDA.

    On a CPU autocast leaves it in bfloat16, and the gradients of weight and bias, sums over all pixels, are then
    accumulated in bfloat16: over the pixels of 16 images of 128x128 they came out half as large as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        """input (..., width) of any floating type; of input's type, or float32 under autocast."""
        half = input.requires_grad and not input.is_meta and torch.is_autocast_enabled(input.device.type)
        x = input.float() if half else input
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
