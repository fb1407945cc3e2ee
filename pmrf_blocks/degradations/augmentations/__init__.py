"""Degradations as augmentations of kornia, for its containers. Importing this imports kornia.

Each takes images (B, 3, H, W) or (3, H, W) in [0, 1] and kornia's arguments: `p`, the probability of every image to be
degraded; `same_on_batch`, one draw for all images; `keepdim`, whether (3, H, W) stays so. Whatever is random is in the
parameters, a row an image: `augmentation(x, params=augmentation._params)` does the same again. Draws come from
`generator`, or from PyTorch's global generator as everywhere in kornia: after torch.manual_seed(0), RandomBlindFace()
gives the pixels of BlindFaceDegradation with torch.Generator().manual_seed(0).

The target follows in PairSequential (data keys "input" and "image"), and in kornia's own containers under the key
"mask". kornia itself takes "input" and "image" for one key, and would degrade both.

base.py       RandomDegradation, for one of one's own
pipelines.py  RandomBlindFace and PMRF's four controlled degradations
operators.py  single steps: RandomJPEG, RandomGaussianBlur, ...
pair.py       PairSequential
"""

from pmrf_blocks.degradations.augmentations.base import RandomDegradation
from pmrf_blocks.degradations.augmentations.operators import (
    RandomDownscale,
    RandomGaussianBlur,
    RandomGaussianNoise,
    RandomGreyscale,
    RandomJPEG,
    RandomMask,
)
from pmrf_blocks.degradations.augmentations.pair import PairSequential
from pmrf_blocks.degradations.augmentations.pipelines import (
    RandomBlindFace,
    RandomColourisation,
    RandomDenoising,
    RandomInpainting,
    RandomSuperResolution,
)

__all__ = [
    "PairSequential",
    "RandomBlindFace",
    "RandomColourisation",
    "RandomDegradation",
    "RandomDenoising",
    "RandomDownscale",
    "RandomGaussianBlur",
    "RandomGaussianNoise",
    "RandomGreyscale",
    "RandomInpainting",
    "RandomJPEG",
    "RandomMask",
    "RandomSuperResolution",
]
