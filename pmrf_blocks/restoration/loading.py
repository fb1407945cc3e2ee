"""Loading of a pipeline: what ships, folders and hub ids, run folders, published files."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pmrf_blocks.kernels import optimize as make_faster
from pmrf_blocks.model_cards import PROVENANCE
from pmrf_blocks.pretrained import CONFIG, WeightsError, locate, read_json
from pmrf_blocks.registry import class_named
from pmrf_blocks.restoration.parts import build_part, networks_within

BUNDLED = Path(__file__).resolve().parents[1] / "weights" / "bundled"
SHIPPED = {"bundled": BUNDLED, "bundled-pixel": BUNDLED / "pixel"}
PUBLISHED = frozenset(("stage", "arch", "mmse_model_arch"))  # what a published PMRF's config.json speaks of
RUN = "pipeline"  # the folder of a run's pipeline, in its run folder
OLD = {"PosteriorMean": ("source_noise", "steps")}  # settings that were written once and mean nothing
CHILD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load_restorer(
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
) -> Any:
    """A pipeline, in eval mode on `device`.

    Arguments:
        path_or_repo: a folder that save_pretrained() wrote, a hub id of such a folder ('owner/name' or
            'owner/name@revision'), the run folder of a recipe, a
            published PMRF (PMRF.from_published()), the file of another project's network (ForeignNetwork, in
            the place of an estimator), or one that ships: 'bundled' is Latent-PMRF, 'bundled-pixel' is PMRF on the same
            posterior mean, for comparison.
        subfolder: where in that folder the pipeline lies, such as 'pixel' in the one that ships.
        variant: of every network's weights, such as 'fp16' for model.fp16.safetensors; a file is what it is.
        revision, token, local_files_only: of the hub (hub.locate()): a branch, tag or commit; for private models; what
            was downloaded before alone.
        optimize: replace layers by faster equals (kernels.optimize()): the same images up to rounding.
        trusted_modules: modules or packages outside pmrf_blocks whose code config.json may import and run: sources,
            networks and blocks of one's own are saved by their import paths.

    Raises WeightsError, in one line, for what is missing, damaged, or none of these. A part of a folder on the disk is
    looked for in that folder and nowhere else.

    Examples:
        >>> load_restorer("bundled").size
        128
    """
    path, shipped = Path(path_or_repo).expanduser(), SHIPPED.get(str(path_or_repo))
    if shipped is None and path.is_file():
        restorer: Any = published(path)
    else:
        hub: Any = {"revision": revision, "token": token, "local_files_only": local_files_only}
        place = shipped or path_or_repo
        folder = locate(place, subfolder=subfolder, variant=variant, **hub)
        folder = folder / RUN if (folder / RUN / CONFIG).is_file() else folder
        config = read_json(folder / CONFIG)
        if subfolder:
            locate_shared(place, subfolder, config, variant=variant, **hub)
        foreign = "pipeline" not in config and not PUBLISHED.isdisjoint(config)
        restorer = published(folder, variant) if foreign else read_pipeline(folder, config, variant, trusted_modules)
    restorer = restorer.to(device).eval()
    if optimize:
        make_faster(restorer)
    return restorer


def locate_shared(
    path_or_repo: str | Path, subfolder: str, config: Mapping[str, Any], *, variant: str | None, **hub: Any
) -> None:
    """Bring what the pipeline in `subfolder` shares with the one in the folder above it to this machine."""
    above, shared = Path(subfolder).parent, config.get("shared")
    names = [name for name in shared if isinstance(name, str) and CHILD.fullmatch(name)] if shared else []
    if names:
        inside = "" if above == Path() else above.as_posix()
        locate(path_or_repo, subfolder=inside, patterns=[CONFIG, PROVENANCE], **hub)
    for name in names:
        locate(path_or_repo, subfolder=(above / name).as_posix(), variant=variant, **hub)


def published(path: Path, variant: str | None = None) -> nn.Module:
    """A published PMRF, or the network of another project in a file."""
    from pmrf_blocks.restoration.foreign import FACE, ForeignNetwork
    from pmrf_blocks.restoration.methods import PMRF, PosteriorMean
    from pmrf_blocks.restoration.published import NotPMRF

    try:
        return PMRF.from_published(path, variant=variant)
    except NotPMRF as error:
        if not path.is_file():
            raise
        try:
            return PosteriorMean(estimator=ForeignNetwork(path), size=FACE)
        except WeightsError as other:
            raise WeightsError(f"{error}; {other}") from None


def read_pipeline(
    folder: Path, config: Mapping[str, Any], variant: str | None, trusted_modules: Collection[str]
) -> nn.Module:
    """The pipeline that save_pretrained() wrote to `folder`, from what its config.json says."""
    where = folder / CONFIG
    try:
        kind, classes = config["pipeline"], config["networks"]
        settings, parts = config["settings"], config.get("parts", {})
    except KeyError as error:
        raise WeightsError(f"{where} is no pipeline's: {error} is missing") from None
    if not all(isinstance(content, Mapping) for content in (classes, settings, parts)):
        raise WeightsError(f"{where} is no pipeline's: networks and settings must be JSON objects, and so must parts")

    def known(what: str, name: Any, entry: str) -> Any:
        return class_named(what, name, where=f"{where}: {entry}", trusted_modules=trusted_modules)

    make = known("pipeline", kind, "pipeline")
    makers = {name: known("network", own, name) for name, own in classes.items()}
    shared = shared_networks(folder, config)
    chosen = {} if variant is None else {"variant": variant}  # a class of one's own may know of none
    networks = {
        name: own.from_pretrained(
            child(folder.absolute().parent if name in shared else folder, name),
            trusted_modules=trusted_modules,
            **chosen,
        )
        for name, own in makers.items()
    }
    within = {name for slot, part in parts.items() for name in networks_within(part, f"{where}: {slot}")}
    arguments = {name: network for name, network in networks.items() if name not in within}
    settings = {name: value for name, value in settings.items() if name not in OLD.get(str(kind), ())}
    try:
        for name, part in parts.items():
            arguments[name] = build_part(part, networks, f"{where}: {name}", trusted_modules)
        pipeline = make(**arguments, **settings)
    except WeightsError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{where} does not describe a {kind}: {error}") from None
    for place in (folder, folder.absolute().parent)[: 1 + bool(shared)]:
        if pipeline.provenance is None and (place / PROVENANCE).is_file():
            pipeline.provenance = read_json(place / PROVENANCE)
    return pipeline


def child(folder: Path, name: str) -> Path:
    """A network's folder within `folder`; WeightsError where the name is no plain one, or nothing is there.

    What is not there is never looked for elsewhere: on the hub, a stranger may own the name.
    """
    if not CHILD.fullmatch(name):
        raise WeightsError(f"{folder / CONFIG}: {name!r} is no name of a network: letters, digits and _ make one")
    if not (folder / name).is_dir():
        raise WeightsError(f"{folder / name} not found")
    return (folder / name).absolute()


def shared_networks(folder: Path, config: Mapping[str, Any]) -> Sequence[str]:
    """Names of the networks that the pipeline in the folder above holds for this one too."""
    shared = config.get("shared", [])
    if not isinstance(shared, list) or not all(isinstance(name, str) for name in shared):
        raise WeightsError(f"{folder / CONFIG}: shared must be a list of names; got {shared!r}")
    if shared:
        above = read_json(folder.absolute().parent / CONFIG).get("networks", {})
        for name in shared:
            if name not in above:
                raise WeightsError(f"{folder / CONFIG}: {name} is shared, but {folder.absolute().parent} has none")
    return shared
