"""What is done to training images beside degrading them: crop and flip, size, grey; beside kornia's operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.comparison import Build, Comparison, Settings, peer
from benchmarks.degradation import photographs
from benchmarks.needs import Need
from pmrf_blocks.data.framing import Framing
from pmrf_blocks.degradations import Greyscale

SEEDS = 1000


def cut_by_kornia(arrays: list[np.ndarray], framing: Framing) -> Build:
    """The crops and flips that `framing` draws, of decoded images (H, W, 3), by kornia's crop_by_indices and hflip."""

    def build() -> Any:
        transform, side = peer("kornia").geometry.transform, framing.crop or 0

        def cut(pixels: np.ndarray, seed: int) -> Tensor:
            rng = np.random.default_rng(seed)
            top, left = (int(rng.integers(length - side + 1)) for length in pixels.shape[:2])
            right, bottom = left + side - 1, top + side - 1
            corners = torch.tensor([[[left, top], [right, top], [right, bottom], [left, bottom]]])
            image = transform.crop_by_indices(torch.from_numpy(pixels).permute(2, 0, 1)[None], corners)
            return (transform.hflip(image) if rng.random() < 0.5 else image)[0]

        return lambda: torch.stack([cut(pixels, SEEDS + i) for i, pixels in enumerate(arrays)])

    return build


def comparisons(settings: Settings) -> Iterator[Comparison]:
    batch, size = (2, 64) if settings.tiny else (16, 512)
    small, x = size // 2, photographs(batch, size)
    bytes_ = (x * 255.0).round().byte()
    arrays = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in bytes_]

    framing = Framing(crop=small, flip=True)
    yield Comparison(
        f"random crop to {small}x{small} and flip, {batch} images of {size}x{size}, 8 bits",
        {
            "ours": lambda: lambda: torch.stack([framing.cut(a, SEEDS + i) for i, a in enumerate(arrays)]),
            "kornia crop_by_indices, hflip": cut_by_kornia(arrays, framing),
        },
        tolerance=0.0,
        need=Need(traffic=2 * batch * 3 * small**2),
    )

    def resize_by_kornia() -> Any:
        resize = peer("kornia").geometry.transform.resize

        def run() -> Tensor:
            made = resize(bytes_.float(), (small, small), interpolation="bicubic", antialias=True)
            return made.round().clamp(0, 255).byte()

        return run

    shrink = Framing(size=small)
    yield Comparison(
        f"shorter side to {small}, {batch} images of {size}x{size}, 8 bits",
        {
            "ours": lambda: lambda: torch.from_numpy(np.stack([shrink.resize(a) for a in arrays])).permute(0, 3, 1, 2),
            "kornia resize, bicubic": resize_by_kornia,
        },
        tolerance=None,
        unequal="ours is Pillow's Lanczos; kornia has none",
        need=Need(traffic=x.numel() * 5 // 4),
    )

    grey, x = Greyscale(), x.to(settings.device)
    yield Comparison(
        f"luma in all channels, {batch} images of {size}x{size}",
        {
            "ours": lambda: lambda: grey(x),
            "kornia rgb_to_grayscale": lambda: (
                lambda: peer("kornia").color.rgb_to_grayscale(x).expand_as(x).contiguous()
            ),
        },
        tolerance=1e-6,
        need=Need(traffic=x.numel() * x.itemsize * 4 // 3),
    )
