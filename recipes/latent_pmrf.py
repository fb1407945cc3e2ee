"""Latent-PMRF (section 3.1): a rectified flow from the latent of the posterior mean to the latent of the image.

    python -m recipes.latent_pmrf --data DIR --vgg19 FILE --estimator swinir_restoration512_L1.pth
    torchrun --nproc-per-node 8 -m recipes.latent_pmrf --data DIR --vgg19 FILE --estimator FILE
    python -m recipes.latent_pmrf --data DIR --scale small

Trains the Sim-VAE and the estimator first where RUNS holds none of this configuration. --autoencoder takes a finished
one: a folder or hub id in diffusers layout. DIR is that of recipes/sim_vae.py.
"""

from __future__ import annotations

from pmrf_blocks.training import TrainConfig
from pmrf_blocks.transformers import Level
from recipes.common.launch import launch
from recipes.common.sizes import Scale, faces, validation, watched
from recipes.common.stages import Autoencoder, Flow, Network
from recipes.posterior_mean import posterior_mean
from recipes.sim_vae import sim_vae

NETWORK = {
    "paper": {
        "levels": (Level(256, 2), Level(512, 4), Level(1024, 6, "global")),
        "mapping_width": 768,
    },
    "small": {
        "levels": (Level(64, 1, head_dim=32), Level(128, 2, "global", head_dim=32)),
        "mapping_width": 128,
    },
    "debug": {
        "levels": (Level(16, 1, head_dim=16), Level(16, 1, "global", head_dim=16)),
        "mapping_width": 16,
    },
}
STEPS = {"paper": 400_000, "small": 1500, "debug": 2}
BATCH = {"paper": 64, "small": 16, "debug": 2}
PAIR_ROUNDS = {"paper": 0, "small": 2, "debug": 1}


def latent_pmrf(scale: Scale = "paper", autoencoder: Autoencoder | None = None) -> Flow:
    """Latent-PMRF in the latents of `autoencoder` (None: Sim-VAE f8c32), as section 4.1 trains it."""
    autoencoder = sim_vae(scale) if autoencoder is None else autoencoder
    return Flow(
        velocity=latent_velocity(scale, autoencoder.network.arguments["latent_channels"]),
        images=faces(scale),
        validation=validation(scale),
        train=flow_training(scale, STEPS[scale], BATCH[scale]),
        autoencoder=autoencoder,
        estimator=posterior_mean(scale),
        pair_rounds=PAIR_ROUNDS[scale],
    )


def latent_velocity(scale: Scale, channels: int) -> Network:
    """HDiT with patch 1 and depth-wise convolutions (section 4.1)."""
    arguments = {"in_channels": channels, "patch_size": 1, "cosine": False, "depthwise": True, "split": "conv"}
    return Network("HourglassTransformer", {**arguments, **NETWORK[scale]})


def flow_training(scale: Scale, steps: int, batch: int) -> TrainConfig:
    """Adam with betas 0.9 and 0.95 at a fixed 5e-4 (section 4.1)."""
    return TrainConfig(
        steps=steps, batch_size=batch, lr=5e-4, betas=(0.9, 0.95), ema=0.9999,
        precision="bf16" if scale == "paper" else "fp32", **watched(scale, steps),
    )  # fmt: skip


if __name__ == "__main__":
    launch(latent_pmrf, __doc__)
