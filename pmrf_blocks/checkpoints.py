"""Foreign checkpoints: files read as weights and nothing else, and the layouts that trainers wrap weights in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from pmrf_blocks.weight_files import WeightsError, read_pickle, read_weights

WRAPPERS = ("module", "_orig_mod")  # what DistributedDataParallel and torch.compile put into names


def read_checkpoint(path: str | Path) -> Mapping[str, Any]:
    """The content of a .safetensors file, of the shards that a .json lists, or of any file that torch.save wrote, which
    is read with weights_only=True.

    Raises WeightsError for a file that is not there, is damaged, or holds anything but weights and plain values.
    """
    return read_weights(Path(path)) if Path(path).suffix in (".safetensors", ".json") else read_pickle(path)


def weights_under(content: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it and without the wrappers' names."""
    named = {
        ".".join(part for part in str(name).split(".") if part not in WRAPPERS): value
        for name, value in content.items()
        if isinstance(value, Tensor)
    }
    return {name[len(prefix) :]: value for name, value in named.items() if name.startswith(prefix)}


def shadow_weights(ema: Mapping[str, Any], parameters: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Averaged weights by name from torch-ema's state, which lists them in the order of the trained parameters.

    Arguments:
        ema: holds 'shadow_params', a list of tensors.
        parameters: the model's, in the order in which the trained model had them.

    Raises WeightsError where the number or a shape differs: what is in another order would load without a word.
    """
    shadow = ema.get("shadow_params")
    if not isinstance(shadow, Sequence) or not all(isinstance(value, Tensor) for value in shadow):
        raise WeightsError(f"{source}: 'ema' holds no list 'shadow_params'")
    if len(shadow) != len(parameters):
        raise WeightsError(f"{source}: {len(shadow)} averaged parameters for the {len(parameters)} of the model")
    different = [
        f"{name} {tuple(value.shape)} for {tuple(own.shape)}"
        for (name, own), value in zip(parameters.items(), shadow)
        if own.shape != value.shape
    ]
    if different:
        raise WeightsError(f"{source}: averaged parameters of another shape: {', '.join(different[:10])}")
    return dict(zip(parameters, shadow))
