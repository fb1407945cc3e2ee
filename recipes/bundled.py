"""The model that ships: the whole Latent-PMRF chain at 128x128, small enough to train on two processor cores.

    python -m recipes.bundled --data DIR --stage autoencoder      # then estimator, decoder, flow, pixel, assemble
    python -m recipes.bundled --data DIR --start bundled --stage decoder    # one stage anew, the others as they ship
    python -m recipes.bundled --data DIR --debug                  # every stage in seconds, to see that it runs

DIR holds faces256/train, faces256/val (aligned faces) and photos (any photographs). The stages autoencoder and
estimator are independent and may run side by side, as may decoder, flow and pixel after them; each continues where it
was stopped.
"""

from __future__ import annotations

from dataclasses import replace

from pmrf_blocks.training import TrainConfig
from pmrf_blocks.transformers import Level
from recipes.chain import Chain
from recipes.command import main


def bundled() -> Chain:
    """The configuration whose weights are in the package."""
    common = TrainConfig(
        steps=6000, batch_size=16, lr=5e-4, final_lr=1e-6, schedule="cosine", warmup_steps=200, ema=0.999,
        precision="fp32",
    )  # fmt: skip
    flow = replace(common, betas=(0.9, 0.95), weight_decay=0.01, final_lr=1e-5)
    return Chain(
        size=128,
        crop=64,
        photo_size=192,
        autoencoder={
            "latent_channels": 32, "channels": (32, 64, 128, 160), "blocks_per_level": 1, "middle_blocks": 2,
        },
        estimator={"widths": (64, 128, 192), "blocks": (2, 3, 3), "unshuffle": 4},
        velocity={
            "in_channels": 32, "patch_size": 1, "depthwise": True, "cosine": False, "mapping_width": 128,
            # At 16x16 a 7x7 window costs a processor as much as the rest of the layer: convolutions mix there.
            "levels": (Level(192, 3, attention="none"), Level(256, 4, attention="global")),
        },
        pixel_velocity={
            "in_channels": 3, "patch_size": 4, "mapping_width": 128,
            "levels": (Level(128, 1), Level(192, 4, attention="global")),
        },
        perceptual_weight=0.05,
        decoder_perceptual_weight=0.2,
        kl_weight=1e-6 * (256 / 64) ** 2,  # KL is summed over a crop: the paper's weight per pixel
        source_noise=0.025,
        pixel_source_noise=0.1,
        pair_rounds=6,
        flow_pieces=3,
        train={
            "autoencoder": replace(common, steps=5000, lr=4e-4, weight_decay=0.01),
            "estimator": common,
            "decoder": replace(common, steps=2000, lr=2e-4, weight_decay=0.01),
            "flow": replace(flow, steps=4000, batch_size=32),
            "pixel": replace(flow, steps=3000),
        },
    )  # fmt: skip


def debug() -> Chain:
    """The same chain in seconds: tiny networks, four steps a stage."""
    levels = (Level(32, 1, head_dim=16), Level(32, 1, attention="global", head_dim=16))
    short = TrainConfig(steps=4, batch_size=2, lr=1e-3, log_every=2, validate_every=4, checkpoint_every=2)
    return replace(
        bundled(),
        size=32,
        crop=16,
        photo_size=32,
        autoencoder={"latent_channels": 4, "channels": (8, 16), "blocks_per_level": 1, "middle_blocks": 1},
        estimator={"widths": (8, 16), "blocks": (1, 1), "unshuffle": 2},
        velocity={
            "in_channels": 4,
            "patch_size": 1,
            "depthwise": True,
            "cosine": False,
            "mapping_width": 32,
            "levels": levels,
        },
        pixel_velocity={"in_channels": 3, "patch_size": 4, "mapping_width": 32, "levels": levels},
        perceptual_weight=0.0,
        decoder_perceptual_weight=0.0,
        pair_rounds=1,
        flow_pieces=2,
        train=dict.fromkeys(bundled().train, short),
    )


if __name__ == "__main__":
    main(bundled, debug, __doc__)
