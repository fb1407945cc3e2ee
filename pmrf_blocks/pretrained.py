"""Saving and loading of one network: config.json (the constructor's arguments) beside model.safetensors.

Every network with published or shipped weights inherits `Pretrained`; pipelines of several networks are
in restoration/.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pmrf_blocks.arguments import check_arguments
from pmrf_blocks.construction import plan
from pmrf_blocks.json_files import read_json_object
from pmrf_blocks.messages import first_line, short
from pmrf_blocks.variants import from_path, import_path, is_path
from pmrf_blocks.whole_files import write_bytes, write_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
Network = TypeVar("Network", bound="Pretrained")
Built = TypeVar("Built", bound=nn.Module)


# What weights may be stored in, by the names of safetensors; all else passes for integers.
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class WeightsError(ValueError):
    """A weight file that is missing, damaged, or made for another network."""


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


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Tensors of one .safetensors file on the CPU; WeightsError where it is missing or damaged."""
    if not Path(path).is_file():
        raise WeightsError(f"weight file {path} not found")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weight file {path} is damaged or not safetensors: {error}") from None


def read_header(path: Path) -> dict[str, Tensor]:
    """Names, shapes and types of a .safetensors file as tensors without memory; WeightsError as read_safetensors()."""
    if not path.is_file():
        raise WeightsError(f"weight file {path} not found")
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: torch.empty(one.get_shape(), dtype=DTYPES.get(one.get_dtype(), torch.uint8), device="meta")
                for name, one in slices.items()
            }
    except (SafetensorError, OSError, RuntimeError, OverflowError, MemoryError) as error:
        raise WeightsError(f"weight file {path} is damaged or not safetensors: {error}") from None


def read_pickle(path: str | Path) -> Mapping[str, Any]:
    """Content by name of a file that torch.save wrote (.pth, .ckpt, .bin), on the CPU.

    Read with weights_only=True: a pickle that holds anything but weights and plain values is refused, none of its
    code runs. WeightsError where it is missing, damaged, refused, or holds no names.
    """
    if Path(path).exists() and not Path(path).is_file():  # a pipe would keep the reader waiting
        raise WeightsError(f"{path} is not a file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"weight file {path} not found") from None
    except Exception as error:  # pickle's and zip's errors are many
        raise WeightsError(f"{path} is not a file of weights alone: {first_line(error)}") from None
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not weights by name")
    return content


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


class Pretrained:
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

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors into `folder`, which is created.

        ValueError where an argument is a class or function that cannot be imported by a path.
        """
        assert isinstance(self, nn.Module)
        described = {name: _named(value) for name, value in self.config.items() if name not in self.RUNTIME}
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {key: value.contiguous() for key, value in self.state_dict().items()}
        # Not save_file(): it makes files that their owner alone can read, useless where a package is shared.
        write_bytes(folder / WEIGHTS, save(weights, metadata={"format": "pt"}))
        config = {"class": plain_class(type(self)).__name__, **described}
        write_json(folder / CONFIG, config)

    @classmethod
    def from_pretrained(
        cls: type[Network],
        path_or_repo: str | Path,
        *,
        device: str | torch.device = "cpu",
        trusted_modules: Collection[str] = (),
    ) -> Network:
        """The network in a folder or of a hub id, in eval mode; WeightsError says what is missing or damaged.

        `trusted_modules` names modules or packages outside pmrf_blocks whose code config.json may import and run.
        """
        folder = locate(path_or_repo)
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
        check_plan(make, read_header(folder / WEIGHTS), config=folder / CONFIG, weights=folder / WEIGHTS)
        state_dict = read_safetensors(folder / WEIGHTS)
        model = build_network(make, state_dict, config=folder / CONFIG, weights=folder / WEIGHTS)
        return cast("Network", model.to(device))

    def push_to_hub(self, repo_id: str, **options: Any) -> None:
        """Upload what save_pretrained writes; `options` go to huggingface_hub's upload_folder."""
        from huggingface_hub import create_repo, upload_folder

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            create_repo(repo_id, exist_ok=True)
            upload_folder(repo_id=repo_id, folder_path=folder, **options)


def locate(path_or_repo: str | Path, *, patterns: Sequence[str] = ("*.json", "*.safetensors")) -> Path:
    """A local folder, or the snapshot of a hub id 'owner/name' (the files that match `patterns` alone).

    A folder on the disk is never the hub: a Path is no hub id, and neither is a string whose first part is a folder
    here. Else a stranger who takes the name of a missing folder would be loaded. WeightsError where nothing is found.
    """
    path = Path(path_or_repo).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise WeightsError(f"{path} is a file; a model is a folder with {CONFIG}, or a hub id")
    name = str(path_or_repo)
    if isinstance(path_or_repo, Path) or ".." in name or HUB_ID.fullmatch(name) is None:
        raise WeightsError(f"no folder {path}, and not a hub id (owner/name) either")
    if Path(path.parts[0]).exists():
        raise WeightsError(f"no folder {path} in {path.parts[0]}, which is a folder here and not the hub's")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's errors are many: network, authorisation, absence
        reason = first_line(error)
        raise WeightsError(f"cannot get {path_or_repo} from the hub: {reason}") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; WeightsError where it is missing or damaged."""
    return read_json_object(path, WeightsError)


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
