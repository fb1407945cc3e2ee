"""ELIR (Cohen et al., 2025), the concurrent work, as a baseline: a flow from the posterior mean of latents, trained by
consistency flow matching.

    python -m recipes.elir --data DIR --vgg19 FILE
    python -m recipes.elir --data DIR --scale small

Everything but the source and the loss is Latent-PMRF's, so that the two compare: the Sim-VAE, the velocity, data and
steps. The source is an RRDB's estimate of the mean latent plus noise of 0.1; the loss has five segments, dt 0.05, and
0.001 times the squared error of the decoded image.
"""

from __future__ import annotations

from dataclasses import replace

from recipes.common.launch import launch
from recipes.common.sizes import Scale, faces, validation
from recipes.common.stages import Autoencoder, Flow, LatentEstimator, Network
from recipes.latent_pmrf import latent_pmrf
from recipes.posterior_mean import posterior_mean
from recipes.sim_vae import sim_vae

RRDB = {
    "paper": {"hidden": 96, "blocks": 3},
    "small": {"hidden": 32, "blocks": 1},
    "debug": {"hidden": 8, "blocks": 1},
}


def latent_mean(scale: Scale = "paper", autoencoder: Autoencoder | None = None) -> LatentEstimator:
    """The posterior mean of latents, trained as long as the estimator in pixels."""
    autoencoder = sim_vae(scale) if autoencoder is None else autoencoder
    channels = autoencoder.network.arguments["latent_channels"]
    return LatentEstimator(
        network=Network("RRDB", {"channels": channels, **RRDB[scale]}),
        autoencoder=autoencoder,
        images=faces(scale),
        validation=validation(scale),
        train=posterior_mean(scale).train,
    )


def mean_of_latents(scale: Scale = "paper", autoencoder: Autoencoder | None = None) -> Flow:
    """Latent-PMRF with the other source of appendix A.2: the posterior mean of latents."""
    flow = latent_pmrf(scale, autoencoder)
    assert flow.autoencoder is not None
    return replace(
        flow, source="mean-of-latents", estimator=None, latent_estimator=latent_mean(scale, flow.autoencoder)
    )


def elir(scale: Scale = "paper") -> Flow:
    """ELIR on Latent-PMRF's networks."""
    return replace(mean_of_latents(scale), source_noise=0.1, loss="consistency", pixel_weight=0.001)


if __name__ == "__main__":
    launch(elir, __doc__)
