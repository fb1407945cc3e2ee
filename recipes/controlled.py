"""PMRF's controlled experiments (Ohayon et al., 2025, section 5.2): PMRF against its baselines on four degradations.

    python -m recipes.controlled --data DIR
    python -m recipes.controlled --data DIR --scale small

Denoising, inpainting, colourisation and super-resolution at 256x256; DIR holds ffhq256 and celeba-test. The methods
differ in where the flow starts and what its velocity sees, all else being equal:

    PMRF                        from the posterior mean plus noise
    flow from y                 from the degraded image plus noise
    flow conditioned on y       from noise, seeing the degraded image
    flow conditioned on mean    from noise, seeing the posterior mean
    posterior mean              no flow
"""

from __future__ import annotations

from dataclasses import replace

from pmrf_blocks.transformers import Level
from recipes.common.sizes import Scale
from recipes.common.stages import Estimator, Flow, Images, Network
from recipes.common.table_command import launch_table
from recipes.common.tables import Claim, Row, Table
from recipes.latent_pmrf import flow_training
from recipes.pmrf import pixel_velocity, pmrf
from recipes.posterior_mean import posterior_mean

SOURCE_NOISE = {"denoising": 0.025, "inpainting": 0.1, "colourisation": 0.1, "super-resolution": 0.1}
STEPS, BATCH = 1000 * 70_000 // 256, 256  # a thousand epochs of FFHQ


def mean_of(scale: Scale, degradation: str) -> Estimator:
    """The posterior mean for one degradation: a narrower SwinIR (4.74 M) at the paper's scale."""
    stage = posterior_mean(scale, degradation)
    if scale != "paper":
        return stage
    network = Network("SwinIR", {"embed_dim": 120, "depths": (6,) * 5, "num_heads": (6,) * 5})
    return replace(
        stage, network=network, images=Images("ffhq256", 256), validation=Images("celeba-test/hq", 256, first=64)
    )


def controlled_pmrf(scale: Scale, degradation: str) -> Flow:
    """PMRF on one of the four degradations."""
    estimator = mean_of(scale, degradation)
    flow = replace(pmrf(scale, degradation, SOURCE_NOISE[degradation]), estimator=estimator)
    if scale != "paper":
        return flow
    levels = (Level(384, 2), Level(768, 11, "global"))
    train = replace(flow_training(scale, STEPS, BATCH), weight_decay=0.01)
    return replace(
        flow,
        velocity=pixel_velocity(scale).changed(levels=levels),
        images=estimator.images,
        validation=estimator.validation,
        train=train,
    )


def conditioned(flow: Flow, condition: str) -> Flow:
    """From noise to the image, with the condition as three more channels of what the velocity sees."""
    velocity = flow.velocity.changed(in_channels=6)
    return replace(flow, velocity=velocity, source="noise", source_noise=1.0, condition=condition, pair_rounds=0)


def methods(scale: Scale, degradation: str) -> dict[str, Flow | Estimator]:
    """PMRF and its baselines on one degradation."""
    ours = controlled_pmrf(scale, degradation)
    return {
        "PMRF": ours,
        "flow from y": replace(ours, source="degraded", estimator=None),
        "flow conditioned on y": replace(conditioned(ours, "degraded"), estimator=None),
        "flow conditioned on mean": conditioned(ours, "posterior-mean"),
        "posterior mean": mean_of(scale, degradation),
    }


def controlled(scale: Scale = "paper") -> Table:
    rows, claims = [], []
    for degradation in SOURCE_NOISE:
        rows += [Row(f"{degradation}: {label}", stage) for label, stage in methods(scale, degradation).items()]
        ours, baselines = f"{degradation}: PMRF", ("flow from y", "flow conditioned on y", "flow conditioned on mean")
        claims.append(
            Claim(
                f"{degradation}: PMRF distorts less than every other flow: PSNR.",
                tuple(("restoration", "psnr", (ours, f"{degradation}: {label}")) for label in baselines),
            )
        )
    about = "PMRF's paper plots these experiments and has no table of them; there are no numbers to set beside ours."
    title = "PMRF's controlled experiments"
    return Table("controlled", title, tuple(rows), tuple(claims), ("restoration",), about)


if __name__ == "__main__":
    launch_table(controlled, __doc__)
