"""Table 1: autoencoders compared, by their reconstructions and as latent spaces of Latent-PMRF.

    python -m recipes.table1_vaes --data DIR --vgg19 FILE --estimator FILE       # as in the paper
    python -m recipes.table1_vaes --data DIR --scale small                       # at 64x64, on a processor

The first three rows are the published autoencoders of SD 1.5, SDXL and FLUX.1, read from the Hugging Face hub at the
paper's scale; at the smaller scales they are left out.
"""

from __future__ import annotations

from dataclasses import replace

from recipes.common.sizes import Scale
from recipes.common.stages import Flow, Network
from recipes.common.table_command import launch_table
from recipes.common.tables import Claim, Row, Table
from recipes.latent_pmrf import latent_pmrf
from recipes.sd_vae import sd_vae
from recipes.sim_vae import sim_vae

COLUMNS = ("PSNR", "LPIPS", "MMD-DINOv2")
SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5:vae"
SDXL = "stabilityai/stable-diffusion-xl-base-1.0:vae"
FLUX = "black-forest-labs/FLUX.1-schnell:vae"
# label, hub id, latent channels, the paper's numbers
PUBLISHED = (
    ("SD1.5-VAE f8c4", SD15, 4, (30.463, 0.044, 0.6931), (25.875, 0.231, 1.0302)),
    ("SDXL-VAE f8c4", SDXL, 4, (32.396, 0.039, 0.3973), (26.481, 0.263, 1.0286)),
    ("FLUX-VAE f8c16", FLUX, 16, (38.763, 0.008, 0.0675), (26.152, 0.245, 1.0565)),
)


def paper(reconstruction: tuple[float, ...], restoration: tuple[float, ...]) -> dict[str, dict[str, float]]:
    """The paper's numbers of a row: PSNR, LPIPS and MMD-DINOv2 of both parts."""
    return {
        "reconstruction": dict(zip(COLUMNS, reconstruction)),
        "restoration": dict(zip(COLUMNS, restoration)),
    }


def published_flow(scale: Scale, repo: str, channels: int) -> Flow | None:
    """Latent-PMRF on a published autoencoder."""
    if scale != "paper":
        return None
    network = Network("SDVAE", {**sd_vae(scale).network.arguments, "latent_channels": channels})
    return latent_pmrf(scale, replace(sd_vae(scale), network=network, published=repo))


def table1_vaes(scale: Scale = "paper") -> Table:
    note = "published weights of 512x512 images, which a hub holds"
    rows = [
        Row(label, published_flow(scale, repo, channels), paper(first, second), note)
        for label, repo, channels, first, second in PUBLISHED
    ]
    rows += [
        Row("SD-VAE f8c32", latent_pmrf(scale, sd_vae(scale)), paper((40.398, 0.015, 0.0986), (25.265, 0.222, 0.8938))),
        Row(
            "Sim-VAE f8c16",
            latent_pmrf(scale, sim_vae(scale, 16)),
            paper((37.903, 0.026, 0.0966), (26.441, 0.219, 0.8918)),
        ),
        Row("Sim-VAE f8c32", latent_pmrf(scale), paper((42.713, 0.007, 0.0511), (26.382, 0.224, 0.8770))),
    ]
    ours, theirs = "Sim-VAE f8c32", "SD-VAE f8c32"
    claims = (
        Claim(
            "Sim-VAE reconstructs better than SD-VAE of as many channels, in every score.",
            tuple(("reconstruction", score, (ours, theirs)) for score in ("psnr", "feature_distance", "mmd")),
        ),
        Claim(
            "Latent-PMRF restores better in Sim-VAE's latents than in SD-VAE's: PSNR and MMD.",
            tuple(("restoration", score, (ours, theirs)) for score in ("psnr", "mmd")),
        ),
        Claim(
            "Sim-VAE of 32 channels reconstructs better than of 16, in every score.",
            tuple(("reconstruction", score, (ours, "Sim-VAE f8c16")) for score in ("psnr", "feature_distance", "mmd")),
        ),
    )
    return Table("table1_vaes", "Table 1: comparison of VAEs", tuple(rows), claims)


if __name__ == "__main__":
    launch_table(table1_vaes, __doc__)
