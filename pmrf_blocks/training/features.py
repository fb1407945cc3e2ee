"""The features by which the validation of a flow measures how far restored images are from originals, as sets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pmrf_blocks.metrics.registry import build_extractor
from pmrf_blocks.metrics.weights import Unavailable
from pmrf_blocks.training.processes import processes


def validation_features(
    inception: str | Path | None = None, device: str | torch.device | None = None
) -> dict[str, Callable[[Tensor], Tensor]]:
    """FlowTask's `features`: functions of images (B, 3, H, W) in [0, 1] to features (B, D), by the metric's name.

    Inception-v3's ('fid') where `inception` names its weights' file, else their stand-in, or none, said on stderr,
    where that package is missing. ValueError for a file that does not fit.
    """
    network, metric = ("inception", "fid") if inception else ("efficientnet_lite0", "fd_efficientnet_lite0")
    weights = {} if inception is None else {network: str(inception)}
    try:
        return {metric: build_extractor(network, weights=weights, device=processes(device).device).run}
    except Unavailable as error:
        if inception is not None:
            raise ValueError(f"--inception: {error}") from None
        print(f"validation without {metric}: {error}", file=sys.stderr)
        return {}
