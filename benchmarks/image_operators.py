"""Blur, JPEG and resize on a batch of 512x512, beside kornia's operators on the batch and OpenCV's image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.comparison import Build, Call, Comparison, Settings, peer
from benchmarks.degradation import mean_difference, photographs
from benchmarks.needs import Need
from pmrf_blocks.degradations import JPEG, GaussianBlur, Resize, gaussian_kernel


def with_opencv(x: Tensor, operator: Callable[[Any], Callable[[np.ndarray], np.ndarray]]) -> Build:
    """operator(cv2) on one (H, W, 3) float32 image after the other."""

    def build() -> Call:
        cv2 = peer("cv2", "opencv-python-headless")
        cv2.setNumThreads(torch.get_num_threads())
        run = operator(cv2)
        images = [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in x.cpu()]
        return lambda: torch.from_numpy(np.stack([run(image) for image in images])).permute(0, 3, 1, 2).to(x.device)

    return build


def with_kornia(operator: Callable[[Any], Callable[[], Tensor]]) -> Build:
    return lambda: operator(peer("kornia"))


def jpeg_of(cv2: Any, quality: int) -> Callable[[np.ndarray], np.ndarray]:
    def run(image: np.ndarray) -> np.ndarray:
        pixels = np.uint8((image[..., ::-1] * 255.0).round())
        _, file = cv2.imencode(".jpg", pixels, [int(cv2.IMWRITE_JPEG_QUALITY), quality])
        return cv2.imdecode(file, 1)[..., ::-1].astype(np.float32) / 255.0

    return run


def comparisons(settings: Settings) -> Iterator[Comparison]:
    batch, size = (2, 64) if settings.tiny else (16, 512)
    x = photographs(batch, size).to(settings.device)
    traffic = Need(traffic=2 * x.numel() * x.itemsize)  # images in and out

    kernel = gaussian_kernel(41, 8.0, 4.0, 0.5)
    many = kernel.to(x).expand(batch, -1, -1)
    blur = GaussianBlur(41, 8.0, 4.0, 0.5).to(x.device)
    yield Comparison(
        f"blur with a rotated 41x41 Gaussian, {batch} images of {size}x{size}",
        {
            "ours": lambda: lambda: blur(x),
            "kornia filter2d": with_kornia(lambda k: lambda: k.filters.filter2d(x, many)),
            "OpenCV filter2D": with_opencv(x, lambda c: lambda i: c.filter2D(i, -1, kernel.numpy())),
        },
        tolerance=1e-5,
        need=traffic,
    )

    jpeg, quality = JPEG(75), torch.full((batch,), 75.0, device=x.device)
    yield Comparison(
        f"JPEG of quality 75, {batch} images of {size}x{size}",
        {
            "ours": lambda: lambda: jpeg(x),
            "OpenCV, through a file in memory": with_opencv(x, lambda c: jpeg_of(c, 75)),
            "kornia's differentiable codec": with_kornia(
                lambda k: lambda: k.enhance.jpeg_codec_differentiable(x, quality)
            ),
        },
        distance=mean_difference,
        tolerance=2.5 / 255,  # OpenCV's pixels are ours; kornia's codec replaces rounding by a smooth function
        need=traffic,
    )

    small = (size // 4, size // 4)
    resize = Resize(*small)
    yield Comparison(
        f"bilinear resize to {small[0]}x{small[1]}, {batch} images of {size}x{size}",
        {
            "ours": lambda: lambda: resize(x),
            "kornia resize": with_kornia(
                lambda k: lambda: k.geometry.transform.resize(x, small, interpolation="bilinear", align_corners=False)
            ),
            "OpenCV resize": with_opencv(x, lambda c: lambda i: c.resize(i, small, interpolation=c.INTER_LINEAR)),
        },
        tolerance=1e-4,
        need=Need(traffic=x.numel() * x.itemsize * (1 + 1 / 16)),
    )
