"""docs/tiling.md: how far tiles are from the untiled result, measured for every kind of autoencoder.

    python -m docs.make.tiling_page --data DIR                      # the networks of the table; writes docs/tiling.md
    python -m docs.make.tiling_page --data DIR --models FOLDER ...  # trained ones besides: what load_autoencoder reads

DIR holds images. Networks of the table have the size of the one that ships and, but for that one, random weights.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import tyro
from torch import Tensor

from pmrf_blocks.autoencoders import SDVAE, SimVAE, load_autoencoder
from pmrf_blocks.autoencoders.tiling import halo, why_not_exact
from pmrf_blocks.data import ImageDataset, find_images
from pmrf_blocks.restoration import BUNDLED
from pmrf_blocks.training.environment import clean_commit, describe_environment
from pmrf_blocks.training.frame import one_line_errors

SIZE = {"latent_channels": 32, "channels": (32, 64, 128, 160), "blocks_per_level": 1, "middle_blocks": 2}


@dataclass(frozen=True)
class Arguments:
    data: Path
    """Folder of images."""
    output: Path = Path("docs/tiling.md")
    """The page."""
    models: tuple[str, ...] = ()
    """Trained autoencoders to measure besides: folders or hub ids."""
    images: int = 4
    """Measure on the first so many."""
    size: int = 256
    """Side that the images are brought to, in pixels."""
    tiles: tuple[int, ...] = (64, 128)
    """Sides of the tiles, in pixels."""
    allow_dirty: bool = False
    """Write the page though files differ from the commit that it names; it then says so."""


def random(kind: Callable[..., SimVAE] = SimVAE, **changes: object) -> SimVAE:
    """A network of the shipped one's size at random weights, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(**{**SIZE, **changes}).eval()


NETWORKS: dict[str, Callable[[], SimVAE]] = {
    "the one that ships, trained": lambda: load_autoencoder(BUNDLED / "autoencoder"),
    "Sim-VAE": random,
    "upsample 'pixel_shuffle'": lambda: random(upsample="pixel_shuffle"),
    "resize 'separate'": lambda: random(resize="separate"),
    "block 'sd', quant_conv": lambda: random(block="sd", quant_conv=True),
    "norm 'group'": lambda: random(norm="group"),
    "middle 'attention'": lambda: random(middle="attention"),
    "SD-VAE": lambda: random(SDVAE, middle_blocks=3),
}


@torch.no_grad()
def errors(model: SimVAE, images: Tensor, tile: int) -> tuple[float, float]:
    """Root mean square difference between tiled and untiled over the untiled one's standard deviation: encoder (mean
    of the posterior) and decoder (of the untiled latent)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        z = model.encode(images).mean
        y = model.decode(z)
        pairs = (
            (model.encode_tiled(images, tile=tile).mean, z),
            (model.decode_tiled(z, tile=tile // model.downsampling), y),
        )
        encoder, decoder = (float((tiled - whole).square().mean().sqrt() / whole.std()) for tiled, whole in pairs)
    return encoder, decoder


def reason(model: SimVAE) -> str | None:
    return why_not_exact([*model.encoder.steps(), *model.decoder.steps()])


def halo_table() -> list[str]:
    """What tiles cost: the surroundings that each needs, from the networks themselves."""
    with torch.device("meta"):
        models = {"SimVAE()": SimVAE(), "the one that ships": SimVAE(**SIZE)}  # type: ignore[arg-type]
    text = ["| network | halo of a tile in the encoder, pixels | in the decoder, latents |", "|---|--:|--:|"]
    for name, model in models.items():
        text.append(f"| {name} | {halo(list(model.encoder.steps()))} | {halo(list(model.decoder.steps()))} |")
    return text


def page(
    rows: dict[str, tuple[str | None, list[tuple[float, float]]]], arguments: Arguments, count: int, commit: str
) -> str:
    environment = describe_environment()
    header = [f"{half}, tile {tile}" for tile in arguments.tiles for half in ("encoder", "decoder")]
    text = [
        "# Tiles",
        "",
        "`encode_tiled` and `decode_tiled` compute a large image a tile at a time: memory is bounded by the tile. A "
        "Sim-VAE is convolutions and norms of single pixels, so what a tile depends on is known, layer by layer, and "
        "the result is the untiled one but for rounding. The price is that the surroundings of every tile, its halo, "
        "are computed again:",
        "",
        *halo_table(),
        "",
        "Layers at the low resolutions have most of the halo and the smallest feature maps. Where a map of the whole "
        "image is no larger than the largest of a tile, they run on the whole image: no memory is lost, and less is "
        "computed twice.",
        "",
        "Group norm and self-attention see the whole image, and so, for all that is known, does a layer of your own "
        "that states no [locality](autoencoders.md). In tiles nothing can be exact there: a RuntimeWarning names the "
        "layer and gives the reason, and tiles with their halo overlap by a quarter and are blended.",
        "",
        "On a CPU the C library may keep what one layer freed while the next one needs other memory. "
        "`decode_tiled(z, before_layer=pmrf_blocks.kernels.give_back_memory)` returns it to the system before each "
        "layer of a tile: the least memory, for some 4 % more time.",
        "",
        "## Measured",
        "",
        "Root mean square difference between tiled and untiled, in standard deviations of the untiled result: the "
        "encoder's mean, and the decoder's image. "
        f"{count} image{'s' * (count > 1)} at {arguments.size}x{arguments.size}, float32; tiles in pixels. Networks "
        "of the shipped one's size; weights are random but where 'trained' is said. Made by "
        f"`python -m docs.make.tiling_page`, commit {commit}, {environment['processor']}.",
        "",
        f"| network | {' | '.join(header)} | sees the whole image |",
        "|---|" + "--:|" * len(header) + "---|",
    ]
    for name, (why, measured) in rows.items():
        cells = [
            "0" if value == 0.0 else f"{value:.1e}" if value < 1e-4 else f"{100 * value:.1f} %"
            for pair in measured
            for value in pair
        ]
        text.append(f"| {name} | {' | '.join(cells)} | {why or 'nothing: exact'} |")
    text += [
        "",
        "0: all that sees the whole image, or all layers, ran on it. What group norm and attention see elsewhere is "
        "the tile and its halo, so the difference shrinks as tiles grow. Random weights are no promise for trained "
        "ones, which may lean on the whole image more, or less: measure yours with `--models FOLDER`.",
    ]
    return "\n".join(text) + "\n"


def main(arguments: Arguments) -> None:
    commit = clean_commit(arguments.allow_dirty)
    try:
        dataset = ImageDataset(find_images(arguments.data)[: arguments.images], size=arguments.size)
        images = torch.stack([dataset[number] for number in range(len(dataset))]).float() / 127.5 - 1.0
        networks = dict(NETWORKS)
        for place in arguments.models:
            networks[f"{'/'.join(Path(place).parts[-2:])}, trained"] = partial(load_autoencoder, place)
        rows = {}
        for name, make in networks.items():
            model = make()
            rows[name] = reason(model), [errors(model, images, tile) for tile in arguments.tiles]
            print(name, *rows[name], file=sys.stderr, flush=True)
    except (ValueError, OSError) as error:
        sys.exit(f"tiling_page: {error}")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(page(rows, arguments, len(images), commit), encoding="utf-8")
    print(arguments.output)


if __name__ == "__main__":
    arguments = tyro.cli(Arguments, description=__doc__)
    with one_line_errors("tiling_page"):
        main(arguments)
