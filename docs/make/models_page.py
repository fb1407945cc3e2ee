"""docs/models.md: the parameters of every preset against the published counts, and the names of its weights.

    python -m docs.make.models_page                  # writes docs/models.md; a test says when it is out of date
    python -m docs.make.models_page --names          # prints the names as JSON: tests/weight_names.json holds them

Networks are built without memory (torch's meta device): it takes seconds. A new preset is one row of PRESETS.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import nn

from docs.make.weight_names import compact
from pmrf_blocks.autoencoders import SDVAE, SimVAE
from pmrf_blocks.estimators import UNet, difface_swinir, elir_rrdb, pmrf_swinir
from pmrf_blocks.pretrained import CONFIG, read_json
from pmrf_blocks.restoration import BUNDLED
from pmrf_blocks.transformers import HourglassTransformer, latent_pmrf_hdit, pmrf_controlled_hdit, pmrf_hdit

PAGE = Path(__file__).resolve().parents[1] / "models.md"
RELEASE = "official release"
DIFFUSERS = "counted in diffusers"


@dataclass(frozen=True)
class Preset:
    """One row: how the network is made, and how many parameters it was published with, if that was."""

    build: Callable[[], nn.Module]
    published: float | None = None
    source: str = ""


def bundled(kind: Callable[..., nn.Module], folder: str) -> Callable[[], nn.Module]:
    """A network that ships, from its own config.json."""

    def build() -> nn.Module:
        config = read_json(BUNDLED / folder / CONFIG)
        config.pop("class")
        return kind(**config)

    return build


PRESETS: dict[str, dict[str, Preset]] = {
    "Autoencoders": {
        "SimVAE(16)": Preset(lambda: SimVAE(16), 90_809_379, RELEASE),
        "SimVAE(24)": Preset(lambda: SimVAE(24)),
        "SimVAE()": Preset(SimVAE, 91_030_595, RELEASE),
        "SimVAE(48)": Preset(lambda: SimVAE(48)),
        'SimVAE(norm="group")': Preset(lambda: SimVAE(norm="group")),
        'SimVAE(middle="attention")': Preset(lambda: SimVAE(middle="attention")),
        'SimVAE(resize="separate")': Preset(lambda: SimVAE(resize="separate")),
        'SimVAE(upsample="pixel_shuffle")': Preset(lambda: SimVAE(upsample="pixel_shuffle")),
        'SimVAE(block="sd")': Preset(lambda: SimVAE(block="sd")),
        "SDVAE()": Preset(SDVAE, 84_040_899, DIFFUSERS),
        "SDVAE(4, quant_conv=True)": Preset(
            lambda: SDVAE(4, quant_conv=True), 83_653_863, f"SD1.5 and SDXL, {DIFFUSERS}"
        ),
        "SDVAE(16)": Preset(lambda: SDVAE(16), 83_819_683, f"FLUX.1, {DIFFUSERS}"),
        "bundled/autoencoder": Preset(bundled(SimVAE, "autoencoder")),
    },
    "Velocity models": {
        "pmrf_hdit()": Preset(pmrf_hdit, 160.46e6, "counted in the authors' code"),
        "pmrf_hdit(augmentation=False)": Preset(lambda: pmrf_hdit(augmentation=False), 159.8e6, "paper, table 4"),
        "pmrf_controlled_hdit()": Preset(pmrf_controlled_hdit),
        "pmrf_controlled_hdit(condition_channels=3)": Preset(lambda: pmrf_controlled_hdit(condition_channels=3)),
        "latent_pmrf_hdit()": Preset(latent_pmrf_hdit, 151.2e6, "paper, table 4"),
        "bundled/velocity": Preset(bundled(HourglassTransformer, "velocity")),
        "bundled/pixel/velocity": Preset(bundled(HourglassTransformer, "pixel/velocity")),
    },
    "Estimators": {
        "difface_swinir()": Preset(difface_swinir, 15.7e6, "paper, table 4"),
        "pmrf_swinir()": Preset(pmrf_swinir),
        "elir_rrdb()": Preset(elir_rrdb),
        "elir_rrdb(expanded=True)": Preset(lambda: elir_rrdb(expanded=True)),
        "UNet()": Preset(UNet),
        "bundled/estimator": Preset(bundled(UNet, "estimator")),
    },
}

NAMING = {
    "Autoencoders": "The names of the published AutoencoderKLSim and AutoencoderKL. Resizing layers are `downsampler` "
    "and `upsampler`, where diffusers' AutoencoderKL has `downsamplers.0` and `upsamplers.0`: `load_autoencoder` and "
    "`save_diffusers` translate. `down_blocks.I` count from full resolution down, `up_blocks.I` from the latent up; "
    "`norm` is the simple block's one, `norm1` and `norm2` the SD block's two.",
    "Velocity models": "The names of k-diffusion's image transformer, and `conv` for the depth-wise convolutions and "
    "the convolutional resampling that it does not have. "
    "Levels count from high to low resolution in `down_levels`, `merges`, `splits` and `up_levels` alike.",
    "Estimators": "SwinIR has the names of its authors' code, less the buffers (`relative_position_index`, "
    "`attn_mask`) that are computed here. RRDB has ELIR's; collapsed, `block` has one convolution. UNet's are its own.",
}


@functools.cache
def build_all() -> dict[str, dict[str, nn.Module]]:
    """Every preset, without memory."""
    with torch.device("meta"):
        return {room: {name: preset.build() for name, preset in presets.items()} for room, presets in PRESETS.items()}


def weight_names() -> dict[str, list[str]]:
    """Compact names of the weights of every preset that is no shipped network: those may change with a release."""
    return {
        name: compact(model.state_dict())
        for models in build_all().values()
        for name, model in models.items()
        if not name.startswith("bundled/")
    }


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def markdown() -> str:
    """The page."""
    text = [
        "# Models",
        "",
        "Made by `python -m docs.make.models_page`; do not edit. Parameters of every preset, and the published count "
        "where there is one: to the digit where it was counted in code, else as rounded in print.",
    ]
    rooms = build_all()
    for room, models in rooms.items():
        text += [
            "",
            f"## {room}",
            "",
            "| preset | parameters | published | difference | source |",
            "|---|--:|--:|--:|---|",
        ]
        text += [row(name, count(model), PRESETS[room][name]) for name, model in models.items()]
    text += [
        "",
        "The paper does not say which resampling of `latent_pmrf_hdit` is convolutional; with 3x3 convolutions on the "
        "way up it is nearest to the published count. The paper's 15.7 M of SwinIR are cut off, not rounded: its "
        "106.8 M for estimator and autoencoder are 15.79 M and 91.03 M.",
        "",
        "## Names of the weights",
        "",
        "Files of weights outlive the code, so these do not change; a test compares them with a list. "
        "`{0-3}` and `{bias,weight}` stand for each choice.",
    ]
    for room, models in rooms.items():
        text += ["", f"### {room}", "", NAMING[room]]
        sections: dict[tuple[str, ...], list[str]] = {}
        for name, model in models.items():
            sections.setdefault(tuple(compact(model.state_dict())), []).append(f"`{name}`")
        for patterns, names in sections.items():
            text += ["", f"{', '.join(names)}:", "", "```", *patterns, "```"]
    return "\n".join(text) + "\n"


def row(name: str, parameters: int, preset: Preset) -> str:
    published, difference = "", ""
    if preset.published is not None:
        exact = preset.published % 1000 != 0
        published = f"{preset.published:,.0f}" if exact else f"{preset.published / 1e6:.2f} M".replace("0 M", " M")
        difference = f"{100.0 * (parameters / preset.published - 1.0):+.2f} %"
    return f"| `{name}` | {parameters:,} | {published} | {difference} | {preset.source} |"


def main(names: bool = False) -> None:
    """Write docs/models.md, or print the names of the weights."""
    if names:
        print(json.dumps(weight_names(), indent=1))
    else:
        PAGE.write_text(markdown(), encoding="utf-8")
        print(PAGE)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
