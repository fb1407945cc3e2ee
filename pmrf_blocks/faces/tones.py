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

    `coefficients` (DEGREE + 1, 3), of luma's powers from 0; None is grey: red, green and blue are one.
    """

    coefficients: Tensor | None

    @classmethod
    def of(cls, image: Tensor) -> Tone | None:
        """The tone of a photograph (3, H, W) in [0, 1]; None where it has more colours than one curve can hold."""
        if bool((image[0] == image[1]).all()) and bool((image[0] == image[2]).all()):
            return cls(None)
        small = F.interpolate(image[None].float(), _small(image), mode="bilinear", antialias=True)[0]
        powers = _powers(_luma(small))
        colours = small.flatten(1).T.double()
        coefficients = torch.linalg.lstsq(powers, colours, driver="gelsd").solution
        if float((powers @ coefficients - colours).square().mean().sqrt()) > TOLERANCE:
            return None
        return cls(coefficients)

    def apply(self, image: Tensor) -> Tensor:
        """An image (3, H, W) in [0, 1] with the luma that it has and the colours of the tone."""
        luma = _luma(image)
        if self.coefficients is None:
            return luma.expand(3, -1, -1)
        return (_powers(luma) @ self.coefficients).T.reshape(image.shape).clamp(0, 1).to(image)


def _luma(image: Tensor) -> Tensor:
    return (image * image.new_tensor(LUMA)[:, None, None]).sum(0, keepdim=True)


def _powers(luma: Tensor) -> Tensor:
    return torch.stack([luma.flatten().double() ** power for power in range(DEGREE + 1)], 1)


def _small(image: Tensor) -> tuple[int, int]:
    scale = min(1.0, SMALL / max(image.shape[-2:]))
    return max(1, round(image.shape[-2] * scale)), max(1, round(image.shape[-1] * scale))
