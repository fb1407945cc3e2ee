"""Saving and loading of one network: config.json (the constructor's arguments) beside model.safetensors.

Every network with published or shipped weights inherits `Pretrained`; pipelines of several networks are
in restoration/.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from pmrf_blocks.arguments import check_arguments
from pmrf_blocks.construction import plan
from pmrf_blocks.hub import Pushed
from pmrf_blocks.hub import locate as locate
from pmrf_blocks.messages import first_line, short
from pmrf_blocks.variants import from_path, import_path, is_path
from pmrf_blocks.weight_files import (
    CONFIG,
    WeightsError,
    find_weights,
    header_of,
    read_weights,
    write_weights,
)
from pmrf_blocks.weight_files import (
    WEIGHTS as WEIGHTS,
)
from pmrf_blocks.weight_files import (
    read_json as read_json,
)
from pmrf_blocks.weight_files import (
    read_pickle as read_pickle,
)
from pmrf_blocks.weight_files import (
    read_safetensors as read_safetensors,
)
from pmrf_blocks.whole_files import write_json

Network = TypeVar("Network", bound="Pretrained")
Built = TypeVar("Built", bound=nn.Module)


def plain_class(kind: type) -> type:
    """The class whose place a fast class of kernels/ has taken, under whose name a network is saved; any other class
    is its own. (What derives from a fast class, as a parametrised module does, is another class.)"""
    return vars(kind).get("plain_class", kind)


def check_keys(model: nn.Module, state_dict: Mapping[str, Tensor], source: str) -> None:
    """Raise WeightsError naming the first ten missing, unexpected and misshapen entries of `state_dict`."""
    odd = [short(key) for key, value in state_dict.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if odd:
        raise WeightsError(f"{source} holds {len(odd)} entries that are no weights by name, the first {odd[0]}")
    own = model.state_dict()
    problems = {
        "missing": [key for key in own if key not in state_dict],
        "unexpected": [key for key in state_dict if key not in own],
        "of another shape": [
            f"{key} {tuple(state_dict[key].shape)} for {tuple(own[key].shape)}"
            for key in own
            if key in state_dict and state_dict[key].shape != own[key].shape
        ],
        "of another type": [
            f"{key} {state_dict[key].dtype} for {own[key].dtype}"
            for key in own
            if key in state_dict and state_dict[key].is_floating_point() != own[key].is_floating_point()
        ],
    }
    found = [
        f"{len(keys)} {kind}: {', '.join(map(_in_line, keys[:10]))}{', ...' if len(keys) > 10 else ''}"
        for kind, keys in problems.items()
        if keys
    ]
    if found:
        raise WeightsError(f"{source} does not fit {type(model).__name__}; " + "; ".join(found))


def _in_line(name: str) -> str:
    return name if name.isprintable() and len(name) < 300 else short(name)


def build_network(make: Callable[[], Built], state_dict: Mapping[str, Tensor], *, config: Path, weights: Path) -> Built:
    """The network that `make` gives, with its weights, in eval mode.

    It is made without memory first, and no larger than the weights, so that a config.json that does not fit them,
    however large the network it describes, is a WeightsError that names both files' entries and nothing else.
    """
    check_plan(make, state_dict, config=config, weights=weights)
    network = make()
    network.load_state_dict(state_dict)
    return network.eval()


def check_plan(make: Callable[[], nn.Module], header: Mapping[str, Tensor], *, config: Path, weights: Path) -> None:
    """WeightsError where what `make` gives is no network, or none of the entries of `header` (names and shapes)."""
    try:
        planned = plan(make, len(header))
    except KeyError as error:
        raise WeightsError(f"{config}: {error} is missing") from None
    except Exception as error:  # a stranger's settings: whatever the constructor fails on
        reason = first_line(error)
        raise WeightsError(f"{config} does not describe a network known here: {reason}") from None
    check_keys(planned, header, str(weights))


class Pretrained(Pushed):
    """Mix-in for a network: save_pretrained(folder), from_pretrained(folder_or_hub_id), push_to_hub(name).

    The constructor's arguments are recorded as they were given, defaults included, and written to config.json with
    the class's name. Dataclasses among them become JSON objects, which the constructor must take back. Loading is
    strict. A class or function of one's own among the arguments is written as its import path, 'module:name', and
    loaded from there where the caller names its module in `trusted_modules` (variants.py).
    Weights may be stored in half precision; they are loaded into the network's own dtype. Arguments named in
    RUNTIME say how to compute, not what: they are not written, so that a model loads where its backend is missing.
    """

    RUNTIME = ("backend", "global_backend", "gradient_checkpointing")
    config: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        original = cls.__init__
        signature = inspect.signature(original)

        @functools.wraps(original)
        def recording(self: Any, *args: Any, **kwargs: Any) -> None:
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            original(self, *args, **kwargs)
            self.config = {name: _plain(value) for name, value in list(bound.arguments.items())[1:]}

        cls.__init__ = recording  # type: ignore[method-assign]

    def save_pretrained(
        self, folder: str | Path, *, variant: str | None = None, max_shard_bytes: int | None = None
    ) -> None:
        """Write config.json and model.safetensors into `folder`, which is created.

        Arguments:
            variant: such as 'fp16', for model.fp16.safetensors; weights are written in the type that they have.
            max_shard_bytes: writes several files of at most this size, and their list.

        ValueError where an argument is a class or function that cannot be imported by a path.
        """
        assert isinstance(self, nn.Module)
        described = {name: _named(value) for name, value in self.config.items() if name not in self.RUNTIME}
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(folder, self.state_dict(), variant=variant, max_shard_bytes=max_shard_bytes)
        config = {"class": plain_class(type(self)).__name__, **described}
        write_json(folder / CONFIG, config)

    @classmethod
    def from_pretrained(
        cls: type[Network],
        path_or_repo: str | Path,
        *,
        subfolder: str = "",
        variant: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        device: str | torch.device = "cpu",
        trusted_modules: Collection[str] = (),
    ) -> Network:
        """The network in a folder or of a hub id, in eval mode; WeightsError says what is missing or damaged.

        `subfolder` is where in it the network lies, such as 'estimator' in a pipeline's. Weights may be in shards, and
        under diffusers' file names. `variant`, such as 'fp16', takes those of model.fp16.safetensors. `revision`,
        `token` and `local_files_only` are for the hub (hub.locate()).
        `trusted_modules` names modules or packages outside pmrf_blocks whose code config.json may import and run.
        """
        hub: Any = {"revision": revision, "token": token, "local_files_only": local_files_only}
        folder = locate(path_or_repo, subfolder=subfolder, variant=variant, **hub)
        config = read_json(folder / CONFIG)
        named = config.pop("class", cls.__name__)
        if named != cls.__name__:
            own = named[:60] if isinstance(named, str) else short(named)
            raise WeightsError(f"{folder / CONFIG} describes a {own}, not a {cls.__name__}")
        try:
            check_arguments(cls, config)
            arguments = {name: _imported(value, trusted_modules) for name, value in config.items()}
        except ValueError as error:
            raise WeightsError(f"{folder / CONFIG}: {error}") from None
        make = cast("Callable[[], nn.Module]", functools.partial(cls, **arguments))
        weights = find_weights(folder, variant)
        check_plan(make, header_of(weights), config=folder / CONFIG, weights=weights)
        model = build_network(make, read_weights(weights), config=folder / CONFIG, weights=weights)
        return cast("Network", model.to(device))


def _plain(value: Any) -> Any:
    """JSON's own types for an argument; classes and functions stay what they are."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _named(value: Any) -> Any:
    """Classes and functions of a plain value by their import paths."""
    if isinstance(value, list):
        return [_named(item) for item in value]
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    return import_path(value) if callable(value) else value


def _imported(value: Any, trusted_modules: Collection[str]) -> Any:
    """The inverse of _named()."""
    if isinstance(value, list):
        return [_imported(item, trusted_modules) for item in value]
    if isinstance(value, dict):
        return {key: _imported(item, trusted_modules) for key, item in value.items()}
    return from_path(value, trusted_modules=trusted_modules) if is_path(value) else value
