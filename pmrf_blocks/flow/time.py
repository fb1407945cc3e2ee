"""Times at which a flow is trained."""

from __future__ import annotations

import torch
from torch import Tensor

DISTRIBUTIONS = ("uniform", "stratified", "logit-normal")


def sample_time(
    batch: int,
    *,
    distribution: str = "uniform",
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
    rank: int = 0,
    world_size: int = 1,
    mean: float = 0.0,
    std: float = 1.0,
) -> Tensor:
    """Times (B,) in [0, 1].

    'uniform' draws each alone. 'stratified' puts one time into each of batch * world_size equal intervals, in random
    order within a process, and gives process `rank` every world_size-th of them: less variance of the loss, as
    PMRF trains (k-diffusion's stratified uniform). 'logit-normal' is sigmoid(mean + std * n) (Esser et al., 2024).

    Raises ValueError for an unknown distribution, a batch below 1, or a rank outside 0..world_size - 1.

    Examples:
        >>> t = sample_time(8, generator=torch.Generator().manual_seed(0))
        >>> t.shape, bool(((t >= 0) & (t <= 1)).all())
        (torch.Size([8]), True)
    """
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution must be one of {', '.join(map(repr, DISTRIBUTIONS))}; got {distribution!r}")
    if batch < 1:
        raise ValueError(f"batch must be at least 1; got {batch}")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be in 0..{world_size - 1}; got {rank}")
    if distribution == "logit-normal":
        normal = torch.randn(batch, generator=generator, device=device, dtype=dtype)
        return torch.sigmoid(mean + std * normal)
    uniform = torch.rand(batch, generator=generator, device=device, dtype=dtype)
    if distribution == "uniform":
        return uniform
    stratum = torch.arange(batch, device=device) * world_size + rank
    order = torch.randperm(batch, generator=generator, device=device)
    return ((stratum[order] + uniform) / (batch * world_size)).to(dtype)
