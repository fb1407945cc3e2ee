"""SD-VAE f8c32 as the paper trains it itself: every choice at Stable Diffusion's end, the loss and the data Sim-VAE's.

    python -m recipes.sd_vae --data DIR --vgg19 vgg19-dcbb9e9d.pth
    python -m recipes.sd_vae --data DIR --scale small

DIR is that of recipes/sim_vae.py.
"""

from __future__ import annotations

from dataclasses import replace

from recipes.common.launch import launch
from recipes.common.sizes import Scale
from recipes.common.stages import Autoencoder, Network
from recipes.sim_vae import sim_vae


def sd_vae(scale: Scale = "paper", latent_channels: int = 32) -> Autoencoder:
    """Sim-VAE's recipe with SD-VAE's network: 84.0 M parameters at the paper's scale (table 2, last row)."""
    ours = sim_vae(scale, latent_channels)
    return replace(ours, network=Network("SDVAE", ours.network.arguments))


if __name__ == "__main__":
    launch(sd_vae, __doc__)
