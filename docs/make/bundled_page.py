"""The page that bundled_results.py writes: tables, what the theory says of them, and which pictures are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ROWS = {
    "degraded": "degraded",
    "mean": "posterior mean",
    "mean_vae": "posterior mean through the Sim-VAE",
    "latent": "Latent-PMRF",
    "pixel": "PMRF in pixels",
    "vae": "Sim-VAE of the original",
}
SCORES = {
    "psnr": "PSNR, dB ↑",
    "ms_ssim": "MS-SSIM ↑",
    "mse_ratio": "MSE / MSE of the mean",
    "fd": "FD ↓",
    "mmd": "MMD ↓",
}
SHOWN = 8
CREDITS = {
    "test": "aligned photographs of real people (DeBruine, L., 2022, webmorphR.stim, CC BY 4.0)",
    "val": "aligned synthetic faces of the kind that the models were trained on",
}


def verdicts(table: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """What the theory says of the rows, and whether it showed here."""

    def mean(row: str, name: str) -> float:
        return table[row][name]["mean"]

    def line(claim: str, holds: bool) -> str:
        return f"- {claim} **{'Holds' if holds else 'Does not hold'}** here."

    return [
        line(
            "Least distortion: no row has a smaller squared error than the posterior mean.",
            all(mean("mean", "psnr") >= mean(row, "psnr") for row in ("mean_vae", "latent", "pixel")),
        ),
        line(
            "Better perception: Latent-PMRF is nearer to the originals than the posterior mean, by FD and by MMD.",
            all(mean("latent", name) < mean("mean", name) for name in ("fd", "mmd")),
        ),
        line(
            "The price is bounded: at perfect perceptual quality the least squared error is at most twice that of "
            f"the posterior mean (Blau & Michaeli, 2018); Latent-PMRF's is {mean('latent', 'mse_ratio'):.2f} times it.",
            mean("latent", "mse_ratio") <= 2.0,
        ),
        line(
            "Latent before pixels: at about the same training compute Latent-PMRF is nearer to the originals than "
            "PMRF in pixels, by FD and by MMD.",
            all(mean("latent", name) < mean("pixel", name) for name in ("fd", "mmd")),
        ),
        line(
            "The autoencoder is the floor: nothing restored is nearer to the originals than their own "
            "reconstructions, by FD and by MMD.",
            all(mean("vae", name) <= mean(row, name) for row in ("latent", "pixel", "mean") for name in ("fd", "mmd")),
        ),
    ]


def reasons(result: dict[str, Any]) -> list[str]:
    """Why the least-distortion claim can fail, where it does; what held-out data of the training's kind tell."""
    table = result["table"]
    if table["mean"]["psnr"]["mean"] >= table["mean_vae"]["psnr"]["mean"]:
        return []
    text = (
        "The posterior mean is an estimate, by a small network trained for a short time: its passage through "
        f"the autoencoder lowers its squared error by {100 * (1 - table['mean_vae']['mse_ratio']['mean']):.0f} %, "
        "which nothing could do to the true posterior mean."
    )
    if result["split"] == "test":
        text += (
            " The models were trained on synthetic faces, these are photographs; "
            "[bundled-validation.md](bundled-validation.md) has the same table on held-out synthetic faces."
        )
    return ["", text]


def seeds_in_words(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}, once, so without a spread"
    return f"seeds {', '.join(map(str, seeds))} (mean ± standard deviation over them)"


def score_rows(table: dict[str, dict[str, dict[str, float]]], rows: dict[str, str]) -> list[str]:
    """SCORES of each of `rows` as a Markdown table."""
    text = ["| | " + " | ".join(SCORES.values()) + " |", "|---|" + "---|" * len(SCORES)]
    for row, label in rows.items():
        cells = []
        for name in SCORES:
            digits = 3 if name == "ms_ssim" else 2 if name in ("psnr", "mse_ratio") else 1
            value = table[row][name]
            spread = f" ± {value['sd']:.{digits}f}" if value["sd"] else ""
            cells.append(f"{value['mean']:.{digits}f}{spread}")
        text.append(f"| {label} | " + " | ".join(cells) + " |")
    return text


def markdown(result: dict[str, Any]) -> str:
    table, seeds = result["table"], seeds_in_words(result["seeds"])
    text = [
        "# The bundled model on held-out faces",
        "",
        f"{result['images']} {CREDITS[result['split']]}, at {result['size']}x{result['size']}, degraded by the "
        f"blind-face degradation with {seeds}; models trained on synthetic faces; 25 Euler steps. "
        f"Made by `python -m docs.make.bundled_results`, commit {result['environment']['revision']}, "
        f"{result['environment']['processor']}.",
        "",
        *score_rows(table, ROWS),
        "",
        "FD and MMD are on EfficientNet-Lite0 features, an offline stand-in for Inception and DINOv2: compare them "
        f"within this table only. FD over {result['images']} images is biased upwards, the same for every row; MMD is "
        "biased, times 1000, with the originals' median distance as kernel width. MS-SSIM has four scales: the fifth "
        "needs more than 160 pixels. The networks that training saw (EfficientNet-Lite1, perceptual loss of the "
        "autoencoder) are not the one that measures.",
        "",
        "## Does the theory show at this scale?",
        "",
        *result["verdicts"],
        *reasons(result),
    ]
    if result["sweep"]:
        text += ["", *sweep_table(result)]
    text += [
        "",
        "## Pictures",
        "",
        f"![{SHOWN} faces]({result['name']}.jpg)",
        "",
        f"From top to bottom: original, {', '.join(ROWS.values())}. The first {SHOWN} faces of the set, not chosen.",
    ]
    return "\n".join(text) + "\n"


def sweep_table(result: dict[str, Any]) -> list[str]:
    text = [
        "## Steps and source noise",
        "",
        "Latent-PMRF, degradation seed 0. The model was trained with a source noise of "
        f"{result['source_noise']:g} and ships with 25 steps; this table chose nothing.",
        "",
        "| source noise | steps | PSNR, dB ↑ | FD ↓ | MMD ↓ | ms an image |",
        "|---|---|---|---|---|---|",
    ]
    return text + [
        f"| {entry['source_noise']:g} | {entry['steps']} | {entry['psnr']:.2f} | {entry['fd']:.1f} | "
        f"{entry['mmd']:.1f} | {entry['milliseconds']:.0f} |"
        for entry in result["sweep"]
    ]
