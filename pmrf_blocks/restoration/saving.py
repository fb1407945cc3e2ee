"""Saving of a pipeline: config.json, and one folder for each network with its own config and weights; beside them a
model card (cards.py) and provenance.json. loading.py reads them.

A pipeline, and each of its parts, is saved by its class and its constructor's arguments, which it keeps in attributes
of the same names. Networks among them get folders; parts are described in place; the rest is JSON.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import nn

from pmrf_blocks.hub import Pushed
from pmrf_blocks.model_cards import PROVENANCE, Place, check_license
from pmrf_blocks.pretrained import CONFIG, WeightsError
from pmrf_blocks.registry import name_of
from pmrf_blocks.restoration.cards import CHEAP, Picture, write_pipeline_card
from pmrf_blocks.restoration.loading import load_restorer
from pmrf_blocks.restoration.names import networks_of
from pmrf_blocks.restoration.parts import arguments_of, describe
from pmrf_blocks.whole_files import write_json, write_text

Loaded = TypeVar("Loaded", bound="SavedPipeline")


class SavedPipeline(Pushed):
    """Mix-in of the pipelines: save_pretrained(folder), from_pretrained(folder_or_hub_id), push_to_hub(name).

    `provenance` is what provenance.json says of the training: read with a pipeline, written with it. None where nothing
    is known, and once a FlowTask trains the pipeline, which makes it another.
    """

    provenance: dict[str, Any] | None = None

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        dtype: torch.dtype | None = None,
        variant: str | None = None,
        max_shard_bytes: int | None = None,
        shared: Sequence[str] = (),
        license: str | None = None,
        picture: Picture = False,
        place: Place | None = None,
    ) -> None:
        """Write the pipeline: config.json, a folder for each network, provenance.json where the pipeline has a
        `provenance`, and a model card, README.md, where there is none.

        Arguments:
            dtype: such as torch.float16: stores smaller weights than the networks hold.
            variant: such as 'fp16', for each network's model.fp16.safetensors, beside those of other variants.
            max_shard_bytes: writes a network in several files of at most this size, and their list.
            shared: networks that are not written because the folder above this one already holds them; nor is a card.
            license: of the weights, for the card: the hub's identifier, such as 'mit'.
            picture: of the card: degraded images (B, 3, H, W) in [0, 1], shown before and after; True: a portrait that
                is degraded as blind faces are; or a Pillow image.
            place: where the card says that the pipeline is loaded from; `folder` unless given.

        Raises ValueError for a network, a part or an argument that could not be loaded again.
        """
        assert isinstance(self, nn.Module)
        check_license(license)
        folder = Path(folder)
        options = {"variant": variant, "max_shard_bytes": max_shard_bytes}
        given = {name: value for name, value in options.items() if value is not None}
        for name in shared:
            if not (folder.parent / name / CONFIG).is_file():
                raise ValueError(f"shared network {name!r} is not in {folder.parent}")
        networks = networks_of(self)
        classes = {name: name_of("network", type(network), what=name) for name, network in networks.items()}
        own = self.description(networks)
        config = {"pipeline": name_of("pipeline", type(self), what="pipeline"), "networks": classes, **own}
        if shared:
            config["shared"] = list(shared)
        try:
            text = json.dumps(config, indent=2) + "\n"
        except TypeError as error:
            raise ValueError(f"an argument of this pipeline cannot be written to {CONFIG}: {error}") from None
        folder.mkdir(parents=True, exist_ok=True)
        for name, network in networks.items():
            if name not in shared:
                stored: Any = network if dtype is None else copy.deepcopy(network).to(dtype)
                stored.save_pretrained(folder / name, **given)
        write_text(folder / CONFIG, text)
        if self.provenance is not None:
            write_json(folder / PROVENANCE, self.provenance)
        if not shared:  # of a pipeline within another's folder speaks that one's card
            place = place or Place(f"./{folder.resolve().name}", variant=variant)
            write_pipeline_card(self, folder, config, place=place, license=license, picture=picture)

    def _write_for_hub(self, folder: Path, place: Place, options: dict[str, Any]) -> None:
        options = {"picture": cast("Any", self).size <= CHEAP, **options}
        self.save_pretrained(folder, place=place, **options)

    def description(self, networks: Mapping[str, nn.Module]) -> dict[str, Any]:
        """'settings' and 'parts' of config.json; ValueError where they would not make this pipeline again."""
        from pmrf_blocks.restoration.pipelines import Pipeline

        assert isinstance(self, Pipeline)
        own = describe(self, networks)
        given = {name: getattr(self, name) for name in arguments_of(type(self))}
        if describe(type(self)(**given), networks, Pipeline) != describe(self, networks, Pipeline):
            raise ValueError(
                f"a {type(self).__name__} with another space, source or condition is saved as a Pipeline: build that"
            )
        return {kind: content for kind, content in own.items() if kind != "networks"}

    @classmethod
    def from_pretrained(
        cls: type[Loaded],
        path_or_repo: str | Path,
        *,
        subfolder: str = "",
        variant: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        device: str | torch.device = "cpu",
        optimize: bool = False,
        trusted_modules: Collection[str] = (),
    ) -> Loaded:
        """Load a pipeline of this class; arguments are load_restorer()'s.

        Raises WeightsError, which names what is missing or damaged, also for a pipeline of another class.
        """
        restorer = load_restorer(
            path_or_repo,
            subfolder=subfolder,
            variant=variant,
            revision=revision,
            token=token,
            local_files_only=local_files_only,
            device=device,
            optimize=optimize,
            trusted_modules=trusted_modules,
        )
        if not isinstance(restorer, cls):
            raise WeightsError(f"{path_or_repo} holds a {type(restorer).__name__}, not a {cls.__name__}")
        return restorer
