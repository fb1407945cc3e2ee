"""Table 3: latent channels of Sim-VAE.

python -m recipes.table3_channels --data DIR --vgg19 FILE --estimator FILE
python -m recipes.table3_channels --data DIR --scale small
"""

from __future__ import annotations

from recipes.common.sizes import Scale
from recipes.common.table_command import launch_table
from recipes.common.tables import Claim, Row, Table
from recipes.latent_pmrf import latent_pmrf
from recipes.sim_vae import sim_vae
from recipes.table1_vaes import paper

PAPER = {
    16: ((37.9034, 0.0261, 0.0966), (26.4412, 0.2191, 0.8918), 4.1006),
    24: ((40.8142, 0.0116, 0.0603), (26.3911, 0.2251, 0.8657), 4.1934),
    32: ((42.7129, 0.0073, 0.0511), (26.3823, 0.2236, 0.8770), 4.2934),
    48: ((45.0554, 0.0033, 0.0485), (26.4600, 0.2264, 0.8863), 4.3055),
}


def table3_channels(scale: Scale = "paper") -> Table:
    rows = []
    for channels, (first, second, q_align) in PAPER.items():
        numbers = paper(first, second)
        numbers["restoration"]["Q-Align"] = q_align
        rows.append(Row(f"{channels} channels", latent_pmrf(scale, sim_vae(scale, channels)), numbers))
    most_first = tuple(f"{channels} channels" for channels in sorted(PAPER, reverse=True))
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
    return Table("table3_channels", "Table 3: impact of latent channels", tuple(rows), claims)


if __name__ == "__main__":
    launch_table(table3_channels, __doc__)
