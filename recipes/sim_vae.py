"""Sim-VAE f8c32 (section 3.3, appendix B): the autoencoder whose latent space Latent-PMRF flows in.

    python -m recipes.sim_vae --data DIR --vgg19 vgg19-dcbb9e9d.pth                     # as the paper trains it
    torchrun --nproc-per-node 8 -m recipes.sim_vae --data DIR --vgg19 FILE              # the same on eight GPUs
    python -m recipes.sim_vae --data DIR --scale small                                  # minutes on a CPU

The paper says Adam with default parameters; the release (--scale release), and the smaller scales, have AdamW with
betas 0.9, 0.99 and weight decay 0.01, and the release a cosine of 200k steps that is left at 150k.
"""

from dataclasses import replace

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.experiments import Autoencoder, Images, Net, launch
from pmrf_blocks.training import TrainConfig


def paper() -> Autoencoder:
    """91.03 M parameters; crops of LSDIR and of the first 10,000 of FFHQ (section 4.1)."""
    return Autoencoder(
        network=Net(SimVAE, 32, channels=(128, 256, 512, 512), blocks_per_level=2, middle_blocks=3),
        images=(
            Images("ffhq512", 512, crop=256, first=10_000, flip=True),
            Images("lsdir512", 512, crop=256, flip=True),
        ),
        faces=Images("ffhq512", 512, first=10_000),
        validation=Images("celeba-test/hq", 512, first=64, held_out=True),
        train=TrainConfig(
            steps=150_000, batch_size=64, lr=1e-4, schedule="cosine", final_lr=1e-6,  # section 4.1
            warmup_steps=500, warmup_lr=1e-5, betas=(0.9, 0.999), weight_decay=0.0,  # section 4.1: Adam's own
            ema=0.9999, clip=1.0,  # release
            log_every=100, validate_every=10_000, checkpoint_every=5_000, workers=8,
        ),
        perceptual="vgg19",  # Real-ESRGAN's weights (appendix B.2)
        perceptual_weight=0.05,  # release
        kl_weight=1e-6,  # appendix B.2
    )  # fmt: skip


def release() -> Autoencoder:
    """What the published weights were trained with: the rate ends near 1.6e-5."""
    own = paper()
    return replace(own, train=replace(own.train, betas=(0.9, 0.99), weight_decay=0.01, horizon=200_000))


def small() -> Autoencoder:
    """At 64x64. Eight times narrower has eight times the rate, as maximal update parametrisation says; the warm-up is
    the same share of the steps; the perceptual loss is that of a network whose weights a package carries."""
    return Autoencoder(
        network=Net(SimVAE, 32, channels=(16, 32, 64, 64), blocks_per_level=1, middle_blocks=2, norm_groups=4),
        images=(Images("faces256/train", 64, crop=32, flip=True), Images("photos", 96, crop=32, flip=True)),
        faces=Images("faces256/train", 64, first=128),
        validation=Images("faces256/val", 64, first=2, held_out=True),
        train=TrainConfig(
            steps=2000, batch_size=4, lr=8e-4, schedule="cosine", final_lr=8e-6,
            warmup_steps=6, warmup_lr=8e-5, betas=(0.9, 0.99), weight_decay=0.01, ema=0.9999, clip=1.0,
            log_every=200, validate_every=2000, checkpoint_every=2000, pictures=0, trackers=(),
        ),
        perceptual="efficientnet-lite1",
        perceptual_weight=0.05,
        kl_weight=1e-6,
    )  # fmt: skip


def debug() -> Autoencoder:
    """Two steps at 32x32."""
    own = small()
    short = replace(own.train, steps=2, batch_size=2, warmup_steps=1, log_every=1, validate_every=2, checkpoint_every=2)
    return replace(
        own,
        network=own.network.changed(channels=(8, 8, 8, 8)),
        images=(Images("faces256/train", 32, crop=16, flip=True), Images("photos", 48, crop=16, flip=True)),
        faces=Images("faces256/train", 32, first=128),
        validation=Images("faces256/val", 32, first=2, held_out=True),
        train=short,
        perceptual="none",
    )


if __name__ == "__main__":
    launch(__doc__, paper=paper, release=release, small=small, debug=debug)
