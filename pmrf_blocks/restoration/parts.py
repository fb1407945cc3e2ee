"""What a pipeline is made of, as config.json has it: parts are described by their arguments, and built from them."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from torch import nn

from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.registry import class_named, name_of


def describe(thing: nn.Module, networks: Mapping[str, nn.Module], kind: type | None = None) -> dict[str, Any]:
    """Arguments that make `thing` again by the constructor of `kind` (None: its own): 'networks', names by argument;
    'parts', described likewise; 'settings', all else. ValueError for one that cannot be written."""
    found: dict[str, Any] = {"networks": {}, "parts": {}, "settings": {}}
    names = {id(network): name for name, network in networks.items()}
    for argument in arguments_of(kind or type(thing)):
        if not hasattr(thing, argument):
            raise ValueError(
                f"{type(thing).__name__} has no attribute {argument!r}, as its argument is called: it cannot be saved"
            )
        value = getattr(thing, argument)
        if not isinstance(value, nn.Module):
            found["settings"][argument] = value
        elif id(value) in names:
            found["networks"][argument] = names[id(value)]
        else:
            name = name_of("part", type(value), what=argument)
            if any(True for _ in (*value.parameters(recurse=False), *value.buffers(recurse=False))):
                raise ValueError(f"{argument} has weights: {name} must inherit Pretrained to be saved")
            found["parts"][argument] = {"class": name, **describe(value, networks)}
    return {what: content for what, content in found.items() if content}


def arguments_of(kind: type) -> list[str]:
    """Names of a constructor's arguments."""
    anything = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, entry in inspect.signature(kind).parameters.items() if entry.kind not in anything]


def networks_within(part: Any, where: str) -> Iterator[str]:
    """Names of the networks that a described part and its own parts take."""
    if not isinstance(part, Mapping):
        raise WeightsError(f"{where} must be a JSON object; got {part!r}")
    for kind in ("networks", "parts", "settings"):
        if not isinstance(part.get(kind, {}), Mapping):
            raise WeightsError(f"{where}: {kind} must be a JSON object")
    for name in part.get("networks", {}).values():
        if not isinstance(name, str):
            raise WeightsError(f"{where}: networks must be names; got {name!r}")
        yield name
    for name, inner in part.get("parts", {}).items():
        yield from networks_within(inner, f"{where}: {name}")


def build_part(
    part: Mapping[str, Any], networks: Mapping[str, nn.Module], where: str, trusted_modules: Collection[str]
) -> nn.Module:
    """A part as describe() wrote it."""
    make = class_named("part", part.get("class"), where=where, trusted_modules=trusted_modules)
    arguments = dict(part.get("settings", {}))
    for argument, name in part.get("networks", {}).items():
        if name not in networks:
            raise WeightsError(f"{where}: {argument} is to be the network {name!r}, which is none of this pipeline's")
        arguments[argument] = networks[name]
    for argument, inner in part.get("parts", {}).items():
        arguments[argument] = build_part(inner, networks, f"{where}: {argument}", trusted_modules)
    return make(**arguments)
