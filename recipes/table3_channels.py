"""Table 3: latent channels of Sim-VAE.

python -m recipes.table3_channels --data DIR --vgg19 FILE --estimator FILE
python -m recipes.table3_channels --data DIR --scale small
"""

from dataclasses import replace

from pmrf_blocks.experiments import CELEBA_TEST, Claim, Flow, Images, Row, Table, launch
from recipes import latent_pmrf


def with_channels(flow: Flow, channels: int) -> Flow:
    """The flow on its Sim-VAE with so many latent channels."""
    assert flow.autoencoder is not None
    return flow.on(replace(flow.autoencoder, network=flow.autoencoder.network.changed(latent_channels=channels)))


def table3(flow: Flow, faces: Images) -> Table:
    """`flow` is Latent-PMRF; the paper's numbers are PSNR, LPIPS, MMD-DINOv2 of both parts, and Q-Align."""
    printed = {
        16: ((37.9034, 0.0261, 0.0966), (26.4412, 0.2191, 0.8918, 4.1006)),
        24: ((40.8142, 0.0116, 0.0603), (26.3911, 0.2251, 0.8657, 4.1934)),
        32: ((42.7129, 0.0073, 0.0511), (26.3823, 0.2236, 0.8770, 4.2934)),
        48: ((45.0554, 0.0033, 0.0485), (26.4600, 0.2264, 0.8863, 4.3055)),
    }
    columns = ("PSNR", "LPIPS", "MMD-DINOv2", "Q-Align")
    rows = tuple(
        Row(
            f"{channels} channels",
            with_channels(flow, channels),
            {"reconstruction": dict(zip(columns, first)), "restoration": dict(zip(columns, second))},
        )
        for channels, (first, second) in printed.items()
    )
    most_first = ("48 channels", "32 channels", "24 channels", "16 channels")
    claims = (
        Claim(
            "More channels reconstruct better, step by step: PSNR, feature distance, MMD.",
            tuple(("reconstruction", score, most_first) for score in ("psnr", "feature_distance", "mmd")),
        ),
        Claim(
            "Restoration gains perceptual quality from 16 to 32 channels: MMD.",
            (("restoration", "mmd", ("32 channels", "16 channels")),),
        ),
    )
    return Table("table3_channels", "Table 3: impact of latent channels", rows, claims, faces)


def paper() -> Table:
    return table3(latent_pmrf.paper(), CELEBA_TEST)


def release() -> Table:
    return table3(latent_pmrf.release(), CELEBA_TEST)


def small() -> Table:
    return table3(latent_pmrf.small(), Images("faces256/test", 64, held_out=True))


def debug() -> Table:
    return table3(latent_pmrf.debug(), Images("faces256/test", 32, held_out=True))


if __name__ == "__main__":
    launch(__doc__, paper=paper, release=release, small=small, debug=debug)
