"""Models from k-diffusion's configuration files (its image transformer v2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pmrf_blocks.transformers.block import Level
from pmrf_blocks.transformers.hourglass import HourglassTransformer

# Of training and sampling, not of the network.
ELSEWHERE = {
    "type", "input_size", "augment_prob", "loss_config", "loss_weighting", "loss_scales", "sigma_data", "sigma_min",
    "sigma_max", "sigma_sample_density",
}  # fmt: skip
WITHOUT = {"has_variance": False, "skip_stages": 0, "augment_wrapper": False}  # no other values


def from_k_diffusion_config(config: Mapping[str, Any] | str | Path, **changes: Any) -> HourglassTransformer:
    """The network that k-diffusion makes of a configuration, with k-diffusion's defaults for what it leaves out.

    It takes log(sigma) / 4 where this package's flows have t. Everything that decides the network is represented, and
    what cannot be is refused by name; what is of training or sampling is left aside.

    Arguments:
        config: content of a configuration file (at least its "model"), or its path.
        changes: arguments of HourglassTransformer that take the place of the configuration's.

    Raises ValueError for another type of model, for keys that are unknown or missing, and for values that cannot be
    had.

    Examples:
        >>> model = {"type": "image_transformer_v2", "input_channels": 3, "patch_size": [4, 4]}
        >>> model |= {"widths": [128], "depths": [1]}
        >>> network = from_k_diffusion_config({"model": model})
        >>> network(torch.rand(1, 3, 32, 32), torch.zeros(1)).shape
        torch.Size([1, 3, 32, 32])
    """
    content = config if isinstance(config, Mapping) else json.loads(Path(config).read_text(encoding="utf-8"))
    model = dict(content["model"])
    if model.get("type") != "image_transformer_v2":
        raise ValueError(f"type must be 'image_transformer_v2'; got {model.get('type')!r}")
    for key, value in WITHOUT.items():
        if model.pop(key, value) != value:
            raise ValueError(f"{key} must be {value!r} here; got {content['model'][key]!r}")
    try:
        widths, depths, channels = (model.pop(key) for key in ("widths", "depths", "input_channels"))
        patch_size = model.pop("patch_size")
    except KeyError as error:
        raise ValueError(f"the configuration has no {error}") from None
    last = len(widths) - 1
    attentions = model.pop("self_attns", None) or [
        {"type": "global" if i == last else "neighborhood"} for i in range(len(widths))
    ]
    hidden = model.pop("d_ffs", None) or [3 * width for width in widths]
    dropout = model.pop("dropout_rate", None) or 0.0
    dropouts = dropout if isinstance(dropout, list) else [dropout] * len(widths)
    mapping_width = model.pop("mapping_width", 256)
    classes = content.get("dataset", {}).get("num_classes", 0)
    arguments = {
        "in_channels": channels,
        "levels": [_level(*parts) for parts in zip(widths, depths, attentions, hidden, dropouts, strict=True)],
        "patch_size": patch_size,
        "mapping_width": mapping_width,
        "mapping_depth": model.pop("mapping_depth", 2),
        "mapping_ff_width": model.pop("mapping_d_ff", None) or 3 * mapping_width,
        "mapping_dropout": model.pop("mapping_dropout_rate", 0.0),
        "mapping_cond_dim": model.pop("mapping_cond_dim", 0),
        "num_classes": classes + 1 if classes else 0,  # one more is that of dropped conditions
        "augmentation": True,
    }
    unknown = sorted(set(model) - ELSEWHERE)
    if unknown:
        raise ValueError(f"{', '.join(unknown)} of the model's configuration cannot be represented")
    return HourglassTransformer(**{**arguments, **changes})


def _level(width: int, depth: int, attention: Mapping[str, Any], hidden: int, dropout: float) -> Level:
    """One level; of attention {"type": ..., "d_head": ..., "kernel_size" or "window_size": ...}."""
    options = dict(attention)
    kind = str(options.pop("type")).replace("-", "_")
    names = {"d_head": "head_dim", "kernel_size": "kernel_size", "window_size": "window_size"}
    unknown = sorted(set(options) - set(names))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} of self_attns cannot be represented")
    named = {names[key]: value for key, value in options.items()}
    return Level(width, depth, kind, ff_width=hidden, dropout=dropout, **named)
