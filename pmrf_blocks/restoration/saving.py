"""Saving and loading of a pipeline: config.json, and one folder for each network with its own config and weights."""

from __future__ import annotations

import copy
import json
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from pmrf_blocks.pretrained import WeightsError

# Classes that a config.json may name. Nothing else is imported, whatever a downloaded file says.
NETWORKS = {
    "SimVAE": "pmrf_blocks.autoencoders",
    "UNet": "pmrf_blocks.estimators",
    "SwinIR": "pmrf_blocks.estimators",
    "HourglassTransformer": "pmrf_blocks.transformers",
}
PIPELINES = ("LatentPMRF", "PMRF", "PosteriorMean")
SETTINGS = ("size", "source_noise", "steps")
BUNDLED = Path(__file__).resolve().parents[1] / "weights" / "bundled"

Pipeline = TypeVar("Pipeline", bound="SavedPipeline")


class SavedPipeline:
    """Mix-in of the pipelines: save_pretrained(folder) and from_pretrained(folder_or_hub_id)."""

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Write the pipeline; `dtype` (such as torch.float16) stores smaller weights than the networks hold."""
        assert isinstance(self, nn.Module)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        networks = dict(self.named_children())
        for name, network in networks.items():
            if type(network).__name__ not in NETWORKS:
                raise ValueError(f"{name} must be one of {', '.join(NETWORKS)} to be saved; got {type(network).__name__}")
            stored = network if dtype is None else copy.deepcopy(network).to(dtype)
            stored.save_pretrained(folder / name)
            (folder / name / "README.md").unlink(missing_ok=True)  # the hub's template; one card for the whole
        config = {
            "pipeline": type(self).__name__,
            "networks": {name: type(network).__name__ for name, network in networks.items()},
            "settings": {name: getattr(self, name) for name in SETTINGS},
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def from_pretrained(
        cls: type[Pipeline], path_or_repo: str | Path, *, device: str | torch.device = "cpu"
    ) -> Pipeline:
        """Load a pipeline of this class from a folder or a hub id; WeightsError names what is missing or damaged."""
        restorer = load_restorer(path_or_repo, device=device)
        if not isinstance(restorer, cls):
            raise WeightsError(f"{path_or_repo} holds a {type(restorer).__name__}, not a {cls.__name__}")
        return restorer


def load_restorer(path_or_repo: str | Path, *, device: str | torch.device = "cpu") -> Any:
    """The pipeline in a folder, of a hub id, or 'bundled' (the one that ships), in eval mode on `device`."""
    from pmrf_blocks.restoration import pipelines

    folder = locate(path_or_repo)
    config = _read_json(folder / "config.json")
    try:
        kind, networks, settings = config["pipeline"], config["networks"], config["settings"]
    except KeyError as error:
        raise WeightsError(f"{folder / 'config.json'} is no pipeline's: {error} is missing") from None
    if kind not in PIPELINES:
        raise WeightsError(f"{folder / 'config.json'}: pipeline must be one of {', '.join(PIPELINES)}; got {kind!r}")
    parts = {}
    for name, network in networks.items():
        if network not in NETWORKS:
            raise WeightsError(
                f"{folder / 'config.json'}: {name} must be one of {', '.join(NETWORKS)}; got {network!r}"
            )
        if not (folder / name / "model.safetensors").is_file():
            raise WeightsError(f"weight file {folder / name / 'model.safetensors'} not found")
        _read_json(folder / name / "config.json")
        parts[name] = getattr(import_module(NETWORKS[network]), network).from_pretrained(folder / name)
    if kind == "PosteriorMean":
        settings = {"size": settings["size"]}
    return getattr(pipelines, kind)(**parts, **settings).to(device).eval()


def locate(path_or_repo: str | Path) -> Path:
    """Folder of a pipeline: the bundled one, a local folder, or a snapshot of a hub id."""
    if str(path_or_repo) == "bundled":
        return BUNDLED
    path = Path(path_or_repo).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise WeightsError(f"{path} is a file; a model is a folder with config.json, or a hub id")
    if str(path_or_repo).count("/") != 1 or str(path_or_repo).startswith((".", "/", "~")):
        raise WeightsError(f"no folder {path}, and not a hub id (owner/name) either")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(path_or_repo), allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # the hub's errors are many: network, authorisation, absence
        raise WeightsError(f"cannot get {path_or_repo} from the hub: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise WeightsError(f"{path} not found") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path} is damaged: not a JSON object")
    return content
