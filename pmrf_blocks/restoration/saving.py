"""Saving and loading of a pipeline: config.json, and one folder for each network with its own config and weights."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from pmrf_blocks.pretrained import CONFIG, WeightsError, locate, plain_class, read_json

# Classes that a config.json may name. Nothing else is imported, whatever a downloaded file says.
NETWORKS = {
    "SimVAE": "pmrf_blocks.autoencoders",
    "UNet": "pmrf_blocks.estimators",
    "SwinIR": "pmrf_blocks.estimators",
    "RRDB": "pmrf_blocks.estimators",
    "HourglassTransformer": "pmrf_blocks.transformers",
}
PIPELINES = ("LatentPMRF", "PMRF", "PosteriorMean")
SETTINGS = ("size", "source_noise", "steps")
BUNDLED = Path(__file__).resolve().parents[1] / "weights" / "bundled"

Pipeline = TypeVar("Pipeline", bound="SavedPipeline")


class SavedPipeline:
    """Mix-in of the pipelines: save_pretrained(folder) and from_pretrained(folder_or_hub_id)."""

    def save_pretrained(
        self, folder: str | Path, *, dtype: torch.dtype | None = None, shared: Sequence[str] = ()
    ) -> None:
        """Write the pipeline.

        Arguments:
            dtype: such as torch.float16: stores smaller weights than the networks hold.
            shared: networks that are not written because the folder above this one already holds them.
        """
        assert isinstance(self, nn.Module)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        networks = dict(self.named_children())
        kinds = {name: plain_class(type(network)).__name__ for name, network in networks.items()}
        for name in shared:
            if not (folder.parent / name / CONFIG).is_file():
                raise ValueError(f"shared network {name!r} is not in {folder.parent}")
        for name, network in networks.items():
            if kinds[name] not in NETWORKS:
                raise ValueError(f"{name} must be one of {', '.join(NETWORKS)} to be saved; got {kinds[name]}")
            if name in shared:
                continue
            stored: Any = network if dtype is None else copy.deepcopy(network).to(dtype)
            stored.save_pretrained(folder / name)
        config = {
            "pipeline": type(self).__name__,
            "networks": kinds,
            "settings": {name: getattr(self, name) for name in SETTINGS},
            **({"shared": list(shared)} if shared else {}),
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")

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
    """The pipeline in a folder, of a hub id, or one that ships, in eval mode on `device`.

    'bundled' is Latent-PMRF; 'bundled-pixel' is PMRF on the same posterior mean, for comparison.
    """
    from pmrf_blocks.restoration import pipelines

    shipped = {"bundled": BUNDLED, "bundled-pixel": BUNDLED / "pixel"}
    folder = shipped.get(str(path_or_repo)) or locate(path_or_repo)
    config = read_json(folder / CONFIG)
    try:
        kind, networks, settings = config["pipeline"], config["networks"], config["settings"]
    except KeyError as error:
        raise WeightsError(f"{folder / CONFIG} is no pipeline's: {error} is missing") from None
    if not isinstance(networks, Mapping) or not isinstance(settings, Mapping):
        raise WeightsError(f"{folder / CONFIG} is no pipeline's: networks and settings must be JSON objects")
    if kind not in PIPELINES:
        raise WeightsError(f"{folder / CONFIG}: pipeline must be one of {', '.join(PIPELINES)}; got {kind!r}")
    parts = {}
    for name, network in networks.items():
        if not isinstance(network, str) or network not in NETWORKS:
            raise WeightsError(f"{folder / CONFIG}: {name} must be one of {', '.join(NETWORKS)}; got {network!r}")
        place = folder.parent if name in config.get("shared", ()) else folder
        parts[name] = getattr(import_module(NETWORKS[network]), network).from_pretrained(place / name)
    if kind == "PosteriorMean":
        settings = {name: value for name, value in settings.items() if name == "size"}
    try:
        restorer = getattr(pipelines, kind)(**parts, **settings)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{folder / CONFIG} does not describe a {kind}: {error}") from None
    return restorer.to(device).eval()
