"""Cutting an aligned face out of a photograph, and putting what a restorer made of it back."""

from __future__ import annotations

import torch
from torch import Tensor

from pmrf_blocks.faces.frame import inverse
from pmrf_blocks.faces.warping import source_part, warp

FEATHER = 0.12  # of the crop's side, over which the mask falls from 1 to 0


def crop_face(image: Tensor, matrix: Tensor, size: int) -> Tensor:
    """The aligned face (3, size, size) in [0, 1] of a photograph (3, H, W) in [0, 1].

    Arguments:
        matrix: (2, 3), from the photograph's pixels to the crop's: Face.to_frame(size).
        size: of the crop. Beyond the photograph's border it shows its reflection, as FFHQ's crops do.

    Examples:
        >>> image = torch.rand(3, 40, 60)
        >>> matrix = torch.tensor([[1.0, 0.0, -10.0], [0.0, 1.0, -5.0]])  # moves (10, 5) to the corner
        >>> torch.allclose(crop_face(image, matrix, 16), image[:, 5:21, 10:26], atol=1e-5)
        True
    """
    return warp(image, matrix, size, size).clamp(0, 1)


def feathered_mask(size: int, *, feather: float = FEATHER) -> Tensor:
    """(1, size, size): 1 in the middle, smoothly to 0 at all four sides over `feather` of the side.

    Examples:
        >>> mask = feathered_mask(16)
        >>> mask.shape[-2:], mask.max().item()
        (torch.Size([16, 16]), 1.0)
    """
    distance = torch.arange(size, dtype=torch.float64).add(0.5).div(size)
    ramp = (torch.minimum(distance, 1 - distance) / feather).clamp(0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return (ramp[:, None] * ramp[None, :]).float()[None]


def keep_mean_colour(restored: Tensor, crop: Tensor, mask: Tensor) -> Tensor:
    """`restored` (3, S, S) with each channel's mean under `mask` (1, S, S) that of `crop`."""
    weight = mask / mask.sum()
    shift = ((crop - restored) * weight).sum((-2, -1), keepdim=True)
    return restored + shift


def paste_face(image: Tensor, restored: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A photograph with a restored face in it: image + mask * warp(restored - crop(image)).

    The difference is what is warped back, not the face. A restorer that changes nothing gives a difference of exact
    zeros, so that the photograph comes back bit for bit. Detail of the photograph that is finer than the crop's pixels
    stays, and so does its grain: a pasted face has no visible edge of smoothness, and a sharp face loses nothing but
    what the restorer changed at its own resolution.

    Arguments:
        image: (3, H, W) in [0, 1].
        restored: (3, S, S) in [0, 1], the restorer's output for crop_face(image, matrix, S), or for the same crop of
            the photograph before it was enlarged.
        matrix: (2, 3), from the image's pixels to the crop's.

    Returns:
        The new image, clipped where it was changed, and the mask (1, H, W) in [0, 1]. Where the mask is 0 the image
        is what it was, bit for bit.

    Examples:
        >>> image = torch.rand(3, 40, 60)
        >>> matrix = torch.tensor([[1.0, 0.0, -10.0], [0.0, 1.0, -5.0]])
        >>> crop = crop_face(image, matrix, 16)
        >>> same, _ = paste_face(image, crop, matrix)
        >>> brighter, mask = paste_face(image, (crop + 0.1).clamp(0, 1), matrix)
        >>> torch.equal(same, image), torch.equal(brighter[:, mask[0] == 0], image[:, mask[0] == 0])
        (True, True)
    """
    size = restored.shape[-1]
    restored = restored.to(image)
    difference = restored - crop_face(image, matrix, size)
    feathered = feathered_mask(size).to(image)
    back = inverse(matrix.double())
    top, left, bottom, right = source_part(matrix, size, size, 1)
    top, left = max(top, 0), max(left, 0)
    bottom, right = min(bottom, image.shape[-2]), min(right, image.shape[-1])
    result, mask = image.clone(), image.new_zeros(1, *image.shape[-2:])
    if bottom <= top or right <= left:
        return result, mask
    shifted = back.clone()
    shifted[:, 2] -= torch.tensor([left, top], dtype=torch.float64)
    layers = warp(torch.cat([difference, feathered]), shifted, bottom - top, right - left, padding="zeros")
    part = (slice(None), slice(top, bottom), slice(left, right))
    # Bicubic kernels ring by some thousandths beyond the mask's edge; that is nothing to paste.
    weight = torch.where(layers[3:] < 1e-3, 0.0, layers[3:]).clamp(0, 1)
    mask[part] = weight
    old = image[part]
    change = weight * layers[:3]
    result[part] = torch.where(change == 0, old, (old + change).clamp(0, 1))
    return result, mask
