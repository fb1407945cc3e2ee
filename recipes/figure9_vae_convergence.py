"""Figure 9: Latent-PMRF converges faster in Sim-VAE's latents than in FLUX-VAE's of as many channels (16).

    python -m recipes.figure9_vae_convergence --data DIR --vgg19 FILE --estimator FILE
    python -m recipes.figure9_vae_convergence --data DIR --scale small

At the paper's scale FLUX-VAE is the published one. At the smaller scales an SD-VAE f8c16, FLUX-VAE's architecture
trained as Sim-VAE is, stands in: it compares architectures alone.
"""

from dataclasses import replace

from pmrf_blocks.experiments import CELEBA_TEST, Autoencoder, Figure, Flow, Images, launch
from recipes import latent_pmrf, sd_vae, sim_vae


def sixteen(vae: Autoencoder) -> Autoencoder:
    """The autoencoder with 16 latent channels."""
    return replace(vae, network=vae.network.changed(latent_channels=16))


def figure9(slow: tuple[str, Flow], fast: Flow, pieces: int, faces: Images, about: str = "") -> Figure:
    return Figure(
        "figure9_vae_convergence",
        "Figure 9: convergence of Latent-PMRF on two VAEs",
        slow=slow,
        fast=("Sim-VAE f8c16", fast),
        claim="Latent-PMRF converges faster on Sim-VAE than on FLUX-VAE.",
        paper="curves without numbers",
        pieces=pieces,
        faces=faces,
        about=about,
    )


def paper() -> Figure:
    flow, faces = latent_pmrf.paper(), CELEBA_TEST
    flux = replace(sixteen(sd_vae.paper()), published="black-forest-labs/FLUX.1-schnell:vae")
    return figure9(("FLUX-VAE f8c16", flow.on(flux)), flow.on(sixteen(sim_vae.paper())), 40, faces)


def release() -> Figure:
    """Latent-PMRF as the release has it, in FLUX's latents and in those of its own Sim-VAE."""
    flow, (label, other) = latent_pmrf.release(), paper().slow
    assert other.autoencoder is not None
    return figure9((label, flow.on(other.autoencoder)), flow.on(sixteen(sim_vae.release())), 40, CELEBA_TEST)


def small() -> Figure:
    faces = Images("faces256/test", 64, held_out=True)
    flow, about = latent_pmrf.small(), "SD-VAE f8c16, FLUX-VAE's architecture trained here, stands in for FLUX-VAE."
    slow = ("SD-VAE f8c16", flow.on(sixteen(sd_vae.small())))
    return figure9(slow, flow.on(sixteen(sim_vae.small())), 6, faces, about)


def debug() -> Figure:
    faces = Images("faces256/test", 32, held_out=True)
    flow, about = latent_pmrf.debug(), "SD-VAE f8c16, FLUX-VAE's architecture trained here, stands in for FLUX-VAE."
    slow = ("SD-VAE f8c16", flow.on(sixteen(sd_vae.debug())))
    return figure9(slow, flow.on(sixteen(sim_vae.debug())), 2, faces, about)


if __name__ == "__main__":
    launch(__doc__, paper=paper, release=release, small=small, debug=debug)
