"""The posterior mean E[X | Y] of blind-face degradation: the first stage of PMRF and of Latent-PMRF (section 2.2).

    python -m recipes.posterior_mean --data DIR
    python -m recipes.posterior_mean --data DIR --scale small

The paper takes the weights that DifFace published (swinir_restoration512_L1.pth; every recipe that needs an estimator
takes them by --estimator FILE). This trains the same network from the start, by the squared error that the posterior
mean minimises, with PMRF's optimiser: AdamW, one rate and one weight decay for all parameters.
"""

from dataclasses import replace

from pmrf_blocks.estimators import SwinIR, UNet
from pmrf_blocks.experiments import Estimator, Images, Net, launch
from pmrf_blocks.training import TrainConfig


def paper() -> Estimator:
    """DifFace's SwinIR, 15.8 M parameters. The paper says nothing of its training: steps and batch are ours."""
    return Estimator(
        network=Net(SwinIR),
        images=Images("ffhq512", 512, flip=True),
        validation=Images("celeba-test/hq", 512, first=64, held_out=True),
        train=TrainConfig(
            steps=500_000, batch_size=64, lr=5e-4, betas=(0.9, 0.95), weight_decay=0.01, ema=0.9999, precision="bf16",
            log_every=100, validate_every=10_000, checkpoint_every=5_000, workers=8,
        ),
    )  # fmt: skip


def small() -> Estimator:
    """A U-Net at 64x64."""
    return Estimator(
        network=Net(UNet, widths=(32, 64, 96), blocks=(1, 1, 2), unshuffle=4),
        images=Images("faces256/train", 64, flip=True),
        validation=Images("faces256/val", 64, first=2, held_out=True),
        train=TrainConfig(
            steps=2000, batch_size=16, lr=5e-4, betas=(0.9, 0.95), weight_decay=0.01, ema=0.9999,
            log_every=200, validate_every=2000, checkpoint_every=2000, pictures=0, trackers=(),
        ),
    )  # fmt: skip


def debug() -> Estimator:
    """Two steps at 32x32."""
    own = small()
    return replace(
        own,
        network=Net(UNet, widths=(8, 16), blocks=(1, 1), unshuffle=4),
        images=Images("faces256/train", 32, flip=True),
        validation=Images("faces256/val", 32, first=2, held_out=True),
        train=replace(own.train, steps=2, batch_size=2, log_every=1, validate_every=2, checkpoint_every=2),
    )


if __name__ == "__main__":
    launch(__doc__, paper=paper, small=small, debug=debug)
