"""What a resumed run keeps, takes over, or refuses.

Kept, and refused by name where they differ: the network, which parameters form which group, the seed, the images an
update, the data set. All other settings are taken over from the new configuration, the optimiser's among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from pmrf_blocks.messages import short
from pmrf_blocks.pretrained import WeightsError, check_keys
from pmrf_blocks.training.config import TrainConfig
from pmrf_blocks.training.errors import TrainingError


def run_identity(config: TrainConfig, dataset: Dataset, world: int) -> dict[str, Any]:
    """What must stay as it is for a run to be one run; plain values, kept in every checkpoint."""
    return {
        "seed": config.seed,
        "images an update (batch_size times processes)": config.batch_size * world,
        "dataset": describe_dataset(dataset),
    }


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Class, number of items, and what the set's own identity() says, plain values that tell it from others."""
    own = getattr(dataset, "identity", None)
    items = {"items": len(dataset)} if hasattr(dataset, "__len__") else {}
    return {"kind": type(dataset).__name__, **items, **(own() if callable(own) else {})}


def refuse_changes(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """TrainingError that names each of run_identity()'s values that differs. Values that only one side knows pass:
    the code may have learnt them since."""
    old, new = dict(_flat(before)), dict(_flat(now))
    changed = [
        f"{name} was {short(old[name])} and is {short(new[name])}"
        for name in new
        if name in old and old[name] != new[name]
    ]
    if changed:
        raise TrainingError(f"{folder} cannot go on: {'; '.join(changed)}; set it back, or take another folder")


def load_network(network: nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    """Weights of a checkpoint into the network that is trained; TrainingError of one line where they do not fit."""
    try:
        check_keys(network, weights, str(path))
    except WeightsError as error:
        raise TrainingError(f"{error}; it is of another network: take another folder") from None
    network.load_state_dict(weights)


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any], path: Path) -> None:
    """Moments of a checkpoint into an optimiser that keeps its own settings: learning rate, betas, eps, weight decay.

    TrainingError where its groups hold other parameters than the checkpoint's.
    """
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(dict(state))
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"the optimiser's groups in {path} are others than this run's: {error}") from None
    for group, own in zip(optimizer.param_groups, settings):
        group.update(own)
        for parameter in group["params"]:
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, torch.Tensor) and value.dim() and value.shape != parameter.shape:
                    raise TrainingError(f"the optimiser's groups in {path} are others than this run's")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value
