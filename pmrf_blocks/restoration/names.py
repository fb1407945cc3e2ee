"""Names of a pipeline's networks: their own ('autoencoder', 'estimator'), whichever part of the pipeline holds them."""

from __future__ import annotations

from typing import Any

from torch import nn

from pmrf_blocks.pretrained import Pretrained

PARTS = ("space", "source", "condition")


def networks_of(pipeline: nn.Module) -> dict[str, nn.Module]:
    """The networks of a pipeline by name, such as 'autoencoder', 'estimator', 'velocity'; each once."""
    networks = {name: pipeline.get_submodule(places[0]) for name, places in places_of_networks(pipeline).items()}
    velocity = getattr(pipeline, "velocity", None)
    return networks if velocity is None else {**networks, "velocity": velocity}


def places_of_networks(pipeline: nn.Module) -> dict[str, list[str]]:
    """Where the networks of a pipeline's parts are, by name: {'estimator': ['source.estimator']}. One that two parts
    share has two places and one name; of two with one name, the second is called 'condition_estimator'. A part that
    inherits Pretrained is a network itself, called 'source' or what part it is."""
    places: dict[str, list[str]] = {}
    for part in PARTS:
        module = getattr(pipeline, part)
        if module is None:
            continue
        if isinstance(module, Pretrained):
            places[part] = [part]
            continue
        for name, network in module.named_children():
            same = places.get(name)
            taken = same is not None and pipeline.get_submodule(same[0]) is not network
            places.setdefault(f"{part}_{name}" if taken else name, []).append(f"{part}.{name}")
    return places


def name_networks_alone(pipeline: nn.Module, state_dict: Any, prefix: str, metadata: Any) -> None:
    """Hook of state_dict(): 'space.autoencoder.x' becomes 'autoencoder.x'."""
    for name, places in places_of_networks(pipeline).items():
        for place in places:
            start = f"{prefix}{place}."
            for key in [key for key in state_dict if key.startswith(start)]:
                state_dict[f"{prefix}{name}.{key[len(start) :]}"] = state_dict.pop(key)


def name_networks_by_part(pipeline: nn.Module, state_dict: Any, prefix: str, *others: Any) -> None:
    """Hook of load_state_dict(): 'autoencoder.x' becomes 'space.autoencoder.x', in every part that has the network."""
    for name, places in places_of_networks(pipeline).items():
        start = f"{prefix}{name}."
        for key in [key for key in state_dict if key.startswith(start)]:
            value = state_dict.pop(key)
            for place in places:
                state_dict[f"{prefix}{place}.{key[len(start) :]}"] = value
