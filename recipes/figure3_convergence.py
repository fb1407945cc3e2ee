"""Figures 1 and 3: Latent-PMRF converges faster than PMRF; the speed-up is read off the curves.

    python -m recipes.figure3_convergence --data DIR --vgg19 FILE --estimator FILE
    python -m recipes.figure3_convergence --data DIR --scale small

Both flows make as many updates of as large batches, on the same images, degradations and posterior means.
"""

from dataclasses import replace

from pmrf_blocks.experiments import CELEBA_TEST, Figure, Flow, Images, launch
from recipes import latent_pmrf, pmrf


def figure3(pixels: Flow, latents: Flow, pieces: int, faces: Images) -> Figure:
    return Figure(
        "figure3_convergence",
        "Figure 3: convergence of Latent-PMRF and of PMRF",
        slow=("PMRF", pixels),
        fast=("Latent-PMRF", latents),
        claim="Latent-PMRF reaches PMRF's last perceptual score sooner.",
        paper="5.79 times by FID, 5.33 times by DISTS, within 400k steps",
        pieces=pieces,
        faces=faces,
        about="The training of the autoencoder and of the estimator, done before, is not in these times; the paper "
        "leaves it out too. Encoding into latents is in them.",
    )


def equal(pixels: Flow) -> Flow:
    """PMRF has as many steps of as large batches as Latent-PMRF has (section 4.2)."""
    return replace(pixels, train=replace(pixels.train, steps=400_000, batch_size=64))


def paper() -> Figure:
    return figure3(equal(pmrf.paper()), latent_pmrf.paper(), 40, CELEBA_TEST)


def release() -> Figure:
    return figure3(equal(pmrf.release()), latent_pmrf.release(), 40, CELEBA_TEST)


def small() -> Figure:
    return figure3(pmrf.small(), latent_pmrf.small(), 6, Images("faces256/test", 64, held_out=True))


def debug() -> Figure:
    return figure3(pmrf.debug(), latent_pmrf.debug(), 2, Images("faces256/test", 32, held_out=True))


if __name__ == "__main__":
    launch(__doc__, paper=paper, release=release, small=small, debug=debug)
