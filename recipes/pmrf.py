"""PMRF in pixels (Ohayon et al., 2025): what Latent-PMRF is compared with.

    python -m recipes.pmrf --data DIR --estimator swinir_restoration512_L1.pth
    python -m recipes.pmrf --data DIR --scale small

This is PMRF's own training, batches of 256 for 3,850 epochs of FFHQ; the paper's 'PMRF*' at equal compute is a row of
table4_methods.py and figure3_convergence.py. It ends with a whole pipeline, and prints the line that restores with it.
"""

from dataclasses import replace

from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.experiments import Flow, Images, Net, launch
from pmrf_blocks.training import TrainConfig
from pmrf_blocks.transformers import HourglassTransformer, Level
from recipes import posterior_mean


def paper() -> Flow:
    """159.87 M parameters: HDiT with patch 4 and cosine attention."""
    return Flow(
        velocity=Net(
            HourglassTransformer, in_channels=3, out_channels=3, patch_size=4,
            levels=(Level(256, 2), Level(512, 2), Level(1024, 8, "global")), mapping_width=768,
        ),
        images=Images("ffhq512", 512, flip=True),
        validation=Images("celeba-test/hq", 512, first=64, held_out=True),
        train=TrainConfig(
            steps=3850 * 70_000 // 256, batch_size=256, lr=5e-4, betas=(0.9, 0.95), weight_decay=0.01, ema=0.9999,
            clip=None, precision="bf16", log_every=100, validate_every=10_000, checkpoint_every=5_000, workers=8,
        ),
        groups="single",  # one rate and one weight decay for all parameters, and no clipping, as the release has it
        estimator=posterior_mean.paper(),
        source="posterior-mean",
        source_noise=0.1,
        time="stratified",
    )  # fmt: skip


def release() -> Flow:
    """Its code: an unused embedding of augmentations (160.46 M parameters), JPEG qualities cut off below 100."""
    own, jpeg = paper(), Net(BlindFaceDegradation, quality=(30, 99))
    return replace(own, velocity=own.velocity.changed(augmentation=True), degradation=jpeg)


def small() -> Flow:
    """64x64 faces, on two cached degradations an image; as many updates of as large batches as Latent-PMRF has."""
    return Flow(
        velocity=Net(
            HourglassTransformer, in_channels=3, out_channels=3, patch_size=4,
            levels=(Level(64, 1, head_dim=32), Level(128, 2, "global", head_dim=32)), mapping_width=128,
        ),
        images=Images("faces256/train", 64, flip=True),
        validation=Images("faces256/val", 64, first=2, held_out=True),
        train=TrainConfig(
            steps=1500, batch_size=16, lr=5e-4, betas=(0.9, 0.95), weight_decay=0.01, ema=0.9999,
            clip=None, log_every=150, validate_every=1500, checkpoint_every=1500, pictures=0, trackers=(),
        ),
        groups="single",
        estimator=posterior_mean.small(),
        source_noise=0.1,
        time="stratified",
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
        estimator=posterior_mean.debug(),
        pair_rounds=1,
    )


if __name__ == "__main__":
    launch(__doc__, paper=paper, release=release, small=small, debug=debug)
