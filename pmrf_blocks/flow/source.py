"""Source distributions: what a flow starts from."""

from __future__ import annotations

import torch
from torch import Tensor


def add_source_noise(x: Tensor, sigma: float, generator: torch.Generator | None = None) -> Tensor:
    """x + sigma * n with n standard normal, of x's shape.

    PMRF starts from the posterior mean plus noise (sigma 0.1 for blind faces), because a deterministic source and
    target of other dimension cannot be joined by a smooth map (Ohayon et al., 2025, section 3.2). Latent-PMRF starts
    from the latent of the posterior mean, with sigma 0 (section 3.1). Raises ValueError for a sigma below 0.

    Examples:
        >>> add_source_noise(torch.zeros(2, 4, 8, 8), 0.1, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 4, 8, 8])
    """
    if sigma < 0:
        raise ValueError(f"sigma must be at least 0; got {sigma}")
    if sigma == 0:
        return x
    return x + sigma * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
