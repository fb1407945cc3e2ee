"""SD-VAE f8c32 as the paper trains it itself (table 2, last row): Stable Diffusion's network, Sim-VAE's loss and data.

python -m recipes.sd_vae --data DIR --vgg19 vgg19-dcbb9e9d.pth
python -m recipes.sd_vae --data DIR --scale small
"""

from dataclasses import replace

from pmrf_blocks.autoencoders import SDVAE
from pmrf_blocks.experiments import Autoencoder, Net, launch
from recipes import sim_vae


def paper() -> Autoencoder:
    """84.0 M parameters: group norm, attention in the middle, resizing apart from the channels, SD's blocks."""
    network = Net(SDVAE, 32, channels=(128, 256, 512, 512), blocks_per_level=2, middle_blocks=3)
    return replace(sim_vae.paper(), network=network)


def release() -> Autoencoder:
    """Trained as the release trains Sim-VAE."""
    return replace(sim_vae.release(), network=paper().network)


def small() -> Autoencoder:
    network = Net(SDVAE, 32, channels=(16, 32, 64, 64), blocks_per_level=1, middle_blocks=2, norm_groups=4)
    return replace(sim_vae.small(), network=network)


def debug() -> Autoencoder:
    network = Net(SDVAE, 32, channels=(8, 8, 8, 8), blocks_per_level=1, middle_blocks=2, norm_groups=4)
    return replace(sim_vae.debug(), network=network)


if __name__ == "__main__":
    launch(__doc__, paper=paper, release=release, small=small, debug=debug)
