"""pmrf-blocks demo"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from skimage.data import astronaut
from torch import Tensor
from tqdm import tqdm

from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.faces import Detector, DetectorUnavailable, build_detector
from pmrf_blocks.images import ImageError, LoadedImage, save_picture, write_image
from pmrf_blocks.metrics import psnr
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import Pipeline, comparison, load_restorer, restore_photograph
from pmrf_blocks.restoration.aligned import resize_shorter
from pmrf_blocks.restoration.cards import LEFT, SIDE, TOP
from pmrf_blocks.seeding import derive_generator

TILE = 256
WHOLE = 512  # pixels of the whole photograph, and of a tile of its comparison
SIGMA, FACTOR, NOISE, QUALITY = 1.7, 2.75, 10.0, 60  # the medium strength of docs/results/photographs.md, at SIDE


def run(arguments: argparse.Namespace) -> int:
    try:
        restorer = load_restorer("bundled", optimize=True)
        try:
            detector = build_detector()
        except DetectorUnavailable as error:
            print(f"a face crop is shown, not a whole photograph: {error}", file=sys.stderr)
            return show_crop(restorer, arguments.output, arguments.seed)
        return show_photograph(restorer, detector, arguments.output, arguments.seed)
    except (WeightsError, ImageError) as error:
        print(f"pmrf-blocks demo: {error}", file=sys.stderr)
        return 1


def show_photograph(restorer: Pipeline, detector: Detector, output: Path, seed: int) -> int:
    """The whole photograph degraded, and with its face restored where it was."""
    original = resize_shorter(torch.from_numpy(astronaut().copy()).permute(2, 0, 1).float() / 255.0, WHOLE)
    degradation = BlindFaceDegradation.fixed(
        sigma=SIGMA, factor=FACTOR, noise=NOISE, quality=QUALITY, kernel_size=15, reference_size=None
    )
    degraded = degradation(original[None], generator=derive_generator("demo", seed))[0][0]
    with tqdm(total=restorer.steps, desc="demo", unit="step", file=sys.stderr) as bar:
        restored = restore_photograph(
            restorer, LoadedImage(degraded), detector, seed=seed, progress=lambda done, of: bar.update()
        )
    result = restored.result.pixels
    rows = [
        [(name, image) for name, image in (("original", original), ("degraded", degraded), ("restored", result))],
        [(f"face\n{quality(face(image), face(original))}", face(image)) for image in (original, degraded, result)],
    ]
    picture, final = output / "comparison.png", output / "restored.png"
    save_picture(comparison(rows, tile=WHOLE), picture)
    write_image(restored.result, final)
    print(f"{picture}: original, degraded, restored; the face below (PSNR against the original)")
    print(f"{final}: the photograph with {restored.summary()}")
    return 0


def face(image: Tensor) -> Tensor:
    return image[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE]


def quality(image: Tensor, original: Tensor) -> str:
    return "" if torch.equal(image, original) else f"{float(psnr(image[None], original[None])):.1f} dB"


def show_crop(restorer: Pipeline, output: Path, seed: int) -> int:
    """The crop of the face degraded, its posterior mean, and restored."""
    crop = face(torch.from_numpy(astronaut().copy()).permute(2, 0, 1))
    original = resize_shorter(crop.float() / 255.0, restorer.size)
    generator = derive_generator("demo", seed)
    degraded, target = BlindFaceDegradation(grey=0.0)(original[None], generator=generator)
    with tqdm(total=restorer.steps, desc="demo", unit="step", file=sys.stderr) as bar:
        restored = restorer.restore(degraded, seed=seed, progress=lambda done, of: bar.update())
    shown = {
        "degraded": degraded, "posterior mean": restored.posterior_mean, "restored": restored.image,
    }  # fmt: skip
    tiles = [("original\n", target[0])]
    for name, image in shown.items():
        tiles.append((f"{name}\n{float(psnr(image, target)):.1f} dB", image[0]))
    picture, result = output / "comparison.png", output / "restored.png"
    save_picture(comparison([tiles], tile=TILE), picture)
    write_image(LoadedImage(restored.image[0]), result)
    print(f"{picture}: original, degraded, posterior mean, restored (PSNR against the original)")
    print(f"{result}: the restored face, {restorer.size}x{restorer.size}")
    return 0
