"""What a flow starts from, and what its velocity sees beside its state: modules of (degraded, space).

Any module of one's own with forward(degraded, space) -> x is as good. `degraded` is (B, 3, H, W) in [0, 1]; `space` is
the batch's BatchSpace; x is a point of that space, (B, C, h, w), before the source noise. A source that is saved keeps
each of its constructor's arguments in an attribute of the same name.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pmrf_blocks.restoration.errors import finite
from pmrf_blocks.restoration.spaces import Size, Space
from pmrf_blocks.seeding import Generators


class BatchSpace:
    """A pipeline's space as the sources of one batch see it: they share what they encode and estimate.

    Arguments:
        space: the pipeline's.
        tile: encode and decode this many pixels squared at a time; None does all at once.
        generator: for a space that draws; one, or one an image.
        check: raise NonFiniteError, naming the stage, where values stop being finite.

    `posterior_mean` is the first image (B, 3, H, W) that estimate() has made, None before.

    Examples:
        >>> class Counted(torch.nn.Module):
        ...     calls = 0
        ...     def forward(self, images):
        ...         self.calls += 1
        ...         return images
        >>> space, estimator, images = BatchSpace(Pixels()), Counted(), torch.rand(1, 3, 8, 8)
        >>> first, again = space.estimate(estimator, images), space.estimate(estimator, images)
        >>> estimator.calls, first is again is space.posterior_mean
        (1, True)
    """

    def __init__(
        self, space: Space, *, tile: int | None = None, generator: Generators = None, check: bool = True
    ) -> None:
        self.space, self.tile, self.generator, self.check = space, tile, generator, check
        self.posterior_mean: Tensor | None = None
        # The inputs are kept too: a number that names a tensor names another one when the first is gone.
        self._encoded: dict[int, tuple[Tensor, Tensor]] = {}
        self._estimated: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def encode(self, images: Tensor) -> Tensor:
        """The point of images (B, 3, H, W) in [0, 1]; the same tensor is encoded once."""
        if id(images) not in self._encoded:
            x = self.space.encode(images, tile=self.tile, generator=self.generator)
            self._encoded[id(images)] = (images, self._checked("encode", x))
        return self._encoded[id(images)][1]

    def decode(self, x: Tensor, size: Size) -> Tensor:
        """Images (B, 3, *size) of points, clipped to [0, 1]."""
        return self._checked("decode", self.space.decode(x, size, tile=self.tile)).clamp(0, 1)

    def estimate(self, estimator: Callable[[Tensor], Tensor], degraded: Tensor) -> Tensor:
        """The posterior mean by an estimator in pixels, clipped to [0, 1]; computed once a batch."""
        key = (id(estimator), id(degraded))
        if key not in self._estimated:
            mean = self._checked("posterior mean", estimator(degraded).float()).clamp(0, 1)
            self._estimated[key] = (degraded, mean)
            self.posterior_mean = mean if self.posterior_mean is None else self.posterior_mean
        return self._estimated[key][1]

    def _checked(self, stage: str, x: Tensor) -> Tensor:
        return finite(stage, x) if self.check else x


class PosteriorMeanSource(nn.Module):
    """The posterior mean E[X | Y], brought into the space: PMRF's source, and Latent-PMRF's E(f(y)) (section 3.1).

    `estimator` is a network from degraded images to their posterior mean, both in [0, 1].

    Examples:
        >>> source = PosteriorMeanSource(torch.nn.Identity())
        >>> images = torch.rand(1, 3, 8, 8)
        >>> torch.equal(source(images, BatchSpace(Pixels())), images)
        True
    """

    def __init__(self, estimator: nn.Module) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, degraded: Tensor, space: BatchSpace) -> Tensor:
        return space.encode(self.mean(degraded, space))

    def mean(self, degraded: Tensor, space: BatchSpace) -> Tensor:
        """The image of least squared error, (B, 3, H, W) in [0, 1]."""
        return space.estimate(self.estimator, degraded)


class LatentMeanSource(nn.Module):
    """The posterior mean of latents E[E(X) | E(Y)], estimated from the degraded image's latent: ELIR's source
    (appendix A.2, option 1). `latent_estimator` is a network of normalised latents (B, C, h, w), which it gives too.

    Examples:
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> space = BatchSpace(Latents(SimVAE(latent_channels=4, channels=(8, 16), blocks_per_level=1)))
        >>> source = LatentMeanSource(torch.nn.Identity())
        >>> images = torch.rand(1, 3, 16, 16)
        >>> source(images, space).shape, source.mean(images, space).shape
        (torch.Size([1, 4, 8, 8]), torch.Size([1, 3, 16, 16]))
    """

    def __init__(self, latent_estimator: nn.Module) -> None:
        super().__init__()
        self.latent_estimator = latent_estimator

    def forward(self, degraded: Tensor, space: BatchSpace) -> Tensor:
        return self.latent_estimator(space.encode(degraded)).float()

    def mean(self, degraded: Tensor, space: BatchSpace) -> Tensor:
        """The decoded mean of latents: the first stage's image, where there is no estimate in pixels."""
        return space.decode(self(degraded, space), (degraded.shape[-2], degraded.shape[-1]))


class DegradedSource(nn.Module):
    """The degraded image itself, brought into the space: PMRF's baseline "flow from y" (Ohayon et al., 2025, section
    5.2). Takes (B, 3, H, W) in [0, 1], gives a point of the space.

    Examples:
        >>> images = torch.rand(1, 3, 8, 8)
        >>> torch.equal(DegradedSource()(images, BatchSpace(Pixels())), images)
        True
    """

    def forward(self, degraded: Tensor, space: BatchSpace) -> Tensor:
        return space.encode(degraded)


class NoiseSource(nn.Module):
    """Zero, of the shape (B, C, h, w) that the degraded image has in the space: with source_noise 1 the flow starts
    from standard normal noise, as PMRF's conditional baselines do (Ohayon et al., 2025, section 5.2).

    Examples:
        >>> NoiseSource()(torch.rand(1, 3, 8, 8), BatchSpace(Pixels())).abs().max()  # source_noise is added later
        tensor(0.)
    """

    def forward(self, degraded: Tensor, space: BatchSpace) -> Tensor:
        return torch.zeros_like(space.encode(degraded))
