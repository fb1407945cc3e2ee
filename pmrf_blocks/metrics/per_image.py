"""The metrics that give one number an image, built once and called batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pmrf_blocks.metrics.identity import identity_degrees
from pmrf_blocks.metrics.iqa import NIQE_BLOCK, PYIQA, IQAMetric, niqe_blocks
from pmrf_blocks.metrics.landmarks import landmark_distance
from pmrf_blocks.metrics.protocols import Protocol
from pmrf_blocks.metrics.psnr import ind_rmse, psnr, psnr_y
from pmrf_blocks.metrics.registry import METRICS, Extractor, build_extractor
from pmrf_blocks.metrics.structural import MS_SSIM_WEIGHTS, ms_ssim, ssim, structural_similarities
from pmrf_blocks.metrics.weights import Unavailable

WINDOW = 11


class ImageMetrics:
    """The metrics called `names`; those that cannot be built are in `unavailable`, with the reason."""

    def __init__(
        self, names: Sequence[str], protocol: Protocol, weights: Mapping[str, str], device: torch.device
    ) -> None:
        self.protocol = protocol
        self.unavailable: dict[str, str] = {}
        self.iqa: dict[str, IQAMetric] = {}
        self.extractors: dict[str, Extractor] = {}
        self.names: list[str] = []
        for name in names:
            try:
                if name in PYIQA:
                    self.iqa[name] = IQAMetric(name, weights=weights, device=device)
                elif METRICS[name].extractor:
                    self.extractors[name] = build_extractor(METRICS[name].extractor, weights=weights, device=device)
                self.names.append(name)
            except Unavailable as error:
                self.unavailable[name] = str(error)

    def fit(self, sizes: Sequence[tuple[int, int]], unavailable: dict[str, str]) -> list[str]:
        """Names of the metrics that images of these sizes allow; reasons for the others go to `unavailable`."""
        p = self.protocol
        side = min(min(size) if p.resize is None else p.resize for size in sizes) - 2 * p.crop
        for name, scales in (("ssim", 1), ("ms_ssim", p.ms_ssim_scales)):
            least = (WINDOW - 1) * 2 ** (scales - 1)
            if name in self.names and side <= least:
                unavailable[name] = f"needs images of more than {least} pixels a side; the smallest here has {side}"
        if "niqe" in self.names:
            shown = [self._measured(*size) for size in sizes]
            height, width = min(shown, key=lambda size: niqe_blocks(*size))
            if niqe_blocks(height, width) < 2:
                unavailable["niqe"] = (
                    f"needs two blocks of {NIQE_BLOCK}x{NIQE_BLOCK} pixels an image; one here has {width}x{height}"
                )
        return [name for name in self.names if name not in unavailable]

    def _measured(self, height: int, width: int) -> tuple[int, int]:
        """Size of an image after the protocol's resizing and cropping."""
        p = self.protocol
        if p.resize is not None:
            scale = p.resize / min(height, width)
            height, width = (max(p.resize, round(side * scale)) for side in (height, width))
        return height - 2 * p.crop, width - 2 * p.crop

    def identities(self, names: Sequence[str]) -> dict[str, str]:
        """Networks and packages behind the numbers."""
        found = {name: self.iqa[name].identity for name in names if name in self.iqa}
        return found | {METRICS[n].extractor: self.extractors[n].identity for n in names if n in self.extractors}

    def __call__(self, names: Sequence[str], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(B,) for each name. `given`: 'restored', 'reference', 'posterior mean', (B, 3, H, W) in [0, 1]."""
        x, values = given["restored"], {}
        weights = MS_SSIM_WEIGHTS[: self.protocol.ms_ssim_scales]
        if "ssim" in names and "ms_ssim" in names:
            values = structural_similarities(x, given["reference"], weights=weights)._asdict()
        for name in names:
            if name not in values:
                values[name] = self._one(name, x, given, weights)
        return values

    def _one(self, name: str, x: Tensor, given: Mapping[str, Tensor], weights: tuple[float, ...]) -> Tensor:
        if name in self.iqa:
            metric = self.iqa[name]
            return metric(x, given["reference"]) if metric.paired else metric(x)
        if name == "ind_rmse":
            return ind_rmse(x, given["posterior mean"])
        y = given["reference"]
        if name in ("deg", "deg_dlib"):
            return identity_degrees(x, y, self.extractors[name].run)
        if name in ("lmd", "lmd_dlib"):
            scale = self.protocol.landmark_side / min(x.shape[2:])
            return landmark_distance(x, y, self.extractors[name].run, scale=scale)
        if name == "ms_ssim":
            return ms_ssim(x, y, weights=weights)
        return {"psnr": psnr, "psnr_y": psnr_y, "ssim": ssim}[name](x, y)
