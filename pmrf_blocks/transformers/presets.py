"""The published velocity models by name."""

from __future__ import annotations

from typing import Any

from pmrf_blocks.transformers.block import Level
from pmrf_blocks.transformers.hourglass import HourglassTransformer


def pmrf_hdit(**changes: Any) -> HourglassTransformer:
    """PMRF's blind-face model (Ohayon et al., 2025): pixels, patch 4, 160.46 M parameters with the unused
    augmentation embedding, 159.87 M without (augmentation=False).

    Examples:
        >>> with torch.device("meta"):
        ...     round(sum(p.numel() for p in pmrf_hdit().parameters()) / 1e6, 1)  # millions
        160.5
    """
    arguments: dict[str, Any] = {"augmentation": True}
    return HourglassTransformer(**{**arguments, **changes})


def pmrf_controlled_hdit(*, condition_channels: int = 0, **changes: Any) -> HourglassTransformer:
    """The model of PMRF's controlled experiments at 256x256: two levels, 121.54 M parameters.

    `condition_channels` of the condition that is concatenated to x_t in the conditioned baselines: 3 for a flow
    conditioned on the degraded image or on the posterior mean, 0 for PMRF itself and for the flow from y.

    Examples:
        >>> with torch.device("meta"):
        ...     pmrf_controlled_hdit(condition_channels=3).in_channels
        6
    """
    arguments: dict[str, Any] = {
        "in_channels": 3 + condition_channels,
        "out_channels": 3,
        "levels": (Level(384, 2), Level(768, 11, "global")),
        "augmentation": True,
    }
    return HourglassTransformer(**{**arguments, **changes})


def latent_pmrf_hdit(**changes: Any) -> HourglassTransformer:
    """Latent-PMRF's model (section 4.1): latents of 32 channels, patch 1, depths 2, 4, 6, depth-wise convolutions;
    151.2 M parameters in the paper's table 4, whose exact widths are not published.

    Examples:
        >>> with torch.device("meta"):
        ...     round(sum(p.numel() for p in latent_pmrf_hdit().parameters()) / 1e6, 1)  # millions
        150.5
    """
    arguments: dict[str, Any] = {
        "in_channels": 32,
        "patch_size": 1,
        "levels": (Level(256, 2), Level(512, 4), Level(1024, 6, "global")),
        "cosine": False,
        "depthwise": True,
        "split": "conv",
    }
    return HourglassTransformer(**{**arguments, **changes})


PRESETS = {"pmrf": pmrf_hdit, "pmrf-controlled": pmrf_controlled_hdit, "latent-pmrf": latent_pmrf_hdit}
