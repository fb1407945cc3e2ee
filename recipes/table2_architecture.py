"""Table 2: what each choice of Sim-VAE's architecture does, by taking it back.

    python -m recipes.table2_architecture --data DIR --vgg19 FILE --estimator FILE
    python -m recipes.table2_architecture --data DIR --scale small

Each row is Sim-VAE f8c32 with one argument of its network changed; the last has all changed at once. The paper does
not say whether its rows add up; that the row after '- 3x3 conv', whose training broke down, has numbers, speaks
for one change a row. '- interpolate' enlarges by pixel shuffle, the other variant of the published configuration.
"""

from dataclasses import replace
from typing import Any

from pmrf_blocks.experiments import CELEBA_TEST, Autoencoder, Claim, Flow, Images, Row, Table, launch
from recipes import latent_pmrf, sd_vae, table1_vaes


def ablation(flow: Flow, **arguments: Any) -> Flow:
    """The flow on its Sim-VAE with these arguments of its network changed."""
    assert flow.autoencoder is not None
    return replace(flow, autoencoder=replace(flow.autoencoder, network=flow.autoencoder.network.changed(**arguments)))


def table2(flow: Flow, theirs: Autoencoder, faces: Images) -> Table:
    """`flow` is Latent-PMRF in Sim-VAE's latents, `theirs` SD-VAE."""
    unstable = "self-attention in the middle; unstable in the paper, which has no numbers"
    group, shuffled = ablation(flow, norm="group"), ablation(flow, upsample="pixel_shuffle")
    rows = (
        Row("Sim-VAE", flow, table1_vaes.numbers((42.7129, 0.0073, 0.0511), (26.3823, 0.2236, 0.8770))),
        Row("- layernorm", group, table1_vaes.numbers((43.0518, 0.0063, 0.0619), (26.1698, 0.2270, 0.8928))),
        Row("- 3x3 conv", ablation(flow, middle="attention"), note=unstable),
        Row("- interpolate", shuffled, table1_vaes.numbers((42.9766, 0.0075, 0.0556), (26.2465, 0.2245, 0.8817))),
        Row("SD-VAE", flow.on(theirs), table1_vaes.numbers((40.3979, 0.0145, 0.0986), (25.2646, 0.2224, 0.8938))),
        Row("+ residual resizing", ablation(flow, residual=True), note="DC-AE's shortcuts; not in the paper"),
    )
    claims = (
        Claim(
            "Group norm in the place of layer norm reconstructs with a higher PSNR.",
            (("reconstruction", "psnr", ("- layernorm", "Sim-VAE")),),
        ),
        Claim(
            "But it is less faithful as a distribution: MMD of reconstructions.",
            (("reconstruction", "mmd", ("Sim-VAE", "- layernorm")),),
        ),
        Claim(
            "And restoration suffers: PSNR and MMD.",
            tuple(("restoration", score, ("Sim-VAE", "- layernorm")) for score in ("psnr", "mmd")),
        ),
        Claim("Self-attention in the place of the middle's convolutions makes training unstable.", (), "- 3x3 conv"),
        Claim(
            "Pixel shuffle in the place of interpolation worsens restoration: PSNR and MMD.",
            tuple(("restoration", score, ("Sim-VAE", "- interpolate")) for score in ("psnr", "mmd")),
        ),
        Claim(
            "SD-VAE, with all taken back, reconstructs worse: PSNR, feature distance, MMD.",
            tuple(("reconstruction", score, ("Sim-VAE", "SD-VAE")) for score in ("psnr", "feature_distance", "mmd")),
        ),
        Claim(
            "SD-VAE restores worse: PSNR and MMD.",
            tuple(("restoration", score, ("Sim-VAE", "SD-VAE")) for score in ("psnr", "mmd")),
        ),
    )
    return Table("table2_architecture", "Table 2: impact of the VAE's architecture", rows, claims, faces)


def paper() -> Table:
    return table2(latent_pmrf.paper(), sd_vae.paper(), CELEBA_TEST)


def release() -> Table:
    return table2(latent_pmrf.release(), sd_vae.release(), CELEBA_TEST)


def small() -> Table:
    return table2(latent_pmrf.small(), sd_vae.small(), Images("faces256/test", 64, held_out=True))


def debug() -> Table:
    return table2(latent_pmrf.debug(), sd_vae.debug(), Images("faces256/test", 32, held_out=True))


if __name__ == "__main__":
    launch(__doc__, paper=paper, release=release, small=small, debug=debug)
