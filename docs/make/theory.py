"""The paper's theory, measured on a Latent-PMRF: theorem 2, isometry, and what the flow should start from.

    python -m docs.make.theory --data DIR             # writes docs/results/theory.{md,json,png}

DIR holds faces256/SPLIT. Every image is degraded once by the blind-face degradation at the model's size.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from docs.make.bundled_results import degrade
from docs.make.theory_page import draw, markdown
from pmrf_blocks.analysis import (
    Isometry,
    compare_sources,
    decompose,
    finite_posterior,
    isometry,
    pairwise_isometry,
    perplexity,
    split_distortion,
)
from pmrf_blocks.data import ImageDataset, find_images
from pmrf_blocks.flow import add_source_noise, integrate
from pmrf_blocks.plotting import save_figure
from pmrf_blocks.restoration import LatentPMRF, load_restorer
from pmrf_blocks.seeding import derive_generator
from pmrf_blocks.training.environment import clean_commit, describe_environment
from pmrf_blocks.training.frame import one_line_errors

QUANTILES = (0.05, 0.5, 0.95)
COARSE = 8  # pixels a side of what the third measurement observes
STEP = 1.0 / 255.0  # of the small displacement in the second
Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Arguments:
    data: Path
    """Folder with faces256/SPLIT."""
    split: str = "val"
    """Subfolder of faces256 to measure on."""
    latent: str = "bundled"
    """Latent-PMRF: 'bundled', a folder or a hub id."""
    output: Path = Path("docs/results")
    """Where NAME.md, NAME.json and NAME.png go."""
    name: str = "theory"
    """Of the files."""
    limit: int = 32
    """Images that are degraded and restored, and of which the third measurement's posterior is made."""
    steps: tuple[int, ...] = (1, 5, 25)
    """Euler steps of the transport."""
    sigmas: tuple[float, ...] = (0.4, 0.8, 1.6)
    """Noise of the third measurement's observations."""
    seed: int = 0
    """Of degradations, source noise and observations."""
    threads: int | None = None
    """CPU threads; all cores when not given. Several are faster by OMP_NUM_THREADS=n."""
    allow_dirty: bool = False
    """Write the page though files differ from the commit that it names; it then says so."""


@dataclass(frozen=True)
class Autoencoder:
    """encode: images in [0, 1] to the latents of the flow; decode: back, clipped, as restore() gives them out."""

    encode: Map
    decode: Map


def maps(restorer: LatentPMRF) -> Autoencoder:
    vae = restorer.autoencoder

    def encode(x: Tensor) -> Tensor:
        return vae.normalize(vae.encode(2.0 * x - 1.0).mode())

    def decode(z: Tensor) -> Tensor:
        return (0.5 * (vae.decode(vae.denormalize(z)) + 1.0)).clamp(0.0, 1.0)

    return Autoencoder(encode, decode)


def transport(restorer: LatentPMRF, steps: int, seed: int) -> Map:
    """T of theorem 2: the source noise of the model, then its flow; the same noise for every number of steps."""
    generator = derive_generator("theory", "source", seed)

    def carry(z: Tensor) -> Tensor:
        noisy = add_source_noise(z, restorer.source_noise, generator)
        return integrate(restorer.velocity, noisy, steps=steps).x

    return carry


def theorem_2(
    target: Tensor, mean: Tensor, restorer: LatentPMRF, vae: Autoencoder, steps: Sequence[int], seed: int
) -> list[dict[str, float]]:
    """Terms of theorem 2 and eq. 4 for each number of steps."""
    rows = []
    for count in steps:
        terms = decompose(mean, vae.encode, vae.decode, transport(restorer, count, seed))
        split = split_distortion(target, mean, terms.restored)
        rows.append(
            {
                "steps": count,
                **terms.means(),
                "residual": terms.residual,
                "distortion": split.means()["total"],
                "irreducible": split.means()["irreducible"],
                "cross": split.means()["cross"],
                "cross_error": split.cross_error(),
            }
        )
    return rows


def isometries(target: Tensor, mean: Tensor, vae: Autoencoder, seed: int) -> dict[str, Isometry]:
    """Distance ratios of encoder and decoder, and of a plain mean over blocks of pixels beside them."""
    noise = torch.randn(target.shape, generator=derive_generator("theory", "displacement", seed))
    sharp, blurred = (torch.cat([vae.encode(part) for part in x.split(16)]) for x in (target, mean))
    factor = target.shape[-1] // sharp.shape[-1]
    return {
        "encoder, two faces": pairwise_isometry(vae.encode, target),
        "encoder, face and its posterior mean": isometry(vae.encode, target, mean),
        "encoder, face and face with faint noise": isometry(vae.encode, target, target + STEP * noise),
        "decoder, latents of face and of its posterior mean": isometry(vae.decode, sharp, blurred),
        "block mean instead, two faces": pairwise_isometry(lambda x: F.avg_pool2d(x, factor), target),
        "block mean instead, face and its posterior mean": isometry(lambda x: F.avg_pool2d(x, factor), target, mean),
    }


def sources(images: Tensor, vae: Autoencoder, sigmas: Sequence[float], seed: int) -> list[dict[str, float]]:
    """Option 1 against option 2 for the exact posterior over `images`, seen at COARSE pixels with noise."""

    def observe(x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, COARSE)

    rows = []
    for number, sigma in enumerate(sigmas):
        clean = observe(images)
        noise = torch.randn(clean.shape, generator=derive_generator("theory", "observation", seed, number))
        weights = finite_posterior(images, clean + sigma * noise, observe, sigma)
        found = compare_sources(images, weights, vae.encode, vae.decode)
        rows.append({"sigma": sigma, "perplexity": float(perplexity(weights).mean()), **found.means()})
    return rows


@torch.no_grad()
def measure(images: Tensor, restorer: LatentPMRF, arguments: Arguments) -> tuple[dict[str, Any], dict[str, Isometry]]:
    """Everything on the page as plain numbers, and the ratios for its figure."""
    vae = maps(restorer)
    degraded, target = degrade(images, arguments.seed)
    mean = torch.cat([restorer.estimator(part) for part in degraded.split(16)]).clamp(0.0, 1.0)
    ratios = isometries(target, mean, vae, arguments.seed)
    identity = decompose(target, vae.encode, vae.decode, lambda z: z)
    result = {
        "theorem_2": theorem_2(target, mean, restorer, vae, arguments.steps, arguments.seed),
        "reconstruction_of_originals": identity.means()["reconstruction"],
        "isometry": {
            name: {
                "pairs": len(found.ratios),
                "scale": found.scale,
                "defect": found.defect,
                "distortion": found.distortion,
                "quantiles": {str(q): found.quantile(q) for q in QUANTILES},
            }
            for name, found in ratios.items()
        },
        "sources": sources(target, vae, arguments.sigmas, arguments.seed),
    }
    return result, ratios


def main(arguments: Arguments) -> None:
    commit = clean_commit(arguments.allow_dirty)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    start = time.perf_counter()
    restorer = load_restorer(arguments.latent)
    if not isinstance(restorer, LatentPMRF):
        raise SystemExit(f"theory: {arguments.latent} is a {type(restorer).__name__}; theorem 2 is about a LatentPMRF")
    paths = find_images(arguments.data / "faces256" / arguments.split)[: arguments.limit]
    dataset = ImageDataset(paths, size=restorer.size)
    images = torch.stack([dataset[number] for number in range(len(dataset))]).float() / 255.0
    numbers, ratios = measure(images, restorer, arguments)
    result = {
        "name": arguments.name,
        "split": arguments.split,
        "images": len(images),
        "size": restorer.size,
        "source_noise": restorer.source_noise,
        "seed": arguments.seed,
        "environment": {**describe_environment(), "revision": commit, "command": None},
        "seconds": time.perf_counter() - start,
        **numbers,
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / f"{arguments.name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (arguments.output / f"{arguments.name}.md").write_text(markdown(result), encoding="utf-8")
    save_figure(
        draw(result, {name: found.ratios for name, found in ratios.items()}), arguments.output / f"{arguments.name}.png"
    )
    print(arguments.output / f"{arguments.name}.md")


if __name__ == "__main__":
    arguments = tyro.cli(Arguments, description=__doc__)
    with one_line_errors("theory"):
        main(arguments)
