"""Table 4: restoration methods compared on blind-face restoration.

    python -m recipes.table4_methods --data DIR --vgg19 FILE --estimator FILE
    python -m recipes.table4_methods --data DIR --scale small

The rows that this repository trains are the posterior mean alone, PMRF, PMRF* (PMRF at Latent-PMRF's compute),
Latent-PMRF, and ResShift*: ResShift's diffusion at Latent-PMRF's compute, in its latents and on its network, without
perceptual loss. The others are the paper's numbers, for orientation. At the smaller scales PMRF and PMRF* are the
same run, and PMRF is left out.
"""

from pmrf_blocks.experiments import CELEBA_TEST, Claim, Diffusion, Flow, Images, Row, Table, launch
from recipes import figure3_convergence, latent_pmrf, pmrf


def diffusion(ours: Flow) -> Diffusion:
    """ResShift with the data, steps, latents and network of `ours`; the network sees the degraded latent too."""
    channels = ours.velocity.arguments["in_channels"]
    return Diffusion(
        ours.velocity.changed(in_channels=2 * channels, out_channels=channels), ours.images, ours.validation,
        ours.train, ours.autoencoder, degradation=ours.degradation, groups=ours.groups, pair_rounds=ours.pair_rounds,
    )  # fmt: skip


def table4(ours: Flow, pixels: Flow, longer: Flow | None, faces: Images) -> Table:
    """`ours` is Latent-PMRF, `pixels` PMRF*, `longer` PMRF, where it is trained longer."""
    columns = ("PSNR", "MS-SSIM", "LPIPS", "DISTS", "Deg.", "LMD", "MUSIQ", "Q-Align", "FID", "FID-DINOv2",
               "MMD-DINOv2")  # fmt: skip
    printed = {
        "GFP-GAN": (24.9861, 0.8640, 0.2407, 0.1720, 34.5372, 2.4509, 75.2940, 4.7009, 14.8021, 223.0202, 1.1638),
        "RestoreFormer": (24.6157, 0.8443, 0.2416, 0.1639, 30.9218, 1.9389, 73.8584, 4.5320, 13.4083, 152.1276, 1.0003),
        "CodeFormer": (25.1464, 0.8589, 0.2271, 0.1700, 35.7124, 2.1389, 75.5546, 4.5835, 15.3959, 184.0517, 1.1041),
        "VQFR": (23.7626, 0.8278, 0.2391, 0.1683, 40.9100, 3.0436, 73.8407, 4.5285, 13.6547, 199.7024, 1.1287),
        "DiffFace": (24.7964, 0.8233, 0.2723, 0.1679, 44.1442, 2.7230, 69.0060, 4.0769, 13.5138, 184.1844, 1.0441),
        "DiffBIR (v2)": (25.3946, 0.8668, 0.2654, 0.1911, 31.2931, 1.5646, 76.1659, 4.8782, 20.9181, 156.9969, 1.0692),
        "ResShift": (26.0359, 0.8734, 0.2464, 0.1692, 32.2866, 1.8718, 67.9784, 4.2413, 19.1850, 167.3501, 1.0534),
        "FlowIE": (24.8349, 0.8505, 0.2312, 0.1585, 32.2254, 1.7757, 74.1167, 4.6108, 17.5334, 164.6910, 1.0733),
        "PMRF": (26.3321, 0.8740, 0.2232, 0.1476, 29.4504, 1.5138, 70.4967, 4.2227, 10.7225, 96.8752, 0.7214),
        "PMRF*": (26.6431, 0.8729, 0.2407, 0.1596, 28.9294, 1.3799, 64.9143, 3.7261, 15.1663, 140.6601, 0.8578),
        "Latent-PMRF": (26.3887, 0.8789, 0.2207, 0.1576, 29.0961, 1.5217, 73.1496, 4.3325, 10.9447, 110.4742, 0.8108),
    }
    takes = {  # runtime, s, on an A100; parameters, M, trained and frozen
        "GFP-GAN": (0.0218, 86.4), "RestoreFormer": (0.0402, 72.7), "CodeFormer": (0.0349, 94.1),
        "VQFR": (0.0621, 83.5), "DiffFace": (3.7054, 159.7, 15.7), "DiffBIR (v2)": (6.3952, 363.1, 1319.3),
        "ResShift": (0.6230, 118.9, 77.0), "FlowIE": (0.3877, 398.6, 1319.3), "PMRF": (0.5247, 159.8, 15.7),
        "Latent-PMRF": (0.5745, 151.2, 106.8),
    }  # fmt: skip
    takes_columns = ("s on an A100", "trained, M", "frozen, M")
    trained = {"PMRF": longer, "PMRF*": pixels, "Latent-PMRF": ours}
    rows = [Row("posterior mean", ours.estimator)]
    for label, values in printed.items():
        note = "PMRF's longer training is for the paper's scale" if label == "PMRF" else "another project's method"
        own = trained.get(label)
        paper = {"restoration": dict(zip(columns, values)), "runtime": dict(zip(takes_columns, takes.get(label, ())))}
        rows.append(Row(label, own, paper, "" if own else note))
    rows.append(Row("ResShift*", diffusion(ours), note="trained as Latent-PMRF is; not in the paper"))
    claims = (
        Claim(
            "At equal compute Latent-PMRF is perceptually better than PMRF*: FD and MMD.",
            tuple(("restoration", score, ("Latent-PMRF", "PMRF*")) for score in ("fd", "mmd")),
        ),
        Claim(
            "PMRF*, which is less far from the posterior mean, keeps the higher PSNR.",
            (("restoration", "psnr", ("PMRF*", "Latent-PMRF")),),
        ),
        Claim(
            "The posterior mean has the highest PSNR of all (section 2.2).",
            tuple(("restoration", "psnr", ("posterior mean", label)) for label in ("PMRF*", "Latent-PMRF")),
        ),
    )
    title = "Table 4: comparison of methods"
    return Table("table4_methods", title, tuple(rows), claims, faces, ("restoration",), runtime=True)


def paper() -> Table:
    longer = pmrf.paper()
    return table4(latent_pmrf.paper(), figure3_convergence.equal(longer), longer, CELEBA_TEST)


def release() -> Table:
    longer = pmrf.release()
    return table4(latent_pmrf.release(), figure3_convergence.equal(longer), longer, CELEBA_TEST)


def small() -> Table:
    return table4(latent_pmrf.small(), pmrf.small(), None, Images("faces256/test", 64, held_out=True))


def debug() -> Table:
    return table4(latent_pmrf.debug(), pmrf.debug(), None, Images("faces256/test", 32, held_out=True))


if __name__ == "__main__":
    launch(__doc__, paper=paper, release=release, small=small, debug=debug)
