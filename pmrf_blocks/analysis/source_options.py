"""Option 1 against option 2 of appendix A.2: what should the latent flow start from?

Option 1 is the posterior mean of latents, E[E(X) | Y]; option 2, the paper's, the latent of the posterior mean,
E(E[X | Y]). Both need the posterior, here as weights over a finite set of images: draws of a known posterior with
equal weights, or finite_posterior(), which is exact for data that is that set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SourceOptions:
    """Both options on B observations; each tensor is (B,) float64, squared errors per element of an image.

    irreducible: the posterior's variance, E[|X - X*|^2 | Y].
    mean_of_latents: |D(E[E(X) | Y]) - X*|^2, the deviation of option 1.
    latent_of_mean: |D(E(X*)) - X*|^2, that of option 2: the reconstruction error of X*.
    latent_gap: |E[E(X) | Y] - E(X*)|^2 per element of a latent.
    latent_variance: E[|E(X) - E[E(X) | Y]|^2 | Y] per element of a latent, to hold latent_gap against.

    Examples:
        >>> images, posterior = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.5, 0.5]])
        >>> options = compare_sources(images, posterior, encode=lambda x: x, decode=lambda z: z)
        >>> options.means()["irreducible"], options.means()["latent_gap"]  # a linear encoder: both options are one
        (0.25, 0.0)
    """

    irreducible: Tensor
    mean_of_latents: Tensor
    latent_of_mean: Tensor
    latent_gap: Tensor
    latent_variance: Tensor

    def means(self) -> dict[str, float]:
        """Each averaged over the observations."""
        return {name: float(getattr(self, name).mean()) for name in self.__dataclass_fields__}


@torch.no_grad()
def compare_sources(images: Tensor, weights: Tensor, encode: Map, decode: Map, *, batch: int = 16) -> SourceOptions:
    """Measure both options.

    Arguments:
        images: what the posterior is made of, (N, ...), of any range that `encode` takes, such as [-1, 1].
        weights: (B, N), row b the posterior probabilities of the images given observation b.
        encode, decode: the autoencoder, deterministic. A clip belongs inside decode.
        batch: images at a time.

    Raises ValueError for weights that are no probabilities, and for decoded values that are not finite.

    Examples:
        >>> images, posterior = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.5, 0.5]])
        >>> options = compare_sources(images, posterior, encode=torch.square, decode=torch.sqrt)
        >>> options.latent_of_mean, options.mean_of_latents.round(decimals=4)
        (tensor([0.], dtype=torch.float64), tensor([0.0429], dtype=torch.float64))
    """
    if images.ndim < 2 or weights.ndim != 2 or weights.shape[1] != len(images) or len(weights) == 0:
        raise ValueError(f"weights must be (B, {len(images)}), one for each image; got {tuple(weights.shape)}")
    weights = weights.double()
    if bool((weights < 0).any()) or not torch.allclose(weights.sum(1), weights.new_ones(len(weights))):
        raise ValueError("weights must be at least 0, and each row must sum to 1")
    latents = torch.cat([encode(part) for part in images.split(batch)])
    means, codes = _average(weights, images), _average(weights, latents)
    of_means = torch.cat([encode(part) for part in means.to(images).split(batch)])

    def decoded(z: Tensor) -> Tensor:
        image = torch.cat([decode(part) for part in z.split(batch)])
        if not bool(torch.isfinite(image).all()):
            raise ValueError("the autoencoder gives values that are not finite")
        return image

    return SourceOptions(
        irreducible=_variance(weights, images, means),
        mean_of_latents=_error(decoded(codes.to(latents)), means),
        latent_of_mean=_error(decoded(of_means), means),
        latent_gap=_error(of_means, codes),
        latent_variance=_variance(weights, latents, codes),
    )


def finite_posterior(images: Tensor, observations: Tensor, degrade: Map, sigma: float, *, batch: int = 16) -> Tensor:
    """Posterior (B, N) float64 over `images` (N, ...), equally likely before, given `observations` (B, ...).

    An observation is degrade(image) + sigma * n, n standard normal; `degrade` is deterministic. Exact: Bayes' rule.
    Images are of any range, such as [0, 1]; sigma is in its unit. Raises ValueError for a sigma that is not positive,
    or observations of another shape than degrade gives.

    Examples:
        >>> images = torch.tensor([[0.0], [1.0], [1.0]])
        >>> finite_posterior(images, torch.tensor([[0.5]]), degrade=lambda x: x, sigma=0.1)  # as far from all of them
        tensor([[0.3333, 0.3333, 0.3333]], dtype=torch.float64)
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be positive; got {sigma}")
    clean = torch.cat([degrade(part) for part in images.split(batch)])
    if clean.shape[1:] != observations.shape[1:]:
        raise ValueError(
            f"observations must be (B, {', '.join(map(str, clean.shape[1:]))}), as degrade gives; "
            f"got {tuple(observations.shape)}"
        )
    a, b = (x.double().flatten(1) for x in (observations, clean))
    squared = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
    return torch.softmax(-squared / (2.0 * sigma**2), dim=1)


def perplexity(weights: Tensor) -> Tensor:
    """exp of the entropy of each row (B, N) -> (B,): how many images the posterior leaves in play, 1 to N.

    Examples:
        >>> perplexity(torch.full((1, 4), 0.25))  # how many images a posterior is spread over
        tensor([4.], dtype=torch.float64)
    """
    weights = weights.double()
    return torch.special.entr(weights).sum(1).exp()


def _average(weights: Tensor, x: Tensor) -> Tensor:
    return (weights @ x.double().flatten(1)).unflatten(1, x.shape[1:])


def _variance(weights: Tensor, x: Tensor, mean: Tensor) -> Tensor:
    """Sum over i of weights_i |x_i - mean|^2, (B,), per element: a difference of means of squares loses digits."""
    flat = x.double().flatten(1)
    squared = torch.cdist(mean.double().flatten(1), flat, compute_mode="donot_use_mm_for_euclid_dist").square()
    return (weights * squared).sum(1) / flat.shape[1]


def _error(x: Tensor, y: Tensor) -> Tensor:
    return (x.double() - y.double()).flatten(1).square().mean(1)
