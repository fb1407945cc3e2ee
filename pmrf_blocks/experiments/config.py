"""The config hash: which configurations are one run, and what a run's config.json says of it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pmrf_blocks.experiments.networks import Net
from pmrf_blocks.variants import source_of

# Settings of a run that change how it is done or watched, not what comes out.
NEUTRAL = frozenset({
    "log_every", "validate_every", "checkpoint_every", "pictures", "workers", "trackers", "compile",
    "gradient_checkpointing",
})  # fmt: skip

# Settings that came later are not told at these values: runs that were finished before are found again.
UNTOLD = {"degraded": None, "horizon": None, "sample": False, "perceptual_layers": None}
UNTOLD_ARGUMENTS = {"merge": "linear", "patches": "linear", "bias": False, "zero_output": True}  # of networks


def describe(value: Any) -> Any:
    """Everything that decides a configuration's weights, as JSON: each field and each argument, defaults included.

    Classes and functions from outside this package come with a hash of their source, so that a changed class is
    another configuration. TypeError for a value whose content cannot be told.

    Examples:
        >>> describe(Images("faces", 64))["size"]
        64
    """
    if isinstance(value, Net):
        left = getattr(value.kind, "RUNTIME", ())
        told = {name: own for name, own in value.arguments.items() if name not in left and argument_tells(name, own)}
        return {**origin(value.kind), **describe(told)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {**origin(type(value)), **describe({name: own for name, own in told.items() if tells(name, own)})}
    if isinstance(value, Mapping):
        return {str(name): describe(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(own) for own in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if callable(value) and (hasattr(value, "__qualname__") or isinstance(value, functools.partial)):
        return origin(value)
    raise TypeError(f"a configuration cannot hold {value!r}: write down its class and arguments, as Net(Class, ...)")


def tells(name: str, value: Any) -> bool:
    return name not in NEUTRAL and not (name in UNTOLD and value == UNTOLD[name])


def argument_tells(name: str, value: Any) -> bool:
    return not (
        name in UNTOLD_ARGUMENTS and type(value) is type(UNTOLD_ARGUMENTS[name]) and value == UNTOLD_ARGUMENTS[name]
    )


def origin(kind: Any) -> dict[str, str]:
    """The name of a class or function; of one's own, a hash of its code and of the code that it uses, too."""
    name = getattr(kind, "__qualname__", type(kind).__name__)
    if getattr(kind, "__module__", "").startswith("pmrf_blocks."):
        return {"class": name}
    return {"class": name, "source": hashlib.sha256(source_of(kind).encode()).hexdigest()[:16]}


def config_hash(value: Any) -> str:
    """Eight hexadecimal digits: equal configurations, and only these, have one.

    Examples:
        >>> small, large = Images("faces", 64), Images("faces", 128)
        >>> config_hash(small) == config_hash(Images("faces", size=64)) != config_hash(large)
        True
    """
    return hashlib.blake2b(json.dumps(describe(value), sort_keys=True).encode(), digest_size=4).hexdigest()


def stage_name(stage: Any) -> str:
    """Name of a stage's run folder, such as 'flow-1f0c22ab'.

    Examples:
        >>> from pmrf_blocks.estimators import UNet
        >>> from pmrf_blocks.training import TrainConfig
        >>> faces, train = Images("faces", 64), TrainConfig(steps=100, batch_size=4)
        >>> stage_name(Estimator(Net(UNet), faces, faces, train)).partition("-")[0]
        'estimator'
    """
    return f"{type(stage).__name__.lower()}-{config_hash(stage)}"
