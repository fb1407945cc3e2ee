"""Trains the debug twins of all recipes, each stage once: twins.py DATA RUNS, alone or on several processes."""

import sys
from importlib import import_module
from pathlib import Path

import torch

from pmrf_blocks.experiments import Place
from pmrf_blocks.experiments.config import stage_name
from pmrf_blocks.experiments.fitting import trained
from pmrf_blocks.experiments.plan import stages_of

FOLDER = Path(__file__).resolve().parents[2] / "recipes"


def twins():
    """Stages by the name of their run, in an order in which they can be trained. Of the controlled experiments, whose
    degradations are trained on alike, one degradation."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        if path.stem in ("__init__", "accelerator"):
            continue
        for role, stage in stages_of(import_module(f"recipes.{path.stem}").debug(), seeds=(0,)):
            if path.stem != "controlled" or role.startswith("colourisation"):
                found.setdefault(stage_name(stage), stage)
    return {name: stage for name, stage in found.items() if getattr(stage, "published", None) is None}


def train(data, runs, **changes):
    """All of them; `changes` are settings of every run."""
    place = Place(Path(data), Path(runs), device="cpu", changes={"trackers": (), "pictures": 0, **changes})
    for stage in twins().values():
        trained(stage, place)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(*sys.argv[1:])
