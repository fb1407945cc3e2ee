"""YuNet (Wu et al., 2023), by kornia: a small network that gives boxes, five landmarks and scores."""

from __future__ import annotations

import contextlib
import io
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.faces.frame import Face

CONFIDENCE = 0.6
LEAST = 64  # pixels a side that the network's five halvings need
# Median landmarks that YuNet found in 243 FFHQ-aligned crops, made symmetric, as shares of the crop's side:
# left and right eye, nose, left and right corner of the mouth. GFPGAN's template lies 0.01 of the side from it.
TEMPLATE = ((0.3813, 0.4735), (0.6187, 0.4735), (0.5, 0.6178), (0.3974, 0.7265), (0.6026, 0.7265))


class YuNet:
    """Finds faces of about 10 to 400 pixels. Kornia takes the weights from torch's hub cache, or fetches 405 KB once.

    Raises whatever kornia's download raises where there are neither weights nor network.
    """

    looks_again, smallest, largest = True, 10, 400

    def __init__(self, device: str | torch.device = "cpu") -> None:
        from kornia.contrib import FaceDetector

        self.template = torch.tensor(TEMPLATE)
        self.device = torch.device(device)
        # What kornia says of each of six tries to download; whether it came is what counts, and is told by the error.
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            network = FaceDetector(confidence_threshold=CONFIDENCE)
        self.network = network.to(self.device).eval()

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[Face]:
        """Faces in (3, H, W) in [0, 1], the best first."""
        below = [max(0, LEAST - side) for side in image.shape[-2:]]
        image = F.pad(image[None] * 255.0, (0, below[1], 0, below[0])).to(self.device, torch.float32)
        rows = self.network(image)[0].cpu()
        return [
            Face((row[0].item(), row[1].item(), row[2].item(), row[3].item()), row[4:14].reshape(5, 2), self.template,
                 row[14].item())
            for row in rows
        ]  # fmt: skip
