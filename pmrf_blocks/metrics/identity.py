"""Identity: the angle between the face embeddings of an image and its reference."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pmrf_blocks.metrics.checks import check_pair, to_double


def identity_degrees(x: Tensor, y: Tensor, embedder: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Angle between embeddings in degrees, (B,), float64, in [0, 180]: 'Deg' of the paper's table 4.

    Arguments:
        x, y: embeddings (B, D); with an embedder, images (B, 3, H, W) in [0, 1].
        embedder: any function from images to embeddings (B, D).

    A zero embedding, or one that is not finite, has no direction: ValueError.

    Examples:
        >>> x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])  # embeddings
        >>> identity_degrees(x, y)
        tensor([90.], dtype=torch.float64)
    """
    if embedder is not None:
        x, y = (embedder(images) for images in check_pair(x, y))
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"embeddings must be two (B, D) of one shape; got {tuple(x.shape)} and {tuple(y.shape)}")
    a, b = to_double(x), to_double(y)
    lengths = torch.stack((a.norm(dim=1), b.norm(dim=1)))
    if not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
        raise ValueError("embeddings must be finite and not zero: there is no angle to a vector without direction")
    a, b = a / lengths[0, :, None], b / lengths[1, :, None]
    # Kahan's formula: the arc cosine of the inner product loses half of the digits at small angles.
    return torch.rad2deg(2.0 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1)))
