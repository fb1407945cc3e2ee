"""The FFHQ frame: where the five landmarks of an aligned face lie, and the similarity that brings them there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Face:
    """A face in a photograph, in pixels: x to the right, y down, (0, 0) the centre of the first pixel.

    Attributes:
        box: left, top, right, bottom, upright in the photograph.
        landmarks: (5, 2) float32.
        template: (5, 2), where an aligned crop has these landmarks, as shares of its side.
        score: the detector's, in 0..1.

    Examples:
        >>> eyes_nose_mouth = torch.tensor([[0.35, 0.45], [0.65, 0.45], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]])
        >>> face = Face((20, 10, 60, 60), landmarks=20 + 50 * eyes_nose_mouth, template=eyes_nose_mouth, score=0.9)
        >>> face.side, face.centre
        (50, (40.0, 35.0))
        >>> round(face.to_frame(100)[0, 0].item(), 4)  # a crop of 100 pixels enlarges twice
        2.0
    """

    box: tuple[float, float, float, float]
    landmarks: Tensor
    template: Tensor
    score: float

    @property
    def side(self) -> float:
        """Longer side of the box: what is meant by the size of a face."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)

    @property
    def centre(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    def to_frame(self, size: int) -> Tensor:
        """Similarity (2, 3) from the photograph's pixels to those of the aligned crop of `size` pixels squared."""
        return similarity(self.landmarks, self.template * size - 0.5)

    def scaled(self, factor: float) -> Face:
        """The same face in the photograph enlarged by `factor` (pixel areas scaled: centres move by half pixels)."""
        left, top, right, bottom = ((value + 0.5) * factor - 0.5 for value in self.box)
        landmarks = (self.landmarks + 0.5) * factor - 0.5
        return Face((left, top, right, bottom), landmarks, self.template, self.score)


def similarity(source: Tensor, target: Tensor) -> Tensor:
    """Rotation, uniform scale and translation (2, 3), float64, that bring points to points in the least squares.

    In the complex plane it is z -> a z + b, a = sum(conj(z - mean z) (w - mean w)) / sum |z - mean z|^2
    (Umeyama, 1991, without reflection).

    Arguments:
        source, target: (N, 2), x then y.

    Raises:
        ValueError: where all source points are one, or any is not finite.

    Examples:
        >>> source = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> similarity(source, 2 * source + 3).round(decimals=4).abs()  # scaled by 2, moved by 3
        tensor([[2., 0., 3.],
                [0., 2., 3.]], dtype=torch.float64)
    """
    z, w = (torch.view_as_complex(points.detach().double().cpu().contiguous()) for points in (source, target))
    dz, dw = z - z.mean(), w - w.mean()
    spread = (dz.abs() ** 2).sum()
    if not bool(torch.isfinite(spread)) or float(spread) < 1e-12:
        raise ValueError("landmarks that all fall on one point, or are not finite, have no frame")
    a = (dz.conj() * dw).sum() / spread
    b = w.mean() - a * z.mean()
    return torch.stack([torch.stack([a.real, -a.imag, b.real]), torch.stack([a.imag, a.real, b.imag])])


def inverse(matrix: Tensor) -> Tensor:
    """The inverse (2, 3) of an affine map (2, 3)."""
    linear = torch.linalg.inv(matrix[:, :2])
    return torch.cat([linear, -linear @ matrix[:, 2:]], 1)


def apply(matrix: Tensor, points: Tensor) -> Tensor:
    """Points (N, 2) through an affine map (2, 3), in the points' precision."""
    return (points.to(matrix) @ matrix[:, :2].T + matrix[:, 2]).to(points.dtype)


def scale_of(matrix: Tensor) -> float:
    """How much a similarity (2, 3) enlarges lengths."""
    return float(torch.linalg.det(matrix[:, :2]).abs().sqrt())
