"""The blind-face degradation on a batch of 512x512, beside the published pipeline written with OpenCV."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from skimage.data import astronaut
from torch import Tensor

from benchmarks.comparison import Build, Call, Comparison, Goal, Settings, peer
from benchmarks.needs import Need
from pmrf_blocks.degradations import BlindFaceDegradation, BlindFaceParameters, gaussian_kernel


def with_opencv(x: Tensor, parameters: BlindFaceParameters) -> Build:
    """GFPGAN's steps as its users run them: one image after the other, (H, W, 3) float32, BGR."""

    def build() -> Call:
        cv2 = peer("cv2", "opencv-python-headless")
        cv2.setNumThreads(torch.get_num_threads())
        images = [np.ascontiguousarray(image.permute(1, 2, 0).flip(-1).numpy()) for image in x.cpu()]
        p = parameters

        def degrade(image: np.ndarray, i: int, random: np.random.Generator) -> np.ndarray:
            height, width = image.shape[:2]
            kernel = gaussian_kernel(p.kernel_size, p.sigma_x[i], p.sigma_y[i], p.theta[i]).numpy()
            image = cv2.filter2D(image, -1, kernel)
            factor = float(p.factor[i])
            image = cv2.resize(image, (int(width / factor), int(height / factor)), interpolation=cv2.INTER_LINEAR)
            image = np.clip(image + np.float32(p.noise[i]) * random.standard_normal(image.shape, np.float32), 0, 1)
            _, file = cv2.imencode(
                ".jpg", np.uint8((image * 255.0).round()), [int(cv2.IMWRITE_JPEG_QUALITY), int(p.quality[i])]
            )
            image = cv2.imdecode(file, 1).astype(np.float32) / 255.0
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
            if bool(p.grey[i]):
                image = np.tile(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:, :, None], [1, 1, 3])
            return np.clip((image * 255.0).round(), 0, 255) / 255.0

        def call() -> Tensor:
            random = np.random.default_rng(0)
            results = np.stack([degrade(image, i, random) for i, image in enumerate(images)])
            return torch.from_numpy(results).flip(-1).permute(0, 3, 1, 2).to(x.device)

        return call

    return build


def mean_difference(ours: Tensor, theirs: Tensor) -> float:
    """Mean difference, of which less than one grey level is allowed: float32 sums in another order round a pixel
    otherwise now and then before JPEG, whose coefficients may then take the next step."""
    return float((ours - theirs).abs().mean())


def photographs(batch: int, size: int) -> Tensor:
    """(batch, 3, size, size) in [0, 1]: scikit-image's astronaut (NASA, public domain), shifted; `size` up to 512."""
    image = torch.from_numpy(astronaut()[:size, :size].copy()).permute(2, 0, 1).float() / 255.0
    return torch.stack([image.roll((17 * index, 17 * index), (1, 2)) for index in range(batch)])


def comparisons(settings: Settings) -> Iterator[Comparison]:
    batch, size = (2, 64) if settings.tiny else (16, 512)
    generator = torch.Generator().manual_seed(0)
    degradation = BlindFaceDegradation()
    x = photographs(batch, size).to(settings.device)
    noisy = degradation.sample_parameters(batch, size, generator)
    silent = dataclasses.replace(noisy, noise=torch.zeros(batch))
    yield Comparison(
        f"blind-face degradation, {batch} images of {size}x{size}, an image",
        {"ours": lambda: lambda: degradation.degrade(x, noisy)[0], "OpenCV pipeline": with_opencv(x, noisy)},
        goals=(Goal("OpenCV pipeline", 20 if settings.device.type == "cuda" else 1.5),),
        checked={"ours": lambda: lambda: degradation.degrade(x, silent)[0], "OpenCV pipeline": with_opencv(x, silent)},
        distance=mean_difference,
        tolerance=1.0 / 255,
        units={"ours": batch, "OpenCV pipeline": batch},
        need=Need(traffic=2 * x.numel() * x.itemsize),  # images in and out: its few operations are elementwise
    )
