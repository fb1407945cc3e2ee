"""Stand-ins for a model and a detector, so that whole photographs can be restored without weights or network."""

import numpy as np
import torch
from PIL import Image

from pmrf_blocks.faces import Face
from pmrf_blocks.faces.yunet import TEMPLATE
from pmrf_blocks.restoration import Restored


class Brighter:
    """A restorer that makes crops brighter along x, redder and less blue; with 0 it gives them back."""

    size, steps, device = 32, 1, torch.device("cpu")

    def __init__(self, by: float = 0.0) -> None:
        self.by, self.seen, self.options = by, [], []

    def restore(self, images, **options):
        self.seen.append(len(images))
        self.options.append(options)
        colour = torch.tensor([1.0, 0.2, -0.6])[:, None, None]
        ramp = torch.linspace(-1, 1, images.shape[-1])
        changed = (images + self.by * colour * ramp).clamp(0, 1)
        return Restored(changed, changed, 1)


class Told:
    """A detector that finds the faces (x, y, side) that it was told, in whatever it is shown."""

    looks_again, smallest, largest, template = False, 10, 400, torch.tensor(TEMPLATE)

    def __init__(self, *faces: tuple[float, float, float]) -> None:
        self.faces = faces

    def __call__(self, image):
        return [
            Face(
                (x - side / 2, y - side / 2, x + side / 2, y + side / 2),
                (self.template - 0.5) * side / 0.75 + torch.tensor([x, y]),
                self.template,
                0.9,
            )
            for x, y, side in self.faces
        ]


def blurred(height: int, width: int) -> np.ndarray:
    """A picture of little detail, (height, width, 3) of uint8, which Brighter(0.3) changes by more than it has."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(20, 236, (height // 16, width // 16, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))
    return smooth + generator.integers(0, 20, (height, width, 3), dtype=np.uint8)
