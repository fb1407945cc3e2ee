"""Photographs that lie on their side or stand on their head."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pmrf_blocks.faces.frame import Face


def quarters_to_upright(face: Face) -> int:
    """By how many quarters, 0..3, torch.rot90 has to turn the photograph (C, H, W) for the face to stand upright."""
    matrix = face.to_frame(1)
    return round(-math.atan2(float(matrix[1, 0]), float(matrix[0, 0])) / (math.pi / 2)) % 4


def turned(image: Tensor, quarters: int) -> tuple[Tensor, Tensor]:
    """An image (C, H, W) turned as torch.rot90 turns it, and the map (2, 3) from its pixels to the turned one's."""
    height, width = image.shape[-2:]
    matrix = {
        0: [[1, 0, 0], [0, 1, 0]],
        1: [[0, 1, 0], [-1, 0, width - 1]],
        2: [[-1, 0, width - 1], [0, -1, height - 1]],
        3: [[0, -1, height - 1], [1, 0, 0]],
    }[quarters]
    return torch.rot90(image, quarters, (-2, -1)), torch.tensor(matrix, dtype=torch.float64)
