"""The posterior mean E[X | Y] of blind-face degradation: the first stage of PMRF and of Latent-PMRF (section 2.2).

    python -m recipes.posterior_mean --data DIR
    python -m recipes.posterior_mean --data DIR --scale small

DIR holds ffhq512 and celeba-test; at the smaller scales faces256/train and faces256/val. The paper takes the weights
that DifFace published (swinir_restoration512_L1.pth; every recipe that needs an estimator takes them by --estimator
FILE). This trains the same network from the start, by the squared error that the posterior mean minimises, with the
optimiser of PMRF.
"""

from __future__ import annotations

from pmrf_blocks.training import TrainConfig
from recipes.common.launch import launch
from recipes.common.sizes import Scale, faces, validation, watched
from recipes.common.stages import Estimator, Network

NETWORK = {
    "paper": Network("SwinIR"),
    "small": Network("UNet", {"widths": (32, 64, 96), "blocks": (1, 1, 2), "unshuffle": 4}),
    "debug": Network("UNet", {"widths": (8, 16), "blocks": (1, 1), "unshuffle": 4}),
}
STEPS = {"paper": 500_000, "small": 2000, "debug": 2}
BATCH = {"paper": 64, "small": 16, "debug": 2}


def posterior_mean(scale: Scale = "paper", degradation: str = "blind-face") -> Estimator:
    """DifFace's SwinIR (a small U-Net at the smaller scales) for one degradation of build_degradation()."""
    steps = STEPS[scale]
    return Estimator(
        network=NETWORK[scale],
        images=faces(scale),
        validation=validation(scale),
        train=TrainConfig(
            steps=steps, batch_size=BATCH[scale], lr=5e-4, betas=(0.9, 0.95), weight_decay=0.01, ema=0.9999,
            precision="bf16" if scale == "paper" else "fp32", **watched(scale, steps),
        ),
        degradation=degradation,
    )  # fmt: skip


if __name__ == "__main__":
    launch(posterior_mean, __doc__)
