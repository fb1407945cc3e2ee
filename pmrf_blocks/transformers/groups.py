"""Which parameters decay and which learn slowly: said where a layer is made, gathered by parameter_groups().

As k-diffusion trains (Crowson et al., 2024): weight decay on the weights of projections alone, and a smaller rate for
the mapping network and what it feeds.
"""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)
DECAYED, MAPPING = "weight_decays", "learns_as_mapping"


def decayed(layer: Layer) -> Layer:
    """The layer itself, whose `weight` is to be decayed. A bias, a scale or a mixing factor never is."""
    setattr(layer, DECAYED, True)
    return layer


def mapping(layer: Layer) -> Layer:
    """The layer itself, all of whose parameters are to learn at the mapping network's rate."""
    for module in layer.modules():
        setattr(module, MAPPING, True)
    return layer


def parameter_groups(model: nn.Module, base_lr: float, mapping_lr_scale: float) -> list[dict[str, Any]]:
    """Groups for a torch optimiser, every parameter in one of them.

    Groups that do not decay have "weight_decay": 0.0; the others leave it to the optimiser's own.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    seen = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                decays = getattr(module, DECAYED, False) and name == "weight"
                groups.setdefault((getattr(module, MAPPING, False), decays), []).append(parameter)
    return [
        {
            "params": groups[slow, decays],
            "lr": base_lr * (mapping_lr_scale if slow else 1.0),
            **({} if decays else {"weight_decay": 0.0}),
        }
        for slow in (False, True)
        for decays in (True, False)
        if (slow, decays) in groups
    ]
