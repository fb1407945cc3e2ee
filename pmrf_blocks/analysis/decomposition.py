"""Theorem 2, measured: where the squared error of Latent-PMRF comes from (section 3.2.2, appendix A.4).

X is the original, X* the posterior mean, (E, D) an autoencoder, T a transport of latents and X^ = D(T(E(X*))). Squared
errors are per element (|.|^2 divided by the number of an image's elements), so that they are what PSNR is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]
ROUNDING = 1e-10  # of float64 sums over an image, with room to spare


@dataclass(frozen=True)
class Decomposition:
    """Terms of theorem 2, each (B,) float64: total = reconstruction + transport + 2 inner, image by image.

    total: |X* - X^|^2, computed by itself.
    reconstruction: |X* - D(E(X*))|^2, the inherent reconstruction error.
    transport: |D(E(X*)) - X^|^2, the transport error.
    inner: <X* - D(E(X*)), D(E(X*)) - X^>.
    restored: X^ (B, ...).

    Examples:
        >>> terms = decompose(torch.ones(1, 3, 4, 4), lambda x: x, lambda z: 0.5 * z, lambda z: z + 1)
        >>> terms.means()
        {'total': 0.0, 'reconstruction': 0.25, 'transport': 0.25, 'inner': -0.25}
    """

    total: Tensor
    reconstruction: Tensor
    transport: Tensor
    inner: Tensor
    restored: Tensor

    @property
    def residual(self) -> float:
        """Largest |total - (reconstruction + transport + 2 inner)| of an image, relative to the terms' own size."""
        size = (self.total + self.reconstruction + self.transport).clamp(min=torch.finfo(torch.float64).tiny)
        return float(((self.total - self.reconstruction - self.transport - 2.0 * self.inner).abs() / size).max())

    def means(self) -> dict[str, float]:
        """Each term averaged over the images."""
        return {name: float(getattr(self, name).mean()) for name in ("total", "reconstruction", "transport", "inner")}


@torch.no_grad()
def decompose(mean: Tensor, encode: Map, decode: Map, transport: Map, *, batch: int = 16) -> Decomposition:
    """Measure theorem 2 on posterior means.

    Arguments:
        mean: posterior means X* (B, ...).
        encode, decode: the autoencoder; decode gives images of the shape of `mean`. A clip belongs inside decode.
        transport: latents to latents, such as a flow integrated from 0 to 1.
        batch: images at a time.

    ValueError where shapes do not fit or a value is not finite; ArithmeticError where the sum misses the left side by
    more than rounding.

    Examples:
        >>> half = decompose(torch.ones(1, 3, 4, 4), lambda x: x, lambda z: z, lambda z: 0.5 * z)
        >>> half.reconstruction, half.transport
        (tensor([0.], dtype=torch.float64), tensor([0.2500], dtype=torch.float64))
    """
    if mean.ndim < 2 or len(mean) == 0:
        raise ValueError(f"mean must hold at least one image, (B, ...); got {tuple(mean.shape)}")
    terms, images = [], []
    for part in mean.split(batch):
        latent = encode(part)
        through, restored = decode(latent), decode(transport(latent))
        for name, image in (("decode(encode(mean))", through), ("decode(transport(encode(mean)))", restored)):
            if image.shape != part.shape:
                raise ValueError(f"{name} must be {tuple(part.shape)} as mean is; got {tuple(image.shape)}")
            if not bool(torch.isfinite(image).all()):
                raise ValueError(f"{name} is not finite")
        lost, moved = _flat(part) - _flat(through), _flat(through) - _flat(restored)
        left = (_flat(part) - _flat(restored)).square().mean(1)
        terms.append(torch.stack([left, lost.square().mean(1), moved.square().mean(1), (lost * moved).mean(1)]))
        images.append(restored)
    total, reconstruction, transported, inner = torch.cat(terms, dim=1)
    result = Decomposition(total, reconstruction, transported, inner, torch.cat(images))
    if not result.residual <= ROUNDING:
        raise ArithmeticError(f"the terms of theorem 2 miss their sum by {result.residual:.1e}, more than rounding")
    return result


@dataclass(frozen=True)
class Distortion:
    """Terms of eq. 4, each (B,) float64: total = irreducible + optimizable + 2 cross.

    total: |X - X^|^2.
    irreducible: |X - X*|^2, D* on average.
    optimizable: |X* - X^|^2, the left side of theorem 2.
    cross: <X - X*, X* - X^>. Zero on average where X* is the true posterior mean (orthogonality); what is left tells
        how far an estimator is from it.

    Examples:
        >>> target, mean = torch.rand(2, 2, 3, 4, 4)
        >>> split_distortion(target, mean, mean).means()["optimizable"]  # only what is irreducible is left
        0.0
    """

    total: Tensor
    irreducible: Tensor
    optimizable: Tensor
    cross: Tensor

    def means(self) -> dict[str, float]:
        """Each term averaged over the images."""
        return {name: float(getattr(self, name).mean()) for name in ("total", "irreducible", "optimizable", "cross")}

    def cross_error(self) -> float:
        """Standard error of the mean of `cross`; nan for one image."""
        return float(self.cross.std() / len(self.cross) ** 0.5)


def split_distortion(target: Tensor, mean: Tensor, restored: Tensor) -> Distortion:
    """Eq. 4 on originals, posterior means and restored images of one shape (B, ...), of one range, such as [0, 1].

    Raises ValueError for several shapes.

    Examples:
        >>> target, mean, restored = torch.rand(3, 2, 3, 4, 4)
        >>> parts = split_distortion(target, mean, restored)
        >>> torch.allclose(parts.total, parts.irreducible + parts.optimizable + 2 * parts.cross)
        True
    """
    if not target.shape == mean.shape == restored.shape or target.ndim < 2:
        shapes = ", ".join(str(tuple(x.shape)) for x in (target, mean, restored))
        raise ValueError(f"target, mean and restored must have one shape (B, ...); got {shapes}")
    missed, moved = _flat(target) - _flat(mean), _flat(mean) - _flat(restored)
    total = (_flat(target) - _flat(restored)).square().mean(1)
    return Distortion(total, missed.square().mean(1), moved.square().mean(1), (missed * moved).mean(1))


def _flat(x: Tensor) -> Tensor:
    return x.double().flatten(1)
