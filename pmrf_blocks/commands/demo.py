"""pmrf-blocks demo"""

from __future__ import annotations

import argparse
import sys

import torch
from skimage.data import astronaut
from tqdm import tqdm

from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.images import ImageError, LoadedImage, save_picture, write_image
from pmrf_blocks.metrics import psnr
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import comparison, load_restorer
from pmrf_blocks.restoration.aligned import resize_shorter
from pmrf_blocks.seeding import derive_generator

LEFT, TOP, SIDE = 137, 19, 176  # an FFHQ-like crop of the face, chosen by eye
TILE = 256


def run(arguments: argparse.Namespace) -> int:
    try:
        restorer = load_restorer("bundled")
        crop = torch.from_numpy(astronaut()[TOP : TOP + SIDE, LEFT : LEFT + SIDE].copy()).permute(2, 0, 1)
        original = resize_shorter(crop.float() / 255.0, restorer.size)
        generator = derive_generator("demo", arguments.seed)
        degraded, target = BlindFaceDegradation(grey=0.0)(original[None], generator=generator)
        with tqdm(total=restorer.steps, desc="demo", unit="step", file=sys.stderr) as bar:
            restored = restorer.restore(degraded, seed=arguments.seed, progress=lambda done, of: bar.update())
        shown = {
            "degraded": degraded, "posterior mean": restored.posterior_mean, "restored": restored.image,
        }  # fmt: skip
        tiles = [("original\n", target[0])]
        for name, image in shown.items():
            tiles.append((f"{name}\n{float(psnr(image, target)):.1f} dB", image[0]))
        picture, result = arguments.output / "comparison.png", arguments.output / "restored.png"
        save_picture(comparison([tiles], tile=TILE), picture)
        write_image(LoadedImage(restored.image[0]), result)
    except (WeightsError, ImageError) as error:
        print(f"pmrf-blocks demo: {error}", file=sys.stderr)
        return 1
    print(f"{picture}: original, degraded, posterior mean, restored (PSNR against the original)")
    print(f"{result}: the restored face, {restorer.size}x{restorer.size}")
    return 0
