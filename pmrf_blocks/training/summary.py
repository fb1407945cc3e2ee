"""What a trained model came from, read off its run folder: kept beside weights that are given to others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pmrf_blocks.model_cards import PROVENANCE as PROVENANCE


def run_summary(run: Path) -> dict[str, Any]:
    """Steps, images, hours of updates (validation and waiting not counted), last scores and machine of one run.

    A stage that was taken from elsewhere brings its own.
    """
    if (run / PROVENANCE).is_file() and not (run / "stats.jsonl").exists():
        return json.loads((run / PROVENANCE).read_text(encoding="utf-8"))
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text(encoding="utf-8").splitlines()]
    updates = {line["step"]: line for line in lines if "images_per_second" in line}  # a resumed step counts once
    seconds, before = 0.0, 0
    for step in sorted(updates):
        seconds += (updates[step]["images"] - before) / updates[step]["images_per_second"]
        before = updates[step]["images"]
    scores = [line for line in lines if any(name.startswith("val_") for name in line)]
    environment = config["environment"]
    return {
        "steps": max(updates),
        "images": before,
        "batch_size": config["train"]["batch_size"],
        "hours": round(seconds / 3600, 2),
        "validation": {k: v for k, v in scores[-1].items() if k.startswith("val_")} if scores else {},
        "hardware": f"{environment['accelerator'] or environment['processor']}, {environment['threads']} thread(s)",
        "versions": {name: environment["versions"][name] for name in ("torch", "accelerate")},
        "revision": environment["revision"],
    }


def describe_data(folders: dict[str, int | None]) -> str:
    """'2,232 images in faces256/train, ...'."""
    told = {name: "images" if count is None else f"{count:,} images" for name, count in folders.items()}
    return ", ".join(f"{images} in {name}" for name, images in told.items())
