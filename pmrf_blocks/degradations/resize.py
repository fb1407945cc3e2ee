"""Resizing as the published pipelines do it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.degradations.checks import check_images
from pmrf_blocks.degradations.module import DegradationModule

MODES = ("bilinear", "bicubic", "nearest-exact")


def resize(x: Tensor, height: int, width: int, mode: str = "bilinear") -> Tensor:
    """(B, C, H, W) to (B, C, height, width), pixel centres aligned at halves.

    'bilinear' does not antialias: OpenCV's INTER_LINEAR. 'bicubic' antialiases when shrinking, as PIL does.
    'nearest-exact' takes the pixel under each centre.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}; got {mode!r}")
    if height < 1 or width < 1:
        raise ValueError(f"height and width must be at least 1; got {height}, {width}")
    if (height, width) == tuple(x.shape[-2:]):
        return x
    if mode == "nearest-exact":
        return F.interpolate(x, (height, width), mode=mode)
    return F.interpolate(x, (height, width), mode=mode, align_corners=False, antialias=mode == "bicubic")


class Resize(DegradationModule):
    """Resize images (B, 3, H, W) in [0, 1] to (height, width), bilinear as OpenCV does; bicubic overshoot is clipped.

    Raises ValueError for an unknown mode, a size below 1, and images of another shape or dtype.

    Examples:
        >>> Resize(4, 6)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 4, 6])
    """

    def __init__(self, height: int, width: int, mode: str = "bilinear") -> None:
        super().__init__()
        self.height, self.width, self.mode = height, width, mode

    def forward(self, x: Tensor) -> Tensor:
        return resize(check_images(x), self.height, self.width, self.mode).clamp(0, 1)
