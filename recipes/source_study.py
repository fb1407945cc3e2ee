"""Appendix A.2: the latent of the posterior mean against the posterior mean of latents, as source of the flow; ELIR.

    python -m recipes.source_study --data DIR --vgg19 FILE --estimator FILE
    python -m recipes.source_study --data DIR --scale small

All rows share the Sim-VAE, the velocity's architecture, data and steps. The paper argues that the latent of the mean
decodes to the least-distortion image up to the autoencoder's own error, and that the mean of latents does not; it has
no numbers. So both sources are decoded and measured too, before any flow.
"""

from dataclasses import replace

from pmrf_blocks.experiments import CELEBA_TEST, Claim, Flow, Images, Row, Table, launch
from recipes import elir, latent_pmrf


def source_study(ours: Flow, theirs: Flow, faces: Images) -> Table:
    """`ours` is Latent-PMRF, `theirs` ELIR; between them, ELIR's source with Latent-PMRF's loss and no noise."""
    latent_of_mean, mean = "latent of the mean (Latent-PMRF)", "mean of latents"
    whole = "mean of latents, ELIR's loss and noise"
    rows = (
        Row("posterior mean", ours.estimator),
        Row(latent_of_mean, ours),
        Row(mean, replace(theirs, source_noise=ours.source_noise, loss=ours.loss, pixel_weight=ours.pixel_weight)),
        Row(whole, theirs),
    )
    claims = (
        Claim(
            "The latent of the mean decodes to less distortion than the mean of latents: PSNR of the source.",
            (("source", "psnr", (latent_of_mean, mean)),),
        ),
        Claim(
            "A flow from the latent of the mean restores with less distortion: PSNR.",
            (("restoration", "psnr", (latent_of_mean, mean)),),
        ),
        Claim(
            "ELIR loses fidelity against Latent-PMRF (section 5): PSNR.",
            (("restoration", "psnr", (latent_of_mean, whole)),),
        ),
    )
    title = "Appendix A.2: what the latent flow starts from"
    return Table("source_study", title, rows, claims, faces, ("source", "restoration"))


def paper() -> Table:
    return source_study(latent_pmrf.paper(), elir.paper(), CELEBA_TEST)


def small() -> Table:
    return source_study(latent_pmrf.small(), elir.small(), Images("faces256/test", 64, held_out=True))


def debug() -> Table:
    return source_study(latent_pmrf.debug(), elir.debug(), Images("faces256/test", 32, held_out=True))


if __name__ == "__main__":
    launch(__doc__, paper=paper, small=small, debug=debug)
