"""Figure 9: Latent-PMRF converges faster in Sim-VAE's latents than in FLUX-VAE's of as many channels (16).

    python -m recipes.figure9_vae_convergence --data DIR --vgg19 FILE --estimator FILE
    python -m recipes.figure9_vae_convergence --data DIR --scale small

At the paper's scale FLUX-VAE is the published one. At the smaller scales an SD-VAE f8c16, FLUX-VAE's architecture
trained as Sim-VAE is, stands in: it compares architectures alone.
"""

from __future__ import annotations

from recipes.common.curves import Figure
from recipes.common.sizes import Scale
from recipes.common.table_command import launch_figure
from recipes.figure3_convergence import PIECES
from recipes.latent_pmrf import latent_pmrf
from recipes.sd_vae import sd_vae
from recipes.sim_vae import sim_vae
from recipes.table1_vaes import FLUX, published_flow


def figure9_vae_convergence(scale: Scale = "paper") -> Figure:
    published = published_flow(scale, FLUX, 16)
    slow = ("SD-VAE f8c16", latent_pmrf(scale, sd_vae(scale, 16)))
    return Figure(
        "figure9_vae_convergence",
        "Figure 9: convergence of Latent-PMRF on two VAEs",
        slow=slow if published is None else ("FLUX-VAE f8c16", published),
        fast=("Sim-VAE f8c16", latent_pmrf(scale, sim_vae(scale, 16))),
        claim="Latent-PMRF converges faster on Sim-VAE than on FLUX-VAE.",
        paper="curves without numbers",
        pieces=PIECES[scale],
        about="" if published else "SD-VAE f8c16, FLUX-VAE's architecture trained here, stands in for FLUX-VAE.",
    )


if __name__ == "__main__":
    launch_figure(figure9_vae_convergence, __doc__)
