"""PMRF's baselines in pixels (Ohayon et al., 2025, section 5.2), as pipelines."""

from __future__ import annotations

from typing import Any

from torch import nn

from pmrf_blocks.restoration.pipelines import Pipeline
from pmrf_blocks.restoration.sources import DegradedSource, NoiseSource, PosteriorMeanSource
from pmrf_blocks.restoration.spaces import Pixels


def flow_from_degraded(*, velocity: nn.Module | None = None, source_noise: float, **settings: Any) -> Pipeline:
    """PMRF's baseline 'flow from y': from the degraded image plus noise, in pixels. `settings` are Pipeline's.

    Examples:
        >>> pipeline = flow_from_degraded(source_noise=0.1, size=32)  # not yet with a velocity
        >>> images = torch.rand(1, 3, 32, 32)
        >>> x0, condition = pipeline.start(images)
        >>> torch.equal(x0, images), condition is None
        (True, True)
    """
    return Pipeline(space=Pixels(), source=DegradedSource(), velocity=velocity, source_noise=source_noise, **settings)


def flow_conditioned_on_degraded(*, velocity: nn.Module | None = None, **settings: Any) -> Pipeline:
    """PMRF's baseline 'flow conditioned on y': from standard normal noise; the velocity sees the degraded image as
    three further channels. `settings` are Pipeline's.

    Examples:
        >>> images = torch.rand(1, 3, 32, 32)
        >>> pipeline = flow_conditioned_on_degraded(size=32)
        >>> x0, condition = pipeline.start(images)
        >>> pipeline.source_noise, float(x0.abs().max()), torch.equal(condition, images)
        (1.0, 0.0, True)
    """
    return Pipeline(
        space=Pixels(),
        source=NoiseSource(),
        condition=DegradedSource(),
        velocity=velocity,
        **{"source_noise": 1.0, **settings},
    )


def flow_conditioned_on_mean(*, estimator: nn.Module, velocity: nn.Module | None = None, **settings: Any) -> Pipeline:
    """PMRF's baseline 'flow conditioned on the posterior mean': as flow_conditioned_on_degraded(), but the velocity
    sees the estimator's posterior mean. `settings` are Pipeline's.

    Examples:
        >>> class Half(torch.nn.Module):
        ...     def forward(self, images):
        ...         return images / 2
        >>> images = torch.rand(1, 3, 32, 32)
        >>> _, condition = flow_conditioned_on_mean(estimator=Half(), size=32).start(images)
        >>> torch.equal(condition, images / 2)
        True
    """
    return Pipeline(
        space=Pixels(),
        source=NoiseSource(),
        condition=PosteriorMeanSource(estimator),
        velocity=velocity,
        **{"source_noise": 1.0, **settings},
    )
