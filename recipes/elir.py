"""ELIR (Cohen et al., 2025), the concurrent work, as a baseline: a flow from the posterior mean of latents, trained by
consistency flow matching.

    python -m recipes.elir --data DIR --vgg19 FILE
    python -m recipes.elir --data DIR --scale small

Everything but the source and the loss is Latent-PMRF's, so that the two compare: the Sim-VAE, the velocity, data and
steps. The source is an RRDB's estimate of the mean latent plus noise of 0.1; the loss has five segments, dt 0.05, and
0.001 times the squared error of the decoded image. It ends with a whole pipeline.
"""

from dataclasses import replace

from pmrf_blocks.estimators import RRDB
from pmrf_blocks.experiments import Flow, LatentEstimator, Net, launch
from recipes import latent_pmrf


def elir(flow: Flow, rrdb: Net) -> Flow:
    """`flow`, which is Latent-PMRF, with ELIR's source, noise and loss. The estimator of the mean latent is trained
    as the one in pixels is."""
    assert flow.autoencoder is not None
    assert flow.estimator is not None
    own = flow.estimator
    latent = LatentEstimator(rrdb, flow.autoencoder, own.images, own.validation, own.train, own.degradation)
    return replace(
        flow,
        source="mean-of-latents",
        estimator=None,
        latent_estimator=latent,
        source_noise=0.1,
        loss="consistency",
        pixel_weight=0.001,
    )


def paper() -> Flow:
    return elir(latent_pmrf.paper(), Net(RRDB, channels=32, hidden=96, blocks=3))


def small() -> Flow:
    return elir(latent_pmrf.small(), Net(RRDB, channels=32, hidden=32, blocks=1))


def debug() -> Flow:
    return elir(latent_pmrf.debug(), Net(RRDB, channels=32, hidden=8, blocks=1))


if __name__ == "__main__":
    launch(__doc__, paper=paper, small=small, debug=debug)
