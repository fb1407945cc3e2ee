"""PMRF in pixels (Ohayon et al., 2025): what Latent-PMRF is compared with.

    python -m recipes.pmrf --data DIR --estimator swinir_restoration512_L1.pth
    python -m recipes.pmrf --data DIR --scale small

DIR is that of recipes/posterior_mean.py. This is PMRF's own training, batches of 256 for 3,850 epochs of FFHQ; the
paper's 'PMRF*' at equal compute is table4_methods.py's and figure3_convergence.py's row.
"""

from __future__ import annotations

from dataclasses import replace

from pmrf_blocks.transformers import Level
from recipes.common.launch import launch
from recipes.common.sizes import Scale, faces, validation
from recipes.common.stages import Flow, Network
from recipes.latent_pmrf import BATCH as LATENT_BATCH
from recipes.latent_pmrf import STEPS as LATENT_STEPS
from recipes.latent_pmrf import flow_training
from recipes.posterior_mean import posterior_mean

NETWORK = {
    "paper": {
        "levels": (Level(256, 2), Level(512, 2), Level(1024, 8, "global")),
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
FFHQ = 70_000
BATCH = {"paper": 256, "small": 16, "debug": 2}
STEPS = {"paper": 3850 * FFHQ // 256, "small": 1500, "debug": 2}
PAIR_ROUNDS = {"paper": 0, "small": 2, "debug": 1}


def pmrf(scale: Scale = "paper", degradation: str = "blind-face", source_noise: float = 0.1) -> Flow:
    """A flow in pixels from the posterior mean plus noise."""
    train = flow_training(scale, STEPS[scale], BATCH[scale])
    return Flow(
        velocity=pixel_velocity(scale),
        images=faces(scale),
        validation=validation(scale),
        train=replace(train, weight_decay=0.01),
        estimator=posterior_mean(scale, degradation),
        degradation=degradation,
        source_noise=source_noise,
        time="stratified",
        pair_rounds=PAIR_ROUNDS[scale],
    )


def pmrf_equal_compute(scale: Scale = "paper") -> Flow:
    """PMRF*: as many steps and as large batches as Latent-PMRF has (section 4.2, table 4)."""
    flow = pmrf(scale)
    return replace(flow, train=replace(flow.train, steps=LATENT_STEPS[scale], batch_size=LATENT_BATCH[scale]))


def pixel_velocity(scale: Scale, in_channels: int = 3) -> Network:
    """HDiT with patch 4 and cosine attention; 159.87 M parameters at the paper's scale."""
    arguments = {"in_channels": in_channels, "out_channels": 3, "patch_size": 4}
    return Network("HourglassTransformer", {**arguments, **NETWORK[scale]})


if __name__ == "__main__":
    launch(pmrf, __doc__)
