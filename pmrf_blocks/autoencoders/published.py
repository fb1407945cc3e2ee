"""Published autoencoders in diffusers' folder layout: AutoencoderKL (SD1.5, SDXL, FLUX.1) and AutoencoderKLSim.

A folder holds config.json, with '_class_name', and diffusion_pytorch_model.safetensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from pmrf_blocks.autoencoders.sd_vae import SDVAE
from pmrf_blocks.autoencoders.sim_vae import SimVAE
from pmrf_blocks.pretrained import (
    CONFIG,
    WEIGHTS,
    WeightsError,
    build_network,
    locate,
    read_json,
    read_pickle,
    read_safetensors,
)

DIFFUSERS_WEIGHTS, DIFFUSERS_PICKLE = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"
# Attention of files from before diffusers 0.18.
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
UPSAMPLE_METHODS = {"interpolate": "nearest", "pixel_shuffle": "pixel_shuffle"}


def load_autoencoder(
    path_or_repo: str | Path,
    *,
    subfolder: str = "",
    device: str | torch.device = "cpu",
    trusted_modules: Collection[str] = (),
) -> SimVAE | SDVAE:
    """The autoencoder in a folder or of a hub id, in eval mode: AutoencoderKL, AutoencoderKLSim, or ours.

    `subfolder` is where a whole pipeline keeps it ('vae' in Stable Diffusion and FLUX.1). Nothing but config.json and
    the weights is downloaded. A local folder may have the older diffusion_pytorch_model.bin, of which weights alone are
    read. Layers of one's own in a folder of ours are imported where `trusted_modules` names their modules. WeightsError
    says what is missing, damaged, or not supported.
    """
    names = (CONFIG, WEIGHTS, DIFFUSERS_WEIGHTS)
    patterns = [f"{subfolder}/{name}" if subfolder else name for name in names]
    folder = locate(path_or_repo, patterns=patterns) / subfolder
    config = read_json(folder / CONFIG)
    kind = config.get("_class_name", config.get("class"))
    ours: dict[Any, type[SimVAE]] = {"SimVAE": SimVAE, "SDVAE": SDVAE}
    if kind in ours:
        return ours[kind].from_pretrained(folder, device=device, trusted_modules=trusted_modules)
    if kind not in READERS:
        raise WeightsError(f"{folder / CONFIG}: _class_name must be one of {', '.join(READERS)}; got {kind!r}")
    weights = folder / DIFFUSERS_WEIGHTS
    if not weights.is_file() and (folder / DIFFUSERS_PICKLE).is_file():
        weights = folder / DIFFUSERS_PICKLE
    state_dict = rename(read_safetensors(weights) if weights.name == DIFFUSERS_WEIGHTS else read_pickle(weights))
    make = partial(READERS[kind], config)
    return build_network(make, state_dict, config=folder / CONFIG, weights=weights).to(device)


def rename(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """diffusers' names of the weights to ours."""

    def name(key: str) -> str:
        key = re.sub(r"\b(down|up)samplers\.0\.", r"\1sampler.", key)
        return re.sub(
            r"(attentions\.0\.)(query|key|value|proj_attn)\.", lambda m: m[1] + OLD_ATTENTION[m[2]] + ".", key
        )

    return {name(key): tensor for key, tensor in state_dict.items()}


def read_kl(config: Mapping[str, Any]) -> SDVAE:
    """AutoencoderKL from its config.json."""
    _require(config, act_fn="silu", down_block_types="DownEncoderBlock2D", up_block_types="UpDecoderBlock2D")
    if config.get("use_quant_conv", True) != config.get("use_post_quant_conv", True):
        raise ValueError("use_quant_conv and use_post_quant_conv must be the same")
    attention = config.get("mid_block_add_attention", True)
    return SDVAE(
        config["latent_channels"],
        channels=config["block_out_channels"],
        blocks_per_level=config["layers_per_block"],
        middle_blocks=3 if attention else 2,
        middle="attention" if attention else "conv",
        norm_groups=config["norm_num_groups"],
        quant_conv=config.get("use_quant_conv", True),
        **_common(config),
    )


def read_sim(config: Mapping[str, Any]) -> SimVAE:
    """AutoencoderKLSim from its config.json."""
    _require(config, norm_pos="pre_norm")
    channels = config["block_out_channels"]
    if config["mid_block_out_channel"] != channels[-1]:
        raise ValueError(f"mid_block_out_channel must be block_out_channels' last, {channels[-1]}")
    return SimVAE(
        config["latent_channels"],
        channels=channels,
        blocks_per_level=config["layers_per_block"],
        middle_blocks=config["layers_mid_block"],
        norm=str(config.get("norm_type", "layer_norm")).removesuffix("_norm"),
        upsample=UPSAMPLE_METHODS.get(method := config.get("upsample_method", "interpolate"), method),
        **_common(config),
    )


READERS: dict[str, Callable[[Mapping[str, Any]], SimVAE]] = {"AutoencoderKL": read_kl, "AutoencoderKLSim": read_sim}


def save_diffusers(model: SimVAE, folder: str | Path) -> None:
    """Write a folder that diffusers loads as AutoencoderKL (SD-VAE's form), or the authors' code as AutoencoderKLSim.

    ValueError where `model` is neither: an ablation between the two has no class there.
    """
    own, design = model.config, model.design
    common = {
        "in_channels": own["image_channels"],
        "out_channels": own["image_channels"],
        "block_out_channels": list(own["channels"]),
        "layers_per_block": own["blocks_per_level"],
        "latent_channels": own["latent_channels"],
        "scaling_factor": own["scaling_factor"],
        "shift_factor": own["shift_factor"] or None,
    }
    levels = len(own["channels"])
    middle = (design.middle, own["middle_blocks"])
    if design.residual:
        raise ValueError("diffusers has no autoencoder with residual=True: its file would load at other values")
    if (design.block, design.norm, design.resize, design.upsample) == ("sd", "group", "separate", "nearest") and (
        middle in (("attention", 3), ("conv", 2))
    ):
        config = {
            "_class_name": "AutoencoderKL",
            **common,
            "act_fn": "silu",
            "norm_num_groups": design.norm_groups,
            "down_block_types": ["DownEncoderBlock2D"] * levels,
            "up_block_types": ["UpDecoderBlock2D"] * levels,
            "mid_block_add_attention": design.middle == "attention",
            "use_quant_conv": own["quant_conv"],
            "use_post_quant_conv": own["quant_conv"],
        }
    elif (
        (design.block, design.resize, design.middle, own["quant_conv"]) == ("simple", "fused", "conv", False)
        and isinstance(design.norm, str)
        and isinstance(design.upsample, str)
    ):
        method = {ours: theirs for theirs, ours in UPSAMPLE_METHODS.items()}[design.upsample]
        config = {
            "_class_name": "AutoencoderKLSim",
            **common,
            "mid_block_out_channel": own["channels"][-1],
            "layers_mid_block": own["middle_blocks"],
            "norm_type": f"{design.norm}_norm",
            "norm_pos": "pre_norm",
            "upsample_method": method,
        }
    else:
        raise ValueError(f"neither AutoencoderKL nor AutoencoderKLSim can hold {design} with its middle_blocks")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = dict(model.state_dict())
    if config["_class_name"] == "AutoencoderKL":
        weights = {re.sub(r"\b(down|up)sampler\.", r"\1samplers.0.", key): value for key, value in weights.items()}
    contiguous = {key: value.contiguous() for key, value in weights.items()}
    (folder / DIFFUSERS_WEIGHTS).write_bytes(save(contiguous, metadata={"format": "pt"}))
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def _common(config: Mapping[str, Any]) -> dict[str, Any]:
    if config.get("in_channels", 3) != config.get("out_channels", 3):
        raise ValueError("in_channels and out_channels must be the same")
    return {
        "image_channels": config.get("in_channels", 3),
        "scaling_factor": 1.0 if config.get("scaling_factor") is None else config["scaling_factor"],
        "shift_factor": config.get("shift_factor") or 0.0,
    }


def _require(config: Mapping[str, Any], **values: str) -> None:
    """Raise ValueError where a setting, if it is there at all, is not the one that our networks have."""
    for name, value in values.items():
        given = config.get(name, value)
        if any(item != value for item in (given if isinstance(given, (list, tuple)) else [given])):
            raise ValueError(f"{name} must be {value!r}; got {given!r}")
