"""Appendix A.2: the latent of the posterior mean against the posterior mean of latents, as source of the flow; ELIR.

    python -m recipes.source_study --data DIR --vgg19 FILE --estimator FILE
    python -m recipes.source_study --data DIR --scale small

All rows share the Sim-VAE, the velocity's architecture, data and steps. The paper argues that the latent of the mean
decodes to the least-distortion image up to the autoencoder's own error, and that the mean of latents does not; it has
no numbers. So both sources are decoded and measured too, before any flow.
"""

from __future__ import annotations

from recipes.common.sizes import Scale
from recipes.common.table_command import launch_table
from recipes.common.tables import Claim, Row, Table
from recipes.elir import elir, mean_of_latents
from recipes.latent_pmrf import latent_pmrf
from recipes.posterior_mean import posterior_mean

OURS, THEIRS, ELIR = "latent of the mean (Latent-PMRF)", "mean of latents", "mean of latents, ELIR's loss and noise"


def source_study(scale: Scale = "paper") -> Table:
    rows = (
        Row("posterior mean", posterior_mean(scale)),
        Row(OURS, latent_pmrf(scale)),
        Row(THEIRS, mean_of_latents(scale)),
        Row(ELIR, elir(scale)),
    )
    claims = (
        Claim(
            "The latent of the mean decodes to less distortion than the mean of latents: PSNR of the source.",
            (("source", "psnr", (OURS, THEIRS)),),
        ),
        Claim(
            "A flow from the latent of the mean restores with less distortion: PSNR.",
            (("restoration", "psnr", (OURS, THEIRS)),),
        ),
        Claim(
            "ELIR loses fidelity against Latent-PMRF (section 5): PSNR.",
            (("restoration", "psnr", (OURS, ELIR)),),
        ),
    )
    return Table(
        "source_study", "Appendix A.2: what the latent flow starts from", rows, claims, ("source", "restoration")
    )


if __name__ == "__main__":
    launch_table(source_study, __doc__)
