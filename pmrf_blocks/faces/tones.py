"""The one colour of grey, sepia and otherwise toned photographs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
SMALL = 64  # pixels of the longer side at which the tone is looked for: noise and coded blocks are averaged away
TOLERANCE = 0.012  # root mean square distance from the curve, of 1
DEGREE = 3


@dataclass(frozen=True)
class Tone:
    """The curve from luma to RGB on which all colours of a toned photograph lie.

    `coefficients` (DEGREE + 1, 3), of luma's powers from 0; None is grey: red, green and blue are one. Beyond `range`,
    the luma that the curve was fitted to, it goes on straight.

    Examples:
        >>> ramp = torch.linspace(0, 1, 64).expand(64, 64)
        >>> sepia = torch.stack([ramp**0.8, ramp, ramp**1.2])
        >>> tone = Tone.of(sepia)
        >>> bool((tone.apply(sepia) - sepia).abs().mean() < 0.01), Tone.of(torch.rand(3, 64, 64)) is None
        (True, True)
    """

    coefficients: Tensor | None
    range: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def of(cls, image: Tensor) -> Tone | None:
        """The tone of a photograph (3, H, W) in [0, 1]; None where it has more colours than one curve can hold."""
        if bool((image[0] == image[1]).all()) and bool((image[0] == image[2]).all()):
            return cls(None)
        small = F.interpolate(image[None].float(), _small(image), mode="bilinear", antialias=True)[0]
        luma = _luma(small).flatten().double()
        powers = _powers(luma)
        colours = small.flatten(1).T.double()
        coefficients = torch.linalg.lstsq(powers, colours, driver="gelsd").solution
        if float((powers @ coefficients - colours).square().mean().sqrt()) > TOLERANCE:
            return None
        return cls(coefficients, (float(luma.min()), float(luma.max())))

    def apply(self, image: Tensor) -> Tensor:
        """An image (3, H, W) in [0, 1] with the luma that it has and the colours of the tone."""
        luma = _luma(image)
        if self.coefficients is None:
            return luma.expand(3, -1, -1)
        flat = luma.flatten().double()
        known = flat.clamp(*self.range)
        orders = torch.arange(1, DEGREE + 1, dtype=torch.float64)[:, None]
        slope = _powers(known)[:, :-1] @ (orders * self.coefficients[1:])
        colours = _powers(known) @ self.coefficients + (flat - known)[:, None] * slope
        return colours.T.reshape(image.shape).clamp(0, 1).to(image)


def _luma(image: Tensor) -> Tensor:
    return (image * image.new_tensor(LUMA)[:, None, None]).sum(0, keepdim=True)


def _powers(luma: Tensor) -> Tensor:
    return torch.stack([luma**power for power in range(DEGREE + 1)], 1)


def _small(image: Tensor) -> tuple[int, int]:
    scale = min(1.0, SMALL / max(image.shape[-2:]))
    return max(1, round(image.shape[-2] * scale)), max(1, round(image.shape[-1] * scale))
