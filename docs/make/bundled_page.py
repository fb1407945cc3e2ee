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
LABELS = {
    **ROWS,
    "linear": "linear map of the Sim-VAE's rate, of the original",
    **{f"before_{row}": f"{ROWS[row]}, the model before" for row in ("mean", "latent", "vae")},
}
SCORES = {
    "psnr": "PSNR, dB ↑",
    "ms_ssim": "MS-SSIM ↑",
    "mse_ratio": "MSE / MSE of the mean",
    "fd": "FD ↓",
    "mmd": "MMD ↓",
    "identity": "identity, ° ↓",
}
DIGITS = {"psnr": 2, "ms_ssim": 3, "mse_ratio": 2}
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
            "Latent before pixels: Latent-PMRF is nearer to the originals than PMRF in pixels, by FD and by MMD (its "
            "flow was trained on 15 times as many images: no comparison at equal compute).",
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
    """SCORES of each of `rows` as a Markdown table; without a column that was not measured."""
    names = [name for name in SCORES if any(name in table[row] for row in rows)]
    text = ["| | " + " | ".join(SCORES[name] for name in names) + " |", "|---|" + "---|" * len(names)]
    for row, label in rows.items():
        text.append(f"| {label} | " + " | ".join(cell(table[row][name], DIGITS.get(name, 1)) for name in names) + " |")
    return text


def cell(value: dict[str, float], digits: int) -> str:
    spread = f" ± {value['sd']:.{digits}f}" if value["sd"] else ""
    return f"{value['mean']:.{digits}f}{spread}"


def goals(table: dict[str, dict[str, dict[str, float]]], split: str) -> list[str]:
    """What the model that ships is to reach, and whether it does."""

    def mean(row: str, name: str) -> float:
        return table[row][name]["mean"]

    above = mean("vae", "psnr") - mean("linear", "psnr")
    lines = [goal("Sim-VAE at least 4 dB above the linear map of its rate", f"{above:+.1f} dB", above >= 4)]
    if "before_mean" in table:
        gain = mean("mean", "psnr") - mean("before_mean", "psnr")
        lines.append(goal("posterior mean at least 0.5 dB above the model before", f"{gain:+.2f} dB", gain >= 0.5))
    if split == "val":
        for name in ("fd", "mmd"):
            share = mean("latent", name) / mean("mean", name)
            claim = f"Latent-PMRF's {SCORES[name][:-2]} at most 0.6 of the posterior mean's"
            lines.append(goal(claim, f"{share:.2f}", share <= 0.6))
    loss = mean("mean", "psnr") - mean("latent", "psnr")
    lines.append(goal("Latent-PMRF's PSNR within 1 dB of the posterior mean's", f"{-loss:+.2f} dB", loss <= 1))
    if "identity" in table["mean"]:
        turn = mean("latent", "identity") - mean("mean", "identity")
        lines.append(goal("its identity distance no worse than the posterior mean's", f"{turn:+.1f}°", turn <= 0))
    return ["| goal | measured | |", "|---|---|---|", *lines]


def goal(claim: str, measured: str, met: bool) -> str:
    return f"| {claim} | {measured} | {'met' if met else 'missed'} |"


def markdown(result: dict[str, Any]) -> str:
    table, seeds = result["table"], seeds_in_words(result["seeds"])
    text = [
        "# The bundled model on held-out faces",
        "",
        f"{result['images']} {CREDITS[result['split']]}, at {result['size']}x{result['size']}, degraded by the "
        f"blind-face degradation with {seeds}; models trained on synthetic faces; {how(result)}. "
        f"Made by `python -m docs.make.bundled_results`, commit {result['environment']['revision']}, "
        f"{result['environment']['processor']}.",
        "",
        *score_rows(table, result["labels"]),
        "",
        "FD and MMD are on EfficientNet-Lite0 features, an offline stand-in for Inception and DINOv2: compare them "
        "within this table only. FD is over the 64 principal components of the originals' features; MMD is unbiased, "
        "times 1000, with the originals' median distance as kernel width. MS-SSIM has four scales: the fifth needs "
        "more than 160 pixels. Identity is the angle of dlib's embeddings, of the first degradation alone. The "
        "networks that training saw (EfficientNet-Lite1, perceptual loss of the autoencoder) are not those that "
        "measure. The linear map is that of the 32 principal components of 8x8 patches of the training faces: a "
        "network below it is worth nothing.",
        "",
        "## Goals",
        "",
        *goals(table, result["split"]),
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


def how(result: dict[str, Any]) -> str:
    return f"{result['steps']} {result['solver'].capitalize()} step{'s' if result['steps'] > 1 else ''}"


def sweep_table(result: dict[str, Any]) -> list[str]:
    """Solvers and steps; with it the least number of evaluations that scores as its solver's most steps do."""
    names = [name for name in ("psnr", "fd", "mmd", "identity") if name in result["sweep"][0]]
    text = [
        "## Steps",
        "",
        "Latent-PMRF, the first degradation seed. A row in bold has the fewest steps of its solver at which no score "
        "is worse than after the most steps by more than the spread over degradation seeds in the table above; "
        "identity has none.",
        "",
        f"| solver | steps | evaluations | {' | '.join(SCORES[name] for name in names)} | ms an image |",
        "|---|---|---|" + "---|" * (len(names) + 1),
    ]
    for entry in result["sweep"]:
        bold = "**" if entry is enough(result, entry["solver"], names) else ""
        cells = [entry["solver"], f"{bold}{entry['steps']}{bold}", entry["nfe"]]
        cells += [f"{entry[name]:.{DIGITS.get(name, 1)}f}" for name in names]
        text.append(f"| {' | '.join(map(str, [*cells, round(entry['milliseconds'])]))} |")
    return text


def enough(result: dict[str, Any], solver: str, names: Sequence[str]) -> dict[str, Any]:
    """The entry of a solver with the fewest steps that is no worse than that with the most, within the spread."""
    entries = sorted((entry for entry in result["sweep"] if entry["solver"] == solver), key=lambda entry: entry["nfe"])

    def loses(entry: dict[str, Any], name: str) -> float:
        worse = entry[name] - entries[-1][name]
        return -worse if name == "psnr" else worse

    spreads = {name: result["table"]["latent"][name]["sd"] for name in names if name != "identity"}
    return next(entry for entry in entries if all(loses(entry, name) <= spreads[name] for name in spreads))
