"""Configurations of published autoencoders: diffusers' AutoencoderKL and the paper's AutoencoderKLSim.

A key that is absent takes the default of its class. A key whose effect our networks do not have is refused. Keys that
change how a class computes and not what (sample_size, force_upcast) are kept in `diffusers_config`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pmrf_blocks.autoencoders.sd_vae import SDVAE
from pmrf_blocks.autoencoders.sim_vae import SimVAE
from pmrf_blocks.pretrained import plain_class

KL, SIM = "AutoencoderKL", "AutoencoderKLSim"
# diffusers' AutoencoderKL, all its arguments (0.30 to 0.42).
KL_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D"],
    "block_out_channels": [64],
    "layers_per_block": 1,
    "act_fn": "silu",
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 32,
    "scaling_factor": 0.18215,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
    "force_upcast": True,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}
SIM_KEYS = ("mid_block_out_channel", "layers_mid_block", "norm_type", "norm_pos", "upsample_method")
UPSAMPLE_METHODS = {"interpolate": "nearest", "pixel_shuffle": "pixel_shuffle"}
ACTIVATIONS = ("silu", "swish")  # two names of one function
KEPT = ("sample_size", "force_upcast", "act_fn")  # as they were written: our networks have no argument for them


def read_kl(config: Mapping[str, Any]) -> SDVAE:
    """AutoencoderKL from its configuration; ValueError where our networks cannot be the same."""
    given = _known(config, KL_DEFAULTS)
    values = {**KL_DEFAULTS, **given}
    channels, groups = values["block_out_channels"], values["norm_num_groups"]
    _same_layers(values, "down_block_types", "DownEncoderBlock2D", len(channels))
    _same_layers(values, "up_block_types", "UpDecoderBlock2D", len(channels))
    if values["use_quant_conv"] != values["use_post_quant_conv"]:
        raise ValueError("use_quant_conv and use_post_quant_conv must be the same")
    if any(width > 0 and width % groups for width in channels):
        raise ValueError(f"norm_num_groups must divide block_out_channels {list(channels)}; got {groups}")
    attention = values["mid_block_add_attention"]
    return SDVAE(
        values["latent_channels"],
        channels=channels,
        blocks_per_level=values["layers_per_block"],
        middle_blocks=3 if attention else 2,
        middle="attention" if attention else "conv",
        norm_groups=groups,
        quant_conv=values["use_quant_conv"],
        scaling_factor=_number(values, "scaling_factor"),
        **_common(config, values),
    )


def read_sim(config: Mapping[str, Any]) -> SimVAE:
    """AutoencoderKLSim from its configuration, which names all that decides the network; else KeyError."""
    values = {**KL_DEFAULTS, "norm_type": "layer_norm", "upsample_method": "interpolate", "norm_pos": "pre_norm"}
    values |= _known(config, (*KL_DEFAULTS, *SIM_KEYS))
    channels = config["block_out_channels"]
    if values["norm_pos"] != "pre_norm":
        raise ValueError(f"norm_pos must be 'pre_norm'; got {values['norm_pos']!r}")
    if config["mid_block_out_channel"] != channels[-1]:
        raise ValueError(f"mid_block_out_channel must be block_out_channels' last, {channels[-1]}")
    return SimVAE(
        config["latent_channels"],
        channels=channels,
        blocks_per_level=config["layers_per_block"],
        middle_blocks=config["layers_mid_block"],
        norm=str(values["norm_type"]).removesuffix("_norm"),
        upsample=UPSAMPLE_METHODS.get(values["upsample_method"], values["upsample_method"]),
        scaling_factor=1.0 if config.get("scaling_factor") is None else _number(values, "scaling_factor"),
        **_common(config, values),
    )


READERS = {KL: read_kl, SIM: read_sim}


def describe(model: SimVAE, kind: str) -> dict[str, Any]:
    """The configuration, as `kind` has it, of which READERS[kind] makes the same network as `model`.

    ValueError says what differs where there is none, and whether the other kind has one.
    """
    config = _configuration(model, kind)
    reason = _difference(model, kind, config)
    if reason is None:
        return config
    (other,) = READERS.keys() - {kind}
    if _difference(model, other, _configuration(model, other)) is None:
        raise ValueError(f"{kind} cannot hold this network: {reason}; kind={other!r} can")
    raise ValueError(f"neither {KL} nor {SIM} can hold this network: {reason} ({kind})")


def _configuration(model: SimVAE, kind: str) -> dict[str, Any]:
    """The settings of `kind` that come closest to a network."""
    own, design = model.config, model.design
    levels = len(own["channels"])
    config = {
        "_class_name": kind,
        **(own["diffusers_config"] or {}),
        "in_channels": own["image_channels"],
        "out_channels": own["image_channels"],
        "block_out_channels": list(own["channels"]),
        "layers_per_block": own["blocks_per_level"],
        "latent_channels": own["latent_channels"],
        "scaling_factor": own["scaling_factor"],
        "shift_factor": own["shift_factor"] or None,
    }
    if kind == KL:
        config = {"act_fn": "silu", **config}
        config |= {
            "norm_num_groups": math.gcd(design.norm_groups, *own["channels"]),
            "down_block_types": ["DownEncoderBlock2D"] * levels,
            "up_block_types": ["UpDecoderBlock2D"] * levels,
            "mid_block_add_attention": design.middle == "attention",
            "use_quant_conv": own["quant_conv"],
            "use_post_quant_conv": own["quant_conv"],
        }
    else:
        methods = {ours: theirs for theirs, ours in UPSAMPLE_METHODS.items()}
        config |= {
            "mid_block_out_channel": own["channels"][-1],
            "layers_mid_block": own["middle_blocks"],
            "norm_type": f"{design.norm}_norm",
            "norm_pos": "pre_norm",
            "upsample_method": methods.get(design.upsample) if isinstance(design.upsample, str) else None,
        }
    return config


def _difference(model: SimVAE, kind: str, config: Mapping[str, Any]) -> str | None:
    """What differs between a network and the one that its configuration describes, or None."""
    try:
        with torch.device("meta"):
            other = READERS[kind](config)
    except (ValueError, TypeError) as error:
        return str(error)
    if plain_class(type(model)) not in (SimVAE, SDVAE):
        return f"{type(model).__name__} is a class of one's own"
    for name in ("norm", "middle", "resize", "upsample", "block", "residual"):
        ours, theirs = getattr(model.design, name), getattr(other.design, name)
        if ours != theirs:
            return f"{name} is {ours!r}, where it has {theirs!r}"
    for name in ("middle_blocks", "quant_conv", "norm_groups"):
        ours, theirs = model.config[name], other.config[name]
        if ours != theirs and (name != "norm_groups" or _groups(model) != _groups(other)):
            return f"{name} is {ours}, where it has {theirs}"
    ours, theirs = ({name: plain_class(type(part)) for name, part in net.named_modules()} for net in (model, other))
    changed = sorted(name for name in {*ours, *theirs} - {""} if ours.get(name) != theirs.get(name))
    return f"its layers were changed after it was built: {', '.join(changed[:3])}" if changed else None


def _groups(model: nn.Module) -> list[int]:
    return [part.num_groups for part in model.modules() if isinstance(part, nn.GroupNorm)]


def _known(config: Mapping[str, Any], keys: Any) -> dict[str, Any]:
    """The settings of a configuration; ValueError for one that is unknown here, and so may have an effect."""
    settings = {key: value for key, value in config.items() if not key.startswith("_")}
    unknown = [key for key in settings if key not in keys]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: what it does is not known here")
    return settings


def _common(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that both classes share; ValueError where a setting has an effect that our networks do not have."""
    if values["in_channels"] != values["out_channels"]:
        raise ValueError("in_channels and out_channels must be the same")
    if str(values["act_fn"]).lower() not in ACTIVATIONS:
        raise ValueError(f"act_fn must be 'silu'; got {values['act_fn']!r}")
    for name in ("latents_mean", "latents_std"):
        if values[name] is not None:
            raise ValueError(f"{name}: latents are normalised here by scaling_factor and shift_factor alone")
    kept = {key: value for key, value in config.items() if key in KEPT or (key[0] == "_" and key != "_class_name")}
    return {
        "image_channels": values["in_channels"],
        "shift_factor": 0.0 if values["shift_factor"] is None else _number(values, "shift_factor"),
        "diffusers_config": kept or None,
    }


def _number(values: Mapping[str, Any], name: str) -> float:
    if isinstance(values[name], bool) or not isinstance(values[name], (int, float)):
        raise ValueError(f"{name} must be a number; got {values[name]!r}")
    return values[name]


def _same_layers(values: Mapping[str, Any], name: str, kind: str, count: int) -> None:
    """Raise ValueError where the layers of a level are others than ours, or their number is not the levels'."""
    for item in values[name]:
        if item != kind:
            raise ValueError(f"{name} must be {kind!r}; got {values[name]!r}")
    if len(values[name]) != count:
        raise ValueError(f"{name} must name one for each of {count} block_out_channels; got {len(values[name])}")
