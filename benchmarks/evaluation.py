"""PSNR, SSIM and MS-SSIM of image pairs at 512x512: of tensors in memory, and of two folders of PNG files.

Windows are the same everywhere: Gaussian, 11 pixels, sigma 1.5. torchmetrics reflects images at their border and also
averages there; its values are held against ours from its own maps, where windows lie wholly inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.comparison import Build, Call, Comparison, Goal, Settings, peer
from pmrf_blocks.metrics import MS_SSIM_WEIGHTS, Evaluator, Protocol, psnr, structural_similarities
from pmrf_blocks.metrics.image_sets import read

PAIRS, BATCH = 1000, 8
PROTOCOL = Protocol("benchmark", ("psnr", "ssim", "ms_ssim"))
MARGIN = 5  # half of the window


def pairs(count: int, side: int) -> tuple[Tensor, Tensor]:
    """Two sets (count, 3, side, side) of whole 8-bit levels in [0, 1]: as smooth as photographs, and noisier copies."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(count, 3, side, side)
    for cells, weight in ((4, 0.25), (32, 0.1), (128, 0.05)):
        noise = torch.randn(count, 3, cells, cells, generator=generator)
        x += weight * F.interpolate(noise, (side, side), mode="bicubic")
    y = x + 0.03 * torch.randn(x.shape, generator=generator)
    return (((image + 0.5).clamp(0, 1) * 255).round() / 255 for image in (x, y))  # type: ignore[return-value]


@cache
def folders(count: int, side: int) -> TemporaryDirectory:
    """A folder with x/ and y/ of PNG files, removed at exit."""
    root = TemporaryDirectory(prefix="pmrf-evaluation-")
    for name in ("x", "y"):
        (Path(root.name) / name).mkdir()
    sixteen = [(image * 255).byte() for image in pairs(min(count, 16), side)]
    for index in range(count):  # shifted copies of sixteen pairs: different files, quickly made
        for name, images in zip(("x", "y"), sixteen):
            image = images[index % len(images)].roll(index, 2).permute(1, 2, 0).numpy()
            Image.fromarray(image).save(Path(root.name) / name / f"{index:04d}.png")
    return root


def ours(x: Tensor, y: Tensor) -> Call:
    return lambda: (psnr(x, y), *structural_similarities(x, y))


def torchmetrics(x: Tensor, y: Tensor, *, inside: bool = False) -> Build:
    """torchmetrics' functions; `inside`: from its maps, over windows wholly inside, a channel at a time, as ours."""

    def build() -> Call:
        module = peer("torchmetrics.functional.image", "torchmetrics")
        ssim, ms_ssim = (
            module.structural_similarity_index_measure,
            module.multiscale_structural_similarity_index_measure,
        )

        def value() -> Tensor:
            return module.peak_signal_noise_ratio(x, y, data_range=1.0, dim=(1, 2, 3), reduction="none")

        def similarity(a: Tensor, b: Tensor) -> Tensor:
            return ssim(a, b, data_range=1.0, reduction="none", return_full_image=True)[1][
                ..., MARGIN:-MARGIN, MARGIN:-MARGIN
            ].mean((1, 2, 3))

        def from_maps() -> tuple[Tensor, ...]:
            a, b = (image.flatten(0, 1)[:, None] for image in (x, y))
            first, product = similarity(a, b), torch.ones(len(a))
            for weight in MS_SSIM_WEIGHTS[:-1]:
                contrast = ssim(a, b, data_range=1.0, reduction="none", return_contrast_sensitivity=True)[1]
                product = product * contrast.clamp(min=0) ** (weight / sum(MS_SSIM_WEIGHTS))
                a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
            product = product * similarity(a, b) ** (MS_SSIM_WEIGHTS[-1] / sum(MS_SSIM_WEIGHTS))
            return value(), *(part.view(x.shape[:2]).mean(1) for part in (first, product))

        if inside:
            return from_maps
        return lambda: (
            value(),
            ssim(x, y, data_range=1.0, reduction="none"),
            ms_ssim(x, y, data_range=1.0, reduction="none"),
        )

    return build


def pytorch_msssim(x: Tensor, y: Tensor) -> Build:
    def build() -> Call:
        module = peer("pytorch_msssim", "pytorch-msssim")
        return lambda: (
            psnr(x, y),
            module.ssim(x, y, data_range=1.0, size_average=False),
            module.ms_ssim(x, y, data_range=1.0, size_average=False),
        )

    return build


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """What somebody writes who evaluates with torchmetrics; files are read as ours are."""

    def __init__(self, root: Path) -> None:
        self.x, self.y = (sorted((root / name).iterdir()) for name in ("x", "y"))

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return read(self.x[index]), read(self.y[index])


def our_folders(root: Path) -> Build:
    def build() -> Call:
        def call() -> Tensor:
            evaluator = Evaluator(PROTOCOL, reference=root / "y", batch_size=BATCH, resamples=0)
            scores = evaluator.evaluate(root / "x").scores
            return torch.tensor([scores[name].value for name in PROTOCOL.metrics], dtype=torch.float64)

        return call

    return build


def torchmetrics_folders(root: Path, workers: int = 2) -> Build:
    def build() -> Call:
        module = peer("torchmetrics.image", "torchmetrics")

        def call() -> Tensor:
            metrics = (
                module.PeakSignalNoiseRatio(data_range=1.0, dim=(1, 2, 3)),
                module.StructuralSimilarityIndexMeasure(data_range=1.0),
                module.MultiScaleStructuralSimilarityIndexMeasure(data_range=1.0),
            )
            for x, y in DataLoader(Pairs(root), BATCH, num_workers=workers):
                for metric in metrics:
                    metric.update(x / 255.0, y / 255.0)
            return torch.stack([metric.compute() for metric in metrics]).double()

        return call

    return build


def comparisons(settings: Settings) -> Iterator[Comparison]:
    side, count = (192, 3) if settings.tiny else (512, PAIRS)
    x, y = (image.to(settings.device) for image in pairs(2 if settings.tiny else BATCH, side))
    yield Comparison(
        f"PSNR, SSIM and MS-SSIM of {len(x)} pairs at {side}x{side} in memory, a pair",
        {
            "ours": lambda: ours(x, y),
            "torchmetrics": torchmetrics(x, y),
            "pytorch-msssim (PSNR ours)": pytorch_msssim(x, y),
        },
        goals=(Goal("torchmetrics", 1), Goal("pytorch-msssim (PSNR ours)", 1)),
        checked={"torchmetrics": torchmetrics(x, y, inside=True)},
        units=dict.fromkeys(("ours", "torchmetrics", "pytorch-msssim (PSNR ours)"), len(x)),
    )
    if settings.device.type != "cpu":
        return
    root = Path(folders(count, side).name)
    names = ("ours", "torchmetrics in a DataLoader")
    yield Comparison(
        f"PSNR, SSIM and MS-SSIM of two folders of {count} PNG files at {side}x{side}, a pair",
        dict(zip(names, (our_folders(root), torchmetrics_folders(root, 0 if settings.tiny else 2)))),
        goals=(Goal(names[1], 1),),
        tolerance=0.02,  # torchmetrics averages over reflected borders too; the row above holds equal windows
        units=dict.fromkeys(names, count),
    )
