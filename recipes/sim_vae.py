"""Sim-VAE (section 3.3, appendix B): the autoencoder whose latent space Latent-PMRF flows in.

    python -m recipes.sim_vae --data DIR --vgg19 vgg19-dcbb9e9d.pth                     # as the paper trains it
    torchrun --nproc-per-node 8 -m recipes.sim_vae --data DIR --vgg19 FILE              # the same on eight GPUs
    python -m recipes.sim_vae --data DIR --scale small                                  # minutes on a processor

DIR holds lsdir512 and ffhq512 (`pmrf-blocks prepare` makes both) and celeba-test; at the smaller scales faces256/train,
faces256/val and photos. An ablation is a copy with one argument of the network changed: see table2_architecture.py.
"""

from __future__ import annotations

from pmrf_blocks.training import TrainConfig
from recipes.common.launch import launch
from recipes.common.sizes import Scale, faces, photos, validation, watched
from recipes.common.stages import Autoencoder, Network

NETWORK = {
    "paper": {"channels": (128, 256, 512, 512), "blocks_per_level": 2, "middle_blocks": 3},
    "small": {"channels": (16, 32, 64, 64), "blocks_per_level": 1, "middle_blocks": 2, "norm_groups": 4},
    "debug": {"channels": (8, 8, 8, 8), "blocks_per_level": 1, "middle_blocks": 2, "norm_groups": 4},
}
CROP = {"paper": 256, "small": 32, "debug": 16}
STEPS = {"paper": 150_000, "small": 2000, "debug": 2}
BATCH = {"paper": 64, "small": 4, "debug": 2}
LR = {"paper": 1e-4, "small": 8e-4, "debug": 8e-4}


def sim_vae(scale: Scale = "paper", latent_channels: int = 32) -> Autoencoder:
    """Sim-VAE f8 with so many latent channels, and how it is trained (section 4.1)."""
    steps = STEPS[scale]
    return Autoencoder(
        network=Network("SimVAE", {"latent_channels": latent_channels, **NETWORK[scale]}),
        images=(faces(scale, crop=CROP[scale], first=10_000), photos(scale, crop=CROP[scale])),
        faces=faces(scale, first=10_000 if scale == "paper" else 128),
        validation=validation(scale),
        train=TrainConfig(
            steps=steps, batch_size=BATCH[scale], lr=LR[scale], schedule="cosine", final_lr=LR[scale] / 100,
            warmup_steps=max(1, steps // 300), warmup_lr=LR[scale] / 10, betas=(0.9, 0.99), weight_decay=0.01,
            ema=0.9999, clip=1.0, **watched(scale, steps),
        ),
        perceptual={"paper": "vgg19", "small": "efficientnet-lite1", "debug": "none"}[scale],
    )  # fmt: skip


if __name__ == "__main__":
    launch(sim_vae, __doc__)
