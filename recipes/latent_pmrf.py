"""Latent-PMRF (section 3.1): a rectified flow from the latent of the posterior mean to the latent of the image.

    python -m recipes.latent_pmrf --data DIR --vgg19 FILE --estimator swinir_restoration512_L1.pth
    torchrun --nproc-per-node 8 -m recipes.latent_pmrf --data DIR --vgg19 FILE --estimator FILE
    python -m recipes.latent_pmrf --data DIR --scale small

Trains the Sim-VAE and the estimator first where RUNS holds none of this configuration. --autoencoder takes a finished
one: a folder or hub id in diffusers layout. It ends with a whole pipeline, and prints the line that restores with it.
"""

from dataclasses import replace

from pmrf_blocks.experiments import Flow, Images, Net, launch
from pmrf_blocks.training import TrainConfig
from pmrf_blocks.transformers import HourglassTransformer, Level
from recipes import posterior_mean, sim_vae


def paper() -> Flow:
    """151.2 M parameters: HDiT with patch 1, depths 2, 4, 6 and depth-wise convolutions (section 4.1)."""
    return Flow(
        velocity=Net(
            HourglassTransformer, in_channels=32, patch_size=1, cosine=False, depthwise=True, split="conv",
            levels=(Level(256, 2), Level(512, 4), Level(1024, 6, "global")), mapping_width=768,
        ),
        images=Images("ffhq512", 512, flip=True),
        validation=Images("celeba-test/hq", 512, first=64, held_out=True),
        train=TrainConfig(
            steps=400_000, batch_size=64, lr=5e-4, betas=(0.9, 0.95), ema=0.9999, precision="bf16",  # section 4.1
            log_every=100, validate_every=10_000, checkpoint_every=5_000, workers=8,
        ),
        groups="single",  # "a fixed 5e-4" for all parameters (section 4.1)
        autoencoder=sim_vae.paper(),
        estimator=posterior_mean.paper(),
        source="posterior-mean",  # E(f(y)) (section 3.1)
        source_noise=0.0,  # none in section 3.1
    )  # fmt: skip


def release() -> Flow:
    """What is known of the release: its Sim-VAE, the noise that its run is named after, a draw of the posterior."""
    return replace(paper(), autoencoder=sim_vae.release(), source_noise=0.1, sample=True)


def small() -> Flow:
    """8x8 latents of 64x64 faces, on two cached degradations an image."""
    return Flow(
        velocity=Net(
            HourglassTransformer, in_channels=32, patch_size=1, cosine=False, depthwise=True, split="conv",
            levels=(Level(64, 1, head_dim=32), Level(128, 2, "global", head_dim=32)), mapping_width=128,
        ),
        images=Images("faces256/train", 64, flip=True),
        validation=Images("faces256/val", 64, first=2, held_out=True),
        train=TrainConfig(
            steps=1500, batch_size=16, lr=5e-4, betas=(0.9, 0.95), ema=0.9999,
            log_every=150, validate_every=1500, checkpoint_every=1500, pictures=0, trackers=(),
        ),
        groups="single",
        autoencoder=sim_vae.small(),
        estimator=posterior_mean.small(),
        pair_rounds=2,
    )  # fmt: skip


def debug() -> Flow:
    """Two steps at 32x32."""
    own, levels = small(), (Level(16, 1, head_dim=16), Level(16, 1, "global", head_dim=16))
    return replace(
        own,
        velocity=own.velocity.changed(levels=levels, mapping_width=16),
        images=Images("faces256/train", 32, flip=True),
        validation=Images("faces256/val", 32, first=2, held_out=True),
        train=replace(own.train, steps=2, batch_size=2, log_every=1, validate_every=2, checkpoint_every=2),
        autoencoder=sim_vae.debug(),
        estimator=posterior_mean.debug(),
        pair_rounds=1,
    )


if __name__ == "__main__":
    launch(__doc__, paper=paper, release=release, small=small, debug=debug)
