"""How unbalanced an autoencoder's feature maps are (appendix B.1, figure 8).

Under group norm "certain regions in intermediate feature maps" take on "disproportionately high magnitudes"; a norm
of each pixel for itself keeps the maps balanced. Figure 8 shows it; here it is a number, for every layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pmrf_blocks.autoencoders.sim_vae import SimVAE

# Layers whose output is looked at: first convolution, residual blocks, attention, resizing layers; not the last
# convolutions, whose output is the latent (looked at for itself) and the image.
LAYERS = r"(conv_in|resnets\.\d+|attentions\.\d+|downsampler|upsampler)$"
LATENT = "latent"
SHARE = 0.01


@dataclass(frozen=True)
class Imbalance:
    """Of one layer's feature maps, as means over images.

    Arguments:
        layer: name of the layer, or 'latent' for the posterior's mode.
        peak: largest magnitude of a pixel over the median magnitude, at least 1; 1 in a map of equal magnitudes.
        share: part of the map's energy (sum of squared magnitudes) that its strongest 1 % of pixels hold (at least one
            pixel), in [0, 1]; 0.01 in a map of equal magnitudes.

    Examples:
        >>> even = Imbalance("decoder.conv_in", peak=1.0, share=0.01)  # a map of equal magnitudes
        >>> vae = SimVAE(latent_channels=4, channels=(8, 16), blocks_per_level=1)
        >>> measured = feature_balance(vae, torch.rand(1, 3, 32, 32) * 2 - 1)
        >>> all(one.peak >= even.peak for one in measured)
        True
    """

    layer: str
    peak: float
    share: float


def magnitudes(features: Tensor) -> Tensor:
    """Magnitude of every pixel of feature maps (B, C, h, w): root mean square over its channels, (B, h, w), float32."""
    return features.detach().float().square().mean(dim=1).sqrt()


def peak_over_median(maps: Tensor) -> Tensor:
    """Largest over median magnitude of maps (B, h, w): (B,). 1 where all is equal; infinite where most pixels are 0.

    Of an even number of pixels the median is the lower of the two in the middle.
    """
    flat = maps.flatten(1)
    peak, median = flat.amax(dim=1), flat.median(dim=1).values
    return torch.where(peak > 0, peak / median, torch.ones_like(peak))


def energy_share(maps: Tensor, share: float = SHARE) -> Tensor:
    """Part of the energy of maps (B, h, w) that the strongest `share` of their pixels, at least one, hold: (B,)."""
    energy = maps.flatten(1).square()
    count = max(1, round(share * energy.shape[1]))
    total = energy.sum(dim=1)
    return torch.where(total > 0, energy.topk(count, dim=1).values.sum(dim=1) / total, count / energy.shape[1])


@torch.no_grad()
def feature_magnitudes(model: SimVAE, images: Tensor, *, layers: str = LAYERS) -> dict[str, Tensor]:
    """Magnitudes (B, h, w) of every layer of `model` for images (B, 3, H, W) in [-1, 1], in the order of computation.

    Encodes to the posterior's mode, which is the entry 'latent', and decodes that. `layers` is a regular expression
    that is searched in the modules' names. ValueError where it matches none.

    Examples:
        >>> vae = SimVAE(latent_channels=4, channels=(16,), blocks_per_level=1).eval()
        >>> magnitudes = feature_magnitudes(vae, torch.zeros(1, 3, 8, 8))
        >>> magnitudes["encoder.conv_in"].shape
        torch.Size([1, 8, 8])
    """
    maps: dict[str, Tensor] = {}
    with _recording(model, layers, maps.__setitem__):
        z = model.encode(images).mode()
        maps[LATENT] = magnitudes(z)
        model.decode(z)
    return maps


def feature_balance(model: SimVAE, images: Tensor, *, layers: str = LAYERS, batch_size: int = 8) -> list[Imbalance]:
    """Imbalance of every layer of `model` over images (N, 3, H, W) in [-1, 1], in the order of computation.

    A batch at a time; each image counts the same. `layers` as in feature_magnitudes(). Raises ValueError for no image,
    a batch size below 1, and where `layers` matches none.

    Examples:
        >>> vae = SimVAE(latent_channels=4, channels=(16,), blocks_per_level=1).eval()
        >>> feature_balance(vae, torch.rand(2, 3, 8, 8))[0].layer
        'encoder.conv_in'
    """
    if len(images) == 0 or batch_size < 1:
        raise ValueError(f"images and batch_size must be at least 1; got {len(images)} and {batch_size}")
    peaks: dict[str, list[Tensor]] = {}
    shares: dict[str, list[Tensor]] = {}
    for batch in images.split(batch_size):
        for name, maps in feature_magnitudes(model, batch, layers=layers).items():
            peaks.setdefault(name, []).append(peak_over_median(maps))
            shares.setdefault(name, []).append(energy_share(maps))
    return [
        Imbalance(name, float(torch.cat(peaks[name]).mean()), float(torch.cat(shares[name]).mean())) for name in peaks
    ]


@contextmanager
def _recording(model: nn.Module, layers: str, record: Callable[[str, Tensor], None]) -> Iterator[None]:
    """While this lasts, every layer that matches gives its name and its output's magnitudes to `record`."""

    def hook(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, inputs, output: record(name, magnitudes(output))

    chosen = [(name, module) for name, module in model.named_modules() if re.search(layers, name)]
    if not chosen:
        raise ValueError(f"no layer's name matches {layers!r}")
    handles = [module.register_forward_hook(hook(name)) for name, module in chosen]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
