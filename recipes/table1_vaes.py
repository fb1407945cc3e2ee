"""Table 1: autoencoders compared, by their reconstructions and as latent spaces of Latent-PMRF.

    python -m recipes.table1_vaes --data DIR --vgg19 FILE --estimator FILE       # as in the paper
    python -m recipes.table1_vaes --data DIR --scale small                       # at 64x64, on a CPU

The first three rows are the published autoencoders of SD 1.5, SDXL and FLUX.1, read from the Hugging Face hub at the
paper's scale; at the smaller scales they are left out.
"""

from dataclasses import replace

from pmrf_blocks.experiments import CELEBA_TEST, Autoencoder, Claim, Flow, Images, Row, Table, launch
from recipes import latent_pmrf, sd_vae, table3_channels

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5:vae"
SDXL = "stabilityai/stable-diffusion-xl-base-1.0:vae"
FLUX = "black-forest-labs/FLUX.1-schnell:vae"


def numbers(reconstruction: tuple[float, ...], restoration: tuple[float, ...]) -> dict[str, dict[str, float]]:
    """The paper's numbers of a row: PSNR, LPIPS and MMD-DINOv2 of both parts."""
    columns = ("PSNR", "LPIPS", "MMD-DINOv2")
    return {"reconstruction": dict(zip(columns, reconstruction)), "restoration": dict(zip(columns, restoration))}


def table1(ours: Flow, ours16: Flow, theirs: Flow, published: dict[str, Flow], faces: Images) -> Table:
    """Latent-PMRF in Sim-VAE's latents, of 32 and of 16 channels, in SD-VAE's, and in published ones'."""
    note = "published weights of 512x512 images, which a hub holds"
    sd15, sdxl, flux = map(published.get, (SD15, SDXL, FLUX))
    rows = (
        Row("SD1.5-VAE f8c4", sd15, numbers((30.463, 0.044, 0.6931), (25.875, 0.231, 1.0302)), note),
        Row("SDXL-VAE f8c4", sdxl, numbers((32.396, 0.039, 0.3973), (26.481, 0.263, 1.0286)), note),
        Row("FLUX-VAE f8c16", flux, numbers((38.763, 0.008, 0.0675), (26.152, 0.245, 1.0565)), note),
        Row("SD-VAE f8c32", theirs, numbers((40.398, 0.015, 0.0986), (25.265, 0.222, 0.8938))),
        Row("Sim-VAE f8c16", ours16, numbers((37.903, 0.026, 0.0966), (26.441, 0.219, 0.8918))),
        Row("Sim-VAE f8c32", ours, numbers((42.713, 0.007, 0.0511), (26.382, 0.224, 0.8770))),
    )
    both = ("Sim-VAE f8c32", "SD-VAE f8c32")
    claims = (
        Claim(
            "Sim-VAE reconstructs better than SD-VAE of as many channels, in every score.",
            tuple(("reconstruction", score, both) for score in ("psnr", "feature_distance", "mmd")),
        ),
        Claim(
            "Latent-PMRF restores better in Sim-VAE's latents than in SD-VAE's: PSNR and MMD.",
            tuple(("restoration", score, both) for score in ("psnr", "mmd")),
        ),
        Claim(
            "Sim-VAE of 32 channels reconstructs better than of 16, in every score.",
            tuple(
                ("reconstruction", score, ("Sim-VAE f8c32", "Sim-VAE f8c16"))
                for score in ("psnr", "feature_distance", "mmd")
            ),
        ),
    )
    return Table("table1_vaes", "Table 1: comparison of VAEs", rows, claims, faces)


def on_published(flow: Flow, repo: str, channels: int) -> Flow:
    """Latent-PMRF on a published autoencoder."""
    theirs = sd_vae.paper()
    return flow.on(replace(theirs, network=theirs.network.changed(latent_channels=channels), published=repo))


def beside_published(flow: Flow, theirs: Autoencoder) -> Table:
    published = {repo: on_published(flow, repo, channels) for repo, channels in ((SD15, 4), (SDXL, 4), (FLUX, 16))}
    return table1(flow, table3_channels.with_channels(flow, 16), flow.on(theirs), published, CELEBA_TEST)


def paper() -> Table:
    return beside_published(latent_pmrf.paper(), sd_vae.paper())


def release() -> Table:
    return beside_published(latent_pmrf.release(), sd_vae.release())


def small() -> Table:
    flow, faces = latent_pmrf.small(), Images("faces256/test", 64, held_out=True)
    return table1(flow, table3_channels.with_channels(flow, 16), flow.on(sd_vae.small()), {}, faces)


def debug() -> Table:
    flow, faces = latent_pmrf.debug(), Images("faces256/test", 32, held_out=True)
    return table1(flow, table3_channels.with_channels(flow, 16), flow.on(sd_vae.debug()), {}, faces)


if __name__ == "__main__":
    launch(__doc__, paper=paper, release=release, small=small, debug=debug)
