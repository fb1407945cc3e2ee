"""Published weight files: where they are, and how their state is brought into a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pmrf_blocks.hub import at_revision
from pmrf_blocks.messages import first_line


class Unavailable(Exception):
    """A metric that cannot be computed here; the message says what to install or which file to give."""


def locate(name: str, given: Mapping[str, str], published: str) -> Path:
    """Path of the weights called `name`: a file, or REPO_ID:FILE on the Hugging Face hub, as the user gave it; a
    revision stands after an @ (REPO_ID@REVISION:FILE).

    Nothing is downloaded unasked: Unavailable where nothing was given.
    """
    if name not in given:
        raise Unavailable(f"give the file {published} (--weights {name}=FILE, or {name}=REPO_ID:FILE of the hub)")
    value = given[name]
    if Path(value).is_file():
        return Path(value)
    repository, colon, file = value.partition(":")
    repository, revision = at_revision(repository)
    if not colon or not repository:
        raise Unavailable(f"no such file: {value} (--weights {name}=FILE)")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # the hub's own errors and those of every layer of the network below it
        raise Unavailable(f"{value} could not be fetched: {type(error).__name__}: {first_line(error)}") from None


def read_state(path: Path) -> dict[str, Tensor]:
    """State dict of a .safetensors file, or of a .pth read with weights_only=True; prefixes and wrappers taken off."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises half a dozen kinds for damaged files
        raise Unavailable(f"{path} cannot be read: {type(error).__name__}: {first_line(error)}") from None
    for wrapper in ("state_dict", "params_ema", "params", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise Unavailable(f"{path} does not hold a state dict")
    return {key.removeprefix("module."): value for key, value in state.items()}


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path, *, unused: tuple[str, ...] = ()) -> None:
    """Load `state`; Unavailable with the differing keys where it is not this network's.

    Keys that begin with one of `unused` are left out: parts of the file that the metric does not need. Counters of
    batch norms may be missing: old files have none, and inference does not use them.
    """
    state = {key: value for key, value in state.items() if not key.startswith(unused)} if unused else dict(state)
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    surplus = [key for key in state if key not in own]
    shapes = [
        f"{key}: {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    for problem, keys in (("lacks", missing), ("has unknown", surplus), ("has misshapen", shapes)):
        if keys:
            raise Unavailable(f"{path} {problem} {len(keys)} keys of {type(network).__name__}, the first {keys[0]}")
    counters = {key: torch.zeros_like(value) for key, value in own.items() if key.endswith("num_batches_tracked")}
    network.load_state_dict(counters | dict(state))
    network.eval().requires_grad_(False)


def file_digest(path: Path) -> str:
    """Eight hexadecimal digits of the file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8] if hasattr(hashlib, "file_digest") else _old(file)


def _old(file: Any) -> str:
    digest = hashlib.sha256()  # Python 3.10
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()[:8]
