"""PMRF's controlled experiments (Ohayon et al., 2025, section 5.2): PMRF against its baselines on four degradations,
and on that of blind faces, on which PMRF's paper has no baselines.

    python -m recipes.controlled --data DIR
    python -m recipes.controlled --data DIR --scale small

At 256x256; DIR holds ffhq256 and celeba-test, whose originals are degraded here. The methods differ in where the flow
starts and what its velocity sees, all else being equal:

    PMRF                        from the posterior mean plus noise
    flow from y                 from the degraded image plus noise
    flow conditioned on y       from noise, seeing the degraded image
    flow conditioned on mean    from noise, seeing the posterior mean
"""

from dataclasses import replace

from pmrf_blocks.estimators import SwinIR
from pmrf_blocks.experiments import Claim, Estimator, Flow, Images, Net, Row, Table, launch
from pmrf_blocks.transformers import Level
from recipes import pmrf, posterior_mean


def on(flow: Flow, degradation: str, source_noise: float) -> Flow:
    """PMRF on one of the degradations."""
    assert flow.estimator is not None
    estimator = replace(flow.estimator, degradation=degradation)
    return replace(flow, estimator=estimator, degradation=degradation, source_noise=source_noise)


def conditioned(flow: Flow, condition: str) -> Flow:
    """From noise to the image, with the condition as three more channels of what the velocity sees."""
    velocity = flow.velocity.changed(in_channels=6)
    return replace(flow, velocity=velocity, source="noise", source_noise=1.0, condition=condition, pair_rounds=0)


def methods(ours: Flow) -> dict[str, Flow | Estimator]:
    """PMRF and its baselines on one degradation."""
    assert ours.estimator is not None
    return {
        "PMRF": ours,
        "flow from y": replace(ours, source="degraded", estimator=None),
        "flow conditioned on y": replace(conditioned(ours, "degraded"), estimator=None),
        "flow conditioned on mean": conditioned(ours, "posterior-mean"),
        "posterior mean": ours.estimator,
    }


def controlled(flow: Flow, faces: Images) -> Table:
    ours = {
        "denoising": on(flow, "denoising", source_noise=0.025),
        "inpainting": on(flow, "inpainting", source_noise=0.1),
        "colourisation": on(flow, "colourisation", source_noise=0.1),
        "super-resolution": on(flow, "super-resolution", source_noise=0.1),
        "blind-face": on(flow, "blind-face", source_noise=0.1),
    }
    rows = [Row(f"{task}: {label}", stage) for task, own in ours.items() for label, stage in methods(own).items()]
    baselines = ("flow from y", "flow conditioned on y", "flow conditioned on mean")
    claims = [
        Claim(
            f"{task}: PMRF distorts less than every other flow: PSNR.",
            tuple(("restoration", "psnr", (f"{task}: PMRF", f"{task}: {label}")) for label in baselines),
        )
        for task in ours
    ]
    about, parts = "PMRF's paper plots these experiments and has no table of them to set beside ours.", ("restoration",)
    return Table("controlled", "PMRF's controlled experiments", tuple(rows), tuple(claims), faces, parts, about)


def paper() -> Table:
    """At 256x256, a thousand epochs of FFHQ: HDiT of two levels, and a narrower SwinIR (4.74 M)."""
    flow, faces = pmrf.paper(), Images("ffhq256", 256, flip=True)
    held_out = Images("celeba-test/hq", 256, held_out=True)
    estimator = replace(
        posterior_mean.paper(),
        network=Net(SwinIR, embed_dim=120, depths=(6,) * 5, num_heads=(6,) * 5),
        images=faces,
        validation=replace(held_out, first=64),
    )
    whole = replace(
        flow,
        velocity=flow.velocity.changed(levels=(Level(384, 2), Level(768, 11, "global"))),
        images=faces,
        validation=replace(held_out, first=64),
        train=replace(flow.train, steps=1000 * 70_000 // 256),
        estimator=estimator,
    )
    return controlled(whole, held_out)


def small() -> Table:
    return controlled(pmrf.small(), Images("faces256/test", 64, held_out=True))


def debug() -> Table:
    return controlled(pmrf.debug(), Images("faces256/test", 32, held_out=True))


if __name__ == "__main__":
    launch(__doc__, paper=paper, small=small, debug=debug)
