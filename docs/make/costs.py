"""Parameters and floating-point operations of every stage at the paper's scale, counted without memory or arithmetic.

Networks run forward on torch's meta device under torch.utils.flop_counter: a multiplication and an addition are two
operations; norms, activations and everything else that is no product of matrices or convolution are not counted.
"""

from __future__ import annotations

import itertools
import shlex
from typing import Any

import torch
import tyro

from pmrf_blocks.commands.arguments.recipe import StageArguments
from pmrf_blocks.experiments.costs import forward_flops, size_of, vgg19
from pmrf_blocks.experiments.launch import chosen, planned
from recipes import elir, figure3_convergence, latent_pmrf, pmrf, posterior_mean, sd_vae, sim_vae

ABOUT = """## What a step costs

Parameters, and 10^12 floating-point operations (TFLOP) an image and a step, by `torch.utils.flop_counter` on the meta
device. A product of matrices or a convolution is counted, norms and activations are not. A backward pass counts as two
forward ones, as it is for such layers; a pass back through a frozen network, to its input alone, as one. Neighborhood
attention is counted as its definition has it, 49 keys a query, whatever a backend computes. Degrading images, and
validation, are left out. Latent-PMRF's velocity is the cheaper one, but its step holds two passes through the
encoder at 512x512 as well: `--pair-rounds` computes them beforehand. PMRF*, "under the same compute budget" (table 4),
has as many updates of as large batches, not as many operations.
"""

LAYERS = {
    "merge": ("linear", "conv"),
    "split": ("linear", "conv"),
    "patches": ("linear", "conv"),
    "bias": (False, True),
}
LINE = "python -m recipes.latent_pmrf --plan h100 --processes 8 --pair-rounds 4"
PLAN = f"""## What a training will cost: --plan

Every recipe takes `--plan DEVICE`, which prints what each of its stages costs and starts nothing
([recipes](recipes.md#what-it-will-cost)); `--json` prints the same as JSON. This is what

```
{LINE}
```

prints: Latent-PMRF on eight H100, its flow on four degradations of each image that are encoded beforehand (with fresh
ones at every step it takes what stands in the table above). Images are counted below `--data`; where they are not
there, FFHQ is taken to have the 70,000 that its authors state.
"""

SEARCH = """## Which network has 151.2 M parameters

Table 4 prints 151.2 M for Latent-PMRF's velocity; neither paper nor release says of which layers. These are all that
`HourglassTransformer` has between the levels and at its ends, on the widths above, nearest first; the recipe's is in
bold. `velocity.changed(merge="conv", bias=True)` takes another. What is left of the difference is in widths that are
not published either: `latent_pmrf_hdit(levels=..., mapping_width=..., bias=...)` on torch's meta device counts others.
`zero_output` changes no number.

| down (`merge`) | up (`split`) | pixels (`patches`) | `bias` | parameters | beside 151.2 M |
|---|---|---|---|--:|--:|"""

# Parameters as printed, by the names of the table.
PUBLISHED = {
    "Sim-VAE, a crop of 256x256": "91,030,595 (release)",
    "SD-VAE, a crop of 256x256": "84.0 M",
    "estimator (SwinIR), 512x512": "15.7 M (table 4)",
    "PMRF's velocity, 512x512": "159.8 M (table 4)",
    "Latent-PMRF's velocity, 64x64": "151.2 M (table 4)",
}


def cost_lines() -> list[str]:
    """The section of the page."""
    image, latent, time = (1, 3, 512, 512), (1, 32, 64, 64), (1,)
    crop = (1, 3, 256, 256)
    parts = {
        "Sim-VAE, a crop of 256x256": forward_flops(lambda: sim_vae.paper().network.build(0), crop),
        "SD-VAE, a crop of 256x256": forward_flops(lambda: sd_vae.paper().network.build(0), crop),
        "VGG-19 up to conv5_4, a crop of 256x256": forward_flops(vgg19, crop),
        "Sim-VAE's encoder, 512x512": forward_flops(lambda: sim_vae.paper().network.build(0).encoder, image),
        "Sim-VAE's decoder, 512x512": forward_flops(lambda: sim_vae.paper().network.build(0).decoder, latent),
        "estimator (SwinIR), 512x512": forward_flops(lambda: posterior_mean.paper().network.build(0), image),
        "PMRF's velocity, 512x512": forward_flops(lambda: pmrf.paper().velocity.build(0), image, time),
        "Latent-PMRF's velocity, 64x64": forward_flops(lambda: latent_pmrf.paper().velocity.build(0), latent, time),
        "ELIR's estimator of latents, 64x64": forward_flops(lambda: latent_estimator().network.build(0), latent),
    }
    sim, sd, vgg, encoder, decoder, swinir, pixels, latents, rrdb = (flops for _, flops in parts.values())
    perceptual = 3 * vgg  # both images forward, one back to its input
    starred = figure3_convergence.paper().slow[1]
    stages: dict[str, tuple[Any, int, str]] = {
        "`sim_vae`": (sim_vae.paper(), 3 * sim + perceptual, "autoencoder 3, VGG-19 3"),
        "`sd_vae`": (sd_vae.paper(), 3 * sd + perceptual, "autoencoder 3, VGG-19 3"),
        "`posterior_mean`": (posterior_mean.paper(), 3 * swinir, "estimator 3"),
        "`latent_pmrf`": (
            latent_pmrf.paper(), 3 * latents + swinir + 2 * encoder, "velocity 3, estimator 1, encoder 2"
        ),
        "`pmrf`": (pmrf.paper(), 3 * pixels + swinir, "velocity 3, estimator 1"),
        "PMRF* (`figure3_convergence`)": (starred, 3 * pixels + swinir, "velocity 3, estimator 1"),
        "`elir`'s estimator of latents": (latent_estimator(), 3 * rrdb + 2 * encoder, "RRDB 3, encoder 2"),
        "`elir`": (
            elir.paper(), 7 * latents + rrdb + 2 * encoder + 3 * decoder,
            "velocity 7 (two trained points and one frozen), RRDB 1, encoder 2, decoder 3",
        ),
    }  # fmt: skip
    lines = [ABOUT, "| network and input | parameters | published | TFLOP forward |", "|---|--:|--:|--:|"]
    for name, (parameters, flops) in parts.items():
        lines.append(f"| {name} | {parameters:,} | {PUBLISHED.get(name, '')} | {flops / 1e12:.3f} |")
    lines += ["", "| stage | forward passes an image | TFLOP an image | batch | TFLOP a step | steps | EFLOP in all |",
              "|---|---|--:|--:|--:|--:|--:|"]  # fmt: skip
    for name, (stage, flops, passes) in stages.items():
        batch, steps = stage.train.batch_size, stage.train.steps
        each = f"{flops / 1e12:.2f} | {batch} | {batch * flops / 1e12:,.0f} | {steps:,}"
        lines.append(f"| {name} | {passes} | {each} | {batch * steps * flops / 1e18:,.0f} |")
    note = "EFLOP are 10^18. A device that keeps up 200 TFLOP a second does 17.3 EFLOP a day. Counted, not run."
    return [*lines, "", note]


def search_section() -> list[str]:
    """Parameters of Latent-PMRF's velocity with each choice of its layers, nearest to the paper's first."""
    velocity, goal = latent_pmrf.paper().velocity, 151.2e6
    own = [velocity.arguments[name] for name in LAYERS]
    found = []
    for chosen_layers in itertools.product(*LAYERS.values()):
        with torch.device("meta"):
            network = velocity.changed(**dict(zip(LAYERS, chosen_layers))).build(0)
        found.append((size_of(network), list(chosen_layers)))
    lines = [SEARCH]
    for parameters, layers in sorted(found, key=lambda one: abs(one[0] - goal)):
        mark = "**" if layers == own else ""
        cells = [*(f"{mark}{layer}{mark}" for layer in layers), f"{mark}{parameters:,}{mark}"]
        lines.append(f"| {' | '.join(cells)} | {parameters / goal - 1:+.2%} |")
    return lines


def plan_section() -> list[str]:
    """What LINE prints, as a section of the page."""
    arguments = tyro.cli(StageArguments, args=shlex.split(LINE)[3:])
    return [PLAN, *planned(chosen(arguments, latent_pmrf.paper()), arguments)]


def latent_estimator() -> Any:
    return elir.paper().latent_estimator
