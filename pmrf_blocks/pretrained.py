"""Saving and loading of one network: config.json (the constructor's arguments) beside model.safetensors.

Every network with published or shipped weights inherits `Pretrained`; pipelines of several networks are
in restoration/.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import PyTorchModelHubMixin
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn


class WeightsError(ValueError):
    """A weight file that is missing, damaged, or made for another network."""


def check_keys(model: nn.Module, state_dict: Mapping[str, Tensor], source: str) -> None:
    """Raise WeightsError naming the first ten missing, unexpected and misshapen entries of `state_dict`."""
    own = model.state_dict()
    problems = {
        "missing": [key for key in own if key not in state_dict],
        "unexpected": [key for key in state_dict if key not in own],
        "of another shape": [
            f"{key} {tuple(state_dict[key].shape)} for {tuple(own[key].shape)}"
            for key in own
            if key in state_dict and state_dict[key].shape != own[key].shape
        ],
    }
    found = [
        f"{len(keys)} {kind}: {', '.join(keys[:10])}{', ...' if len(keys) > 10 else ''}"
        for kind, keys in problems.items()
        if keys
    ]
    if found:
        raise WeightsError(f"{source} does not fit {type(model).__name__}; " + "; ".join(found))


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Tensors of one .safetensors file on the CPU; WeightsError where it is missing or damaged."""
    if not Path(path).is_file():
        raise WeightsError(f"weight file {path} not found")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weight file {path} is damaged or not safetensors: {error}") from None


class Pretrained(PyTorchModelHubMixin):
    """Mix-in: save_pretrained(folder), from_pretrained(folder_or_hub_id), push_to_hub(name); strict keys.

    Weights may be stored in half precision; they are loaded into the network's own dtype.
    """

    @classmethod
    def _load_as_safetensor(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        state_dict = read_safetensors(model_file)
        check_keys(model, state_dict, str(model_file))
        model.load_state_dict(state_dict)
        return model.to(torch.device(map_location)).eval()
