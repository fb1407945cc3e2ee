"""Begin a chain with stages that are already trained: those of a saved pipeline, the one that ships for example."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from pmrf_blocks.experiments.provenance import PROVENANCE
from pmrf_blocks.pretrained import locate, read_json
from pmrf_blocks.restoration import BUNDLED

# Which network of the pipeline is the export of which stage. The saved autoencoder has the encoder that the flow
# was trained on, whatever became of its decoder, so it stands for the stage 'autoencoder'.
EXPORTS = {"autoencoder": "autoencoder", "estimator": "estimator", "flow": "velocity", "pixel": "pixel/velocity"}


def is_adopted(run: Path) -> bool:
    """Whether a stage folder holds what another chain trained."""
    return (run / PROVENANCE).is_file()


def adopt(pipeline: str | Path, runs: Path) -> None:
    """Give each stage that `runs` has nothing of the network in `pipeline` ('bundled', a folder or a hub id), with
    what is known of how it was trained."""
    folder = BUNDLED if str(pipeline) == "bundled" else locate(pipeline)
    known = read_json(folder / PROVENANCE)["stages"]
    for stage, network in EXPORTS.items():
        run = runs / stage
        if not run.exists() and (folder / network).is_dir():
            shutil.copytree(folder / network, run / "export")
            (run / PROVENANCE).write_text(json.dumps(known[stage], indent=2) + "\n")
            print(f"{stage}: taken from {folder / network}", file=sys.stderr)
