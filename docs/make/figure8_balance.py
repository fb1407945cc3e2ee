"""Figure 8: how unbalanced the feature maps of autoencoders are, layer norm against group norm.

    python -m docs.make.figure8_balance --data DIR --models FOLDER FOLDER ... --output docs/results/figure8_balance.png

DIR holds images of any kind; FOLDERs (or hub ids) are what load_autoencoder() reads. A fair comparison is two networks
that were trained alike and differ in their norm alone. Without --models it measures the autoencoder that ships (layer
norm, trained) and two untrained twins of it, one of each norm: what the norms do before any training.
Writes the plot, and beside it its numbers as JSON and a page.
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

from pmrf_blocks.autoencoders import Imbalance, SimVAE, feature_balance, feature_magnitudes, load_autoencoder
from pmrf_blocks.data import ImageDataset, find_images
from pmrf_blocks.plotting import new_figure, save_figure
from pmrf_blocks.restoration import BUNDLED
from pmrf_blocks.training.environment import clean_commit, describe_environment
from pmrf_blocks.training.frame import one_line_errors

SCORES = {"peak": "largest / median magnitude", "share": "% of the energy in the strongest 1 % of pixels"}
UNTRAINED = "untrained"
SHOWN = 2  # images, as in the figure
BRIGHTEST = 4.0  # times the median magnitude, where the maps' colours end


@dataclass(frozen=True)
class Arguments:
    data: Path
    """Folder of images."""
    output: Path = Path("docs/results/figure8_balance.png")
    """The plot; numbers and page go to the same name with .json and .md."""
    models: tuple[str, ...] = ()
    """Folders or hub ids of autoencoders; the one that ships and its untrained twins when not given."""
    labels: tuple[str, ...] = ()
    """Names of the models in the plot, one a model; folder and norm when not given."""
    twins: bool = False
    """Add untrained twins of the first model, one of each norm, to the models given."""
    images: int = 32
    """Measure on the first so many."""
    size: int = 256
    """Side that the images are brought to, in pixels."""
    threads: int | None = None
    """CPU threads; all cores when not given. Several are faster by OMP_NUM_THREADS=n."""
    allow_dirty: bool = False
    """Write the page though files differ from the commit that it names; it then says so."""


def read_images(folder: Path, count: int, size: int) -> Tensor:
    """The first `count` images of a folder, (N, 3, size, size) in [-1, 1]."""
    dataset = ImageDataset(find_images(folder)[:count], size=size)
    return torch.stack([dataset[number] for number in range(len(dataset))]).float() / 127.5 - 1.0


def untrained_twins(model: SimVAE) -> dict[str, SimVAE]:
    """The same network at random weights, with each norm; both start from the same seed."""
    twins = {}
    for norm in ("layer", "group"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            twins[f"{UNTRAINED}, {norm} norm"] = SimVAE(**{**model.config, "norm": norm}).eval()
    return twins


def collect(arguments: Arguments) -> dict[str, SimVAE]:
    """The models by their labels."""
    places = arguments.models or (str(BUNDLED / "autoencoder"),)
    models = [load_autoencoder(place) for place in places]
    labels = arguments.labels or tuple(
        f"{'/'.join(Path(place).parts[-2:])}, {model.design.norm} norm" for place, model in zip(places, models)
    )
    if len(labels) != len(models) or len(set(labels)) != len(labels):
        raise ValueError(f"labels must be different and one a model; got {', '.join(labels)} for {len(models)} models")
    twins = untrained_twins(models[0]) if arguments.twins or not arguments.models else {}
    return {**dict(zip(labels, models)), **twins}


def draw(results: dict[str, list[Imbalance]], maps: dict[str, Tensor], images: Tensor) -> Any:
    """Lines over the layers above; below, images and the magnitudes of their latents over the median."""
    figure = new_figure(11, 6.5 + 1.4 * SHOWN)
    upper, lower = figure.subfigures(2, 1, height_ratios=(4.4, 1.5 * SHOWN + 0.6), squeeze=False).flat
    for axes, (score, title) in zip(upper.subplots(1, 2), SCORES.items()):
        for label, layers in results.items():
            axes.plot(depths(layers), [scores(layer)[score] for layer in layers], marker="o", markersize=3, label=label)
        axes.axvline(0.5, color="0.8", zorder=0)
        axes.set_ylim(bottom=1.0)  # 1 and 1 %: a map of equal magnitudes
        axes.set_xticks((0, 0.5, 1), ("image", "latent", "image"))
        axes.set_title(title)
        axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small")
    columns = lower.subplots(len(images), 1 + len(maps), squeeze=False)
    for row, image in zip(columns, images):
        row[0].imshow((0.5 * (image + 1.0)).clamp(0, 1).permute(1, 2, 0).numpy())
    shown = None
    for column, (label, magnitude) in enumerate(maps.items(), start=1):
        relative = magnitude / magnitude.flatten(1).median(dim=1).values.view(-1, 1, 1)
        for row, values in zip(columns, relative):
            shown = row[column].imshow(values.numpy(), vmin=0.0, vmax=BRIGHTEST, cmap="magma")
        columns[0][column].set_title(label, fontsize="small")
    for axes in columns.flat:
        axes.set_axis_off()
    lower.colorbar(shown, ax=columns, fraction=0.03, label="latent magnitude / median")
    return figure


def scores(layer: Imbalance) -> dict[str, float]:
    return {"peak": layer.peak, "share": 100.0 * layer.share}


def depths(layers: list[Imbalance]) -> list[float]:
    """Where layers stand from image (0) through latent (0.5) to image (1), so that unequal networks compare."""
    latent = [layer.layer for layer in layers].index("latent")
    after = max(len(layers) - 1 - latent, 1)
    return [0.5 * min(i / max(latent, 1), 1.0) + 0.5 * max(i - latent, 0) / after for i in range(len(layers))]


def main(arguments: Arguments) -> None:
    commit = clean_commit(arguments.allow_dirty)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    try:
        models = collect(arguments)
        images = read_images(arguments.data, arguments.images, arguments.size)
        results = {label: feature_balance(model, images) for label, model in models.items()}
        maps = {label: feature_magnitudes(model, images[:SHOWN])["latent"] for label, model in models.items()}
        save_figure(draw(results, maps, images[:SHOWN]), arguments.output)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"figure8_balance: {error}")
    record = {
        "images": len(images),
        "size": arguments.size,
        "environment": {**describe_environment(), "revision": commit, "command": None},
        "models": {label: [asdict(layer) for layer in layers] for label, layers in results.items()},
    }
    arguments.output.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    text = page(arguments.output.name, results, record)
    arguments.output.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def page(picture: str, results: dict[str, list[Imbalance]], record: dict[str, Any]) -> str:
    """The plot's page: what is measured, and the typical and the worst layer of each model."""
    environment = record["environment"]
    text = [
        "# Balance of feature maps (figure 8)",
        "",
        "The magnitude of a pixel of a feature map is the root mean square over its channels. *Peak* is the largest "
        "magnitude over the median; *share* is the part of the sum of squared magnitudes that the strongest 1 % of the "
        "pixels hold. A map of equal magnitudes has 1 and 1 %. Each is a mean over the images, for the output of every "
        "residual block, resizing layer, attention and first convolution, and for the latent. "
        f"{record['images']} images at {record['size']}x{record['size']}; made by "
        f"`python -m docs.make.figure8_balance`, commit {environment['revision']}, {environment['processor']}.",
        "",
        f"![magnitudes by layer, and of two latents]({picture})",
        "",
        "| model | peak: median layer | worst layer | share: median layer | worst layer | peak of the latent |",
        "|---|---|---|---|---|---|",
    ]
    for label, layers in results.items():
        cells = []
        for score, unit in (("peak", ""), ("share", " %")):
            values = [scores(layer)[score] for layer in layers]
            worst = layers[values.index(max(values))]
            cells += [f"{statistics.median(values):.2f}{unit}", f"{max(values):.2f}{unit}, `{worst.layer}`"]
        latent = next(layer for layer in layers if layer.layer == "latent")
        text.append(f"| {label} | {' | '.join(cells)} | {latent.peak:.2f} |")
    if any(label.startswith(UNTRAINED) for label in results):
        text += [
            "",
            "Untrained twins show what the norm alone does to random layers. They say nothing of what training makes "
            "of it: that takes a twin trained with group norm (a row of the recipe for table 2), given to `--models`.",
        ]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    arguments = tyro.cli(Arguments, description=__doc__)
    with one_line_errors("figure8_balance"):
        main(arguments)
