"""Enlarging what lies around the faces: Lanczos, or a super-resolution network of anybody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pmrf_blocks.restoration.foreign import read_network

TILE, OVERLAP = 512, 32  # pixels of the small picture that a network sees at a time, and what tiles share on each side


def enlarge_lanczos(image: Tensor, factor: int) -> Tensor:
    """(C, H, W) in [0, 1] enlarged `factor` times by Lanczos's kernel (Pillow's, in float32); the same at factor 1."""
    if factor == 1:
        return image
    height, width = image.shape[-2:]
    return resize_lanczos(image, height * factor, width * factor)


def resize_lanczos(image: Tensor, height: int, width: int) -> Tensor:
    """(C, H, W) in [0, 1] at another size, antialiased where it shrinks."""
    planes = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS))
        for plane in image.float().cpu().numpy()
    ]
    return torch.from_numpy(np.stack(planes)).clamp(0, 1)


class SuperResolution:
    """Enlarges by a super-resolution checkpoint of any architecture that spandrel knows, tile by tile.

    Arguments:
        path: .pth (read with weights_only=True) or .safetensors.

    Raises:
        WeightsError: spandrel is not installed, or the file is no such network.
    """

    def __init__(self, path: str | Path, device: str | torch.device = "cpu") -> None:
        self.network, self.device = read_network(path, device, wanted_by="--background FILE"), torch.device(device)

    @torch.no_grad()
    def __call__(self, image: Tensor, factor: int) -> Tensor:
        """(3, H, W) in [0, 1] enlarged `factor` times: by the network's own scale, then by Lanczos to the size."""
        height, width = image.shape[-2:]
        scale = self.network.scale
        large = torch.empty(3, height * scale, width * scale)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                y, x = max(0, top - OVERLAP), max(0, left - OVERLAP)
                bottom, right = min(height, top + TILE), min(width, left + TILE)
                part = image[None, :, y : min(height, bottom + OVERLAP), x : min(width, right + OVERLAP)]
                made = self.network(part.to(self.device, torch.float32))[0].float().cpu()
                rows = slice((top - y) * scale, (bottom - y) * scale)
                columns = slice((left - x) * scale, (right - x) * scale)
                large[:, top * scale : bottom * scale, left * scale : right * scale] = made[:, rows, columns]
        large = large.clamp(0, 1)
        return large if scale == factor else resize_lanczos(large, height * factor, width * factor)
