"""compose(): a pipeline out of the names that configurations have for its parts."""

from __future__ import annotations

from typing import Any

from torch import nn

from pmrf_blocks.restoration.methods import ELIR, PMRF, LatentPMRF
from pmrf_blocks.restoration.pipelines import Pipeline
from pmrf_blocks.restoration.sources import DegradedSource, LatentMeanSource, NoiseSource, PosteriorMeanSource
from pmrf_blocks.restoration.spaces import Latents, Pixels

SOURCES = ("posterior-mean", "degraded", "noise", "mean-of-latents")
CONDITIONS = (None, "degraded", "posterior-mean")


def compose(
    source: str | nn.Module,
    *,
    condition: str | None = None,
    autoencoder: Any = None,
    estimator: Any = None,
    latent_estimator: Any = None,
    sample: bool = False,
    **settings: Any,
) -> Pipeline:
    """The pipeline that starts at `source` and sees `condition`: PMRF, LatentPMRF or ELIR where it is one of these.

    Arguments:
        source: one of SOURCES, or a module as those of sources.py.
        condition: one of CONDITIONS.
        autoencoder: whose latents the flow runs in; None: pixels.
        estimator, latent_estimator: what 'posterior-mean' and 'mean-of-latents' are estimated by.
        sample: latents are drawn from the posterior where a generator is given, as Latents has it.
        settings: Pipeline's velocity, size, source_noise, steps, solver.

    Raises ValueError for a name that is none, and for a sample in pixels or of ELIR.

    Examples:
        >>> from pmrf_blocks.transformers import HourglassTransformer, Level
        >>> levels = (Level(32, 1, head_dim=16, kernel_size=3),)
        >>> velocity = HourglassTransformer(levels=levels, patch_size=4, mapping_width=32)
        >>> pipeline = compose("degraded", velocity=velocity, size=32, source_noise=0.1)
        >>> pipeline.restore(torch.rand(1, 3, 32, 32), steps=2, seed=0).nfe
        2
    """
    for what, value, valid in (("source", source, SOURCES), ("condition", condition, CONDITIONS)):
        if not isinstance(value, nn.Module) and value not in valid:
            raise ValueError(f"{what} must be one of {', '.join(map(repr, valid))}; got {value!r}")
    if sample and (autoencoder is None or source == "mean-of-latents"):
        raise ValueError("sample: there are no latents that this flow starts from a draw of")
    match source, condition, autoencoder:
        case "posterior-mean", None, None:
            return PMRF(estimator=estimator, **settings)
        case "posterior-mean", None, _:
            return LatentPMRF(autoencoder=autoencoder, estimator=estimator, sample=sample, **settings)
        case "mean-of-latents", None, _:
            return ELIR(autoencoder=autoencoder, latent_estimator=latent_estimator, **settings)

    def part(written: str | nn.Module) -> nn.Module:
        if isinstance(written, nn.Module):
            return written
        if written == "posterior-mean":
            return PosteriorMeanSource(estimator)
        if written == "mean-of-latents":
            return LatentMeanSource(latent_estimator)
        return DegradedSource() if written == "degraded" else NoiseSource()

    return Pipeline(
        space=Pixels() if autoencoder is None else Latents(autoencoder, sample),
        source=part(source),
        condition=None if condition is None else part(condition),
        **settings,
    )
