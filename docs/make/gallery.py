"""docs/gallery.md and its pictures: every degradation at five strengths, the flow's path, weights, tiles.

    python -m docs.make.gallery                 # docs/gallery.md, docs/gallery/*.jpg

The face is scikit-image's astronaut (Eileen Collins, NASA, public domain); the model is the one that ships.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from skimage.data import astronaut
from torch import Tensor, nn

from pmrf_blocks.commands.demo import face
from pmrf_blocks.degradations import (
    JPEG,
    BlindFaceDegradation,
    Colourisation,
    Denoising,
    GaussianBlur,
    GaussianNoise,
    Greyscale,
    Inpainting,
    RandomMask,
    Resize,
    SuperResolution,
)
from pmrf_blocks.flow import add_source_noise, integrate
from pmrf_blocks.images import save_picture
from pmrf_blocks.restoration import LatentPMRF, comparison, load_restorer
from pmrf_blocks.restoration.aligned import resize_shorter
from pmrf_blocks.restoration.photographs import WEIGHT
from pmrf_blocks.restoration.spaces import from_signed, to_signed
from pmrf_blocks.seeding import derive_generator

Row = list[tuple[str, Tensor]]
TILE = 128  # pixels of a picture's side
STEPS, SHARE = 9, 0.3  # of the flow, shown at ten times; of the blind-face degradation's ranges
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
LATENTS, AMPLIFIED = 4, 20  # a tile's side; what differences are multiplied by

HEAD = """\
# Gallery

What the blocks do to one face: Eileen Collins, NASA, public domain; 128x128 pixels, enlarged. Made by
`python -m docs.make.gallery`.
"""
PATH = f"""\
What the state decodes to on its way from the latent of the posterior mean (t = 0) to that of a sharp face (t = 1), in
{STEPS} Euler steps. Rectified flow learns straight lines, so most of the way is gone evenly. Degraded as in the next
picture."""
WEIGHT_WORDS = f"""\
`restore(..., weight=W)`: 0 is the posterior mean, of least squared error; 1 the flow's result. Below: the degraded face
(`BlindFaceDegradation` at {SHARE:.0%} of its ranges), and the original. Whole photographs are restored at {WEIGHT:g}
unless you say otherwise ([photographs](photographs.md))."""
TILES = f"""\
A Sim-VAE's norms are per pixel and its middle is convolutional, so that `decode_tiled` is exact: tiles of
{LATENTS}x{LATENTS} latents with the margin that the layers see ([tiling](tiling.md)). Tiles without that margin leave
seams. Differences times {AMPLIFIED}, grey is none."""


def blind(share: float) -> BlindFaceDegradation:
    """The blind-face pipeline with every parameter at one share of its published range."""
    return BlindFaceDegradation.fixed(
        sigma=0.1 + 14.9 * share, factor=0.8 + 31.2 * share, noise=20 * share, quality=round(100 - 70 * share)
    )


def down_and_up(factor: float) -> Callable[..., Tensor]:
    def apply(x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return Resize(height, width)(Resize(round(height / factor), round(width / factor))(x))

    return apply


# Title, what is drawn, its strengths, how a strength is written.
DEGRADATIONS: tuple[tuple[str, Callable[[float], Callable[..., Tensor]], tuple[float, ...], str], ...] = (
    ("`BlindFaceDegradation`, all ranges at one share", blind, (0.1, 0.2, 0.4, 0.7, 1.0), "{:.0%}"),
    ("`GaussianBlur`, sigma in pixels", lambda s: GaussianBlur(41, s), (0.5, 1.0, 2.0, 4.0, 8.0), "{:g}"),
    ("`Resize` down and up, factor", down_and_up, (1.5, 2.0, 4.0, 8.0, 16.0), "{:g}"),
    ("`GaussianNoise`, sigma", GaussianNoise, (0.02, 0.05, 0.1, 0.2, 0.4), "{:g}"),
    ("`JPEG`, quality", JPEG, (90, 60, 30, 15, 5), "{:g}"),
    ("`RandomMask`, share of pixels", RandomMask, (0.1, 0.3, 0.5, 0.7, 0.9), "{:.0%}"),
    ("`Denoising`, sigma (published: 0.35)", Denoising, (0.05, 0.1, 0.2, 0.35, 0.5), "{:g}"),
    ("`Inpainting`, share of pixels (0.9)", Inpainting, (0.3, 0.5, 0.7, 0.9, 0.97), "{:.0%}"),
    ("`Colourisation`, sigma (0.25)", Colourisation, (0.0, 0.05, 0.1, 0.25, 0.5), "{:g}"),
    ("`SuperResolution`, factor (8)", lambda s: SuperResolution(int(s)), (2, 4, 8, 16, 32), "{:g}"),
)


def degraded(degradation: Callable[..., Tensor], image: Tensor) -> Tensor:
    """An image (3, H, W) degraded as it is shown, drawn from a fixed seed."""
    call = degradation.forward if isinstance(degradation, nn.Module) else degradation
    draws = "generator" in inspect.signature(call).parameters
    result = degradation(image[None], **({"generator": derive_generator("gallery")} if draws else {}))
    result = result[0] if isinstance(result, tuple) else result
    return result[0]


def strengths(image: Tensor) -> list[tuple[str, Row]]:
    return [
        (title, [(written.format(s), degraded(build(s), image)) for s in values])
        for title, build, values, written in DEGRADATIONS
    ] + [("`Greyscale`", [("", degraded(Greyscale(), image))])]


@torch.no_grad()
def path(model: LatentPMRF, y: Tensor, seed: int) -> Row:
    """What the flow's state decodes to, at t = 0 to 1: rectified flow's straight line, as far as it was learnt."""
    source, condition = model.start(y[None])
    x = add_source_noise(source, model.source_noise, derive_generator("gallery path", seed))
    flow = integrate(lambda x, t: model.drift(x, t, condition), x, STEPS, return_trajectory=True)
    size = (y.shape[-2], y.shape[-1])
    return [(f"t = {k / STEPS:.2f}", model.image(state, size)[0]) for k, state in enumerate(flow.trajectory or ())]


@torch.no_grad()
def tiles(model: LatentPMRF, image: Tensor) -> Row:
    """A reconstruction at once, in exact tiles, and in tiles that see nothing around them, with the differences."""
    vae = model.autoencoder
    z = vae.encode(to_signed(image[None])).mode()
    whole, tiled = vae.decode(z), vae.decode_tiled(z, tile=LATENTS)
    alone = torch.cat(
        [torch.cat([vae.decode(part) for part in row.split(LATENTS, 3)], 3) for row in z.split(LATENTS, 2)], 2
    )

    def shown(x: Tensor) -> Tensor:
        return from_signed(x[0]).clamp(0, 1)

    def difference(x: Tensor) -> Tensor:
        return (0.5 + AMPLIFIED * 0.5 * (x - whole)[0]).clamp(0, 1)

    return [
        ("at once", shown(whole)),
        ("decode_tiled", shown(tiled)),
        ("its difference", difference(tiled)),
        ("tiles alone", shown(alone)),
        ("their difference", difference(alone)),
    ]


def main(output: Path = Path("docs")) -> None:
    """Write OUTPUT/gallery.md and OUTPUT/gallery/.

    Args:
        output: Folder of the documentation.
    """
    folder = output / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    model = load_restorer("bundled", optimize=True)
    assert isinstance(model, LatentPMRF)
    image = resize_shorter(face(torch.from_numpy(astronaut().copy()).permute(2, 0, 1)).float() / 255.0, model.size)
    y = degraded(blind(SHARE), image)
    between = [(f"weight {w:g}", model.restore(y[None], weight=w).image[0]) for w in WEIGHTS]
    walked = path(model, y, seed=0)
    text = [HEAD, "## Degradations", ""]
    rows = strengths(image)
    save_picture(comparison([row for _, row in rows], tile=TILE), folder / "degradations.jpg")
    text += ["![Every degradation at five strengths](gallery/degradations.jpg)", "", "From top to bottom:", ""]
    text += [f"{number}. {title}" for number, (title, _) in enumerate(rows, 1)]
    ends: Row = [("degraded", y), ("original", image)]
    for name, title, words, shown in (
        ("path", "The flow's path", PATH, [walked[:5], walked[5:]]),
        ("weights", "Weight", WEIGHT_WORDS, [between, ends]),
        ("tiles", "Tiles", TILES, [tiles(model, image)]),
    ):
        save_picture(comparison(shown, tile=TILE), folder / f"{name}.jpg")
        text += ["", f"## {title}", "", f"![{title}](gallery/{name}.jpg)", "", words]
    (output / "gallery.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print(output / "gallery.md")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
