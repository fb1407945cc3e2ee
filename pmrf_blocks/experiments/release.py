"""Whole pipelines out of finished stages, with where their weights came from; and stages out of such pipelines."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pmrf_blocks.experiments.fitting import MODEL, pipeline_of, trained, trained_velocity
from pmrf_blocks.experiments.parts import stage_parts
from pmrf_blocks.experiments.place import Place
from pmrf_blocks.experiments.stages import Flow, Release
from pmrf_blocks.pretrained import locate, read_json
from pmrf_blocks.restoration import BUNDLED
from pmrf_blocks.restoration.names import networks_of
from pmrf_blocks.training.summary import PROVENANCE, describe_data, run_summary

# Which network of a pipeline is which part. A saved autoencoder has the encoder that the flow was trained on, whatever
# became of its decoder, so it stands for the part 'autoencoder'.
NETWORKS = {"autoencoder": "autoencoder", "estimator": "estimator", "mean": "estimator",
            "latent_estimator": "latent_estimator", "flow": "velocity", "pixel": "pixel/velocity"}  # fmt: skip


def write_pipelines(stage: Flow | Release, place: Place, folder: Path) -> None:
    """Save what a flow or a release describes: whole pipelines, and provenance.json.

    A release is stored in half precision, its PMRF in the folder pixel, on the same estimator. ValueError for a
    network that a pipeline cannot be saved with.
    """
    pixel = None
    if isinstance(stage, Flow):
        pipeline = trained(stage, place)
        networks = networks_of(pipeline)
    else:
        velocity = trained_velocity(stage.flow, place)
        flow = replace(stage.flow, estimator=stage.mean or stage.flow.estimator)
        pipeline = pipeline_of(flow, place, velocity=velocity, autoencoder=trained(stage.decoder, place))
        pixel = trained(stage.pixel, place)
        pipeline.steps = stage.steps
        networks = {**networks_of(pipeline), "pixel velocity": pixel.velocity}
    parts = stage_parts(stage)
    read = [images for part in parts.values() for images in images_of(part)]
    pipeline.provenance = {
        "size": pipeline.size,
        "data": describe_data({images.name: count(place.images(images, counted=False)) for images in read}),
        "parameters": {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()},
        "stages": {role: origin_of(part, place.folder(part)) for role, part in parts.items()},
    }
    pipeline.save_pretrained(folder, dtype=None if pixel is None else torch.float16)
    if pixel is not None:
        pixel.save_pretrained(folder / "pixel", dtype=torch.float16, shared=("estimator",))


def count(images: Any) -> int | None:
    """How many images there are, where that is known."""
    return len(images) if hasattr(images, "__len__") else None


def origin_of(part: Any, run: Path) -> dict[str, Any]:
    """Where a part's weights came from; a figure trains a flow in a folder of its run folder."""
    if getattr(part, "published", None) is not None:
        return {"published": part.published}
    places = [run / "config.json", *sorted(run.glob("curve*/config.json"))]
    return run_summary(next((path.parent for path in places if path.is_file()), run))


def images_of(part: Any) -> tuple[Any, ...]:
    """What a part is trained on."""
    images = getattr(part, "images", ())
    return images if isinstance(images, tuple) else (images,)


def adopt(pipeline: str | Path, stage: Any, place: Place) -> None:
    """Give each part of a stage that RUNS has nothing of the network in `pipeline` ('bundled', a folder or a hub id),
    with what is known of how it was trained."""
    folder = BUNDLED if str(pipeline) == "bundled" else locate(pipeline)
    known, parts = read_json(folder / PROVENANCE)["stages"], stage_parts(stage)
    for role, part in parts.items():
        run, network = place.folder(part), NETWORKS.get(role)
        if run.exists():
            continue
        if role == "teacher" or (role == "estimator" and "mean" in parts):
            run.mkdir(parents=True)  # what the flow was trained on is not in the folder: its story alone
        elif network is not None and (folder / network).is_dir():
            shutil.copytree(folder / network, run / MODEL)
            print(f"{role}: taken from {folder / network}", file=sys.stderr)
        else:
            continue
        (run / PROVENANCE).write_text(json.dumps(known[role], indent=2) + "\n", encoding="utf-8")
