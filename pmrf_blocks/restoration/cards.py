"""The model card of a pipeline, and its picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pmrf_blocks.hub import CARD, PICTURE
from pmrf_blocks.images import save_picture, take_picture, write_image
from pmrf_blocks.model_cards import (
    PROVENANCE,
    Place,
    card,
    first_paragraph,
    import_of,
    own_modules,
    parameters_of,
    table,
    write_card,
)
from pmrf_blocks.pretrained import read_json
from pmrf_blocks.restoration.comparison import comparison
from pmrf_blocks.restoration.names import networks_of
from pmrf_blocks.seeding import derive_generator

LEFT, TOP, SIDE = 137, 19, 176  # an FFHQ-like crop of the face of scikit-image's astronaut, chosen by eye
CHEAP = 256  # pixels up to which a model's picture is made unasked
PORTRAIT = "The face is scikit-image's astronaut (Eileen Collins, NASA, public domain), degraded as blind faces are. "
Picture = bool | Tensor | Image.Image


def write_pipeline_card(
    pipeline: Any, folder: Path, config: Mapping[str, Any], *, place: Place, license: str | None, picture: Picture
) -> None:
    """Write README.md, unless there is one, and its picture; `config` is what config.json says."""
    if (folder / CARD).exists():
        return
    told = pipeline.provenance
    if told is None and (folder / PROVENANCE).is_file():
        told = read_json(folder / PROVENANCE)
    networks = networks_of(pipeline)
    classes = config["networks"]
    own = [config, *(getattr(network, "config", {}) for network in networks.values())]
    trusted = sorted(set(own_modules(own)))
    line, name = import_of(config["pipeline"], "pipeline")
    rows = [[key, f"`{classes[key]}`", f"{parameters_of(network):,}"] for key, network in networks.items()]
    facts = [*table(["network", "class", "parameters"], rows), ""] if rows else []
    facts.append(f"Working size: {pipeline.size} pixels, the shorter side that photographs are brought to.")
    if pipeline.velocity is not None:
        solver = pipeline.solver if isinstance(pipeline.solver, str) else getattr(pipeline.solver, "__name__", "own")
        facts.append(f"Steps unless told: {pipeline.steps} ({solver}), source noise {pipeline.source_noise:g}.")
    flows = pipeline.velocity is not None and name != "ResShift"
    caption = None if picture is False else draw(pipeline, picture, folder / PICTURE)
    text = card(
        place.title,
        about=f"A `{name}` of the Python package pmrf_blocks. {first_paragraph(type(pipeline))}",
        facts=facts,
        code=[
            line,
            "",
            f"restorer = {name}.from_pretrained({place.arguments(trusted)})",
            "restored = restorer.restore(images).image  # both RGB in [0, 1], (B, 3, H, W)",
        ],
        tags=["image-restoration", name.lower(), *(["rectified-flow"] if flows else [])],
        license=license,
        provenance=told,
        caption=caption,
    )
    write_card(folder, text)


def draw(pipeline: Any, picture: Picture, path: Path) -> str:
    """Write the picture of a card; what stands under it."""
    if isinstance(picture, Image.Image):
        write_image(take_picture(picture), path)
        return "Made by this model."
    degraded = portrait(pipeline.size) if isinstance(picture, bool) else picture
    note = PORTRAIT if isinstance(picture, bool) else ""
    restored = pipeline.restore(degraded)
    images = {"degraded": degraded, "posterior mean": restored.posterior_mean, "restored": restored.image}
    rows = [[(name, own[i]) for name, own in images.items() if own is not None] for i in range(len(degraded))]
    save_picture(comparison(rows, tile=max(CHEAP, pipeline.size)), path)
    columns = ", ".join(name for name, own in images.items() if own is not None)
    return f"{note}Before and after, by this model with seed 0: {columns}."


def portrait(size: int) -> Tensor:
    """(1, 3, size, size) in [0, 1]: a face, degraded."""
    from skimage.data import astronaut

    from pmrf_blocks.degradations import BlindFaceDegradation
    from pmrf_blocks.restoration.aligned import resize_shorter

    face = torch.from_numpy(astronaut()[TOP : TOP + SIDE, LEFT : LEFT + SIDE].copy()).permute(2, 0, 1).float() / 255
    degradation = BlindFaceDegradation(grey=0.0)
    return degradation(resize_shorter(face, size)[None], generator=derive_generator("model card", 0))[0]
