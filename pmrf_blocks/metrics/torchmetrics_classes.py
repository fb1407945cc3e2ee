"""The project's metrics as classes of torchmetrics: they sit in a MetricCollection and synchronise between processes.

Importing this needs torchmetrics (pip install 'pmrf-blocks[metrics]'). Images are (B, 3, H, W) in [0, 1]. Every update
takes `preds`, the restored images, and `target`, or for IndRMSE `posterior_mean`; a collection that is given all three
by name hands each class its own. Sums are kept in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

try:
    from torchmetrics import Metric
except ImportError as error:
    raise ImportError("metrics as classes of torchmetrics need: pip install 'pmrf-blocks[metrics]'") from error

from pmrf_blocks.metrics.frechet import Moments, frechet_distance
from pmrf_blocks.metrics.identity import identity_degrees
from pmrf_blocks.metrics.landmarks import landmark_distance
from pmrf_blocks.metrics.mmd import mmd_rbf
from pmrf_blocks.metrics.psnr import ind_rmse, psnr

Network = Callable[[Tensor], Tensor]


class _MeanOfImages(Metric):
    """Mean over all images of one value an image."""

    full_state_update = False
    is_differentiable = False
    total: Tensor
    count: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """Take in values (B,), one an image."""
        self.total = self.total + values.to(self.total).sum()
        self.count = self.count + len(values)

    def compute(self) -> Tensor:
        return self.total / self.count


class PSNR(_MeanOfImages):
    """Mean over images of the PSNR in dB, of images rounded to 8 bits, as they are saved and as evaluate measures.

    Examples:
        >>> metric = PSNR()
        >>> target = torch.zeros(2, 3, 8, 8)
        >>> metric.update(target + 51 / 255, target)
        >>> round(metric.compute().item(), 2)  # -20 log10(0.2)
        13.98
    """

    higher_is_better = True

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.add(psnr(*((images * 255.0).round().clamp(0, 255) / 255.0 for images in (preds, target))))


class IndRMSE(_MeanOfImages):
    """Root of the mean square over images of ind_rmse(), on the 8-bit scale, as PMRF's script has it.

    Examples:
        >>> metric = IndRMSE()
        >>> mean = torch.zeros(2, 3, 8, 8)
        >>> metric.update(mean + 0.1, mean)
        >>> round(metric.compute().item(), 2)
        25.5
    """

    higher_is_better = False

    def update(self, preds: Tensor, posterior_mean: Tensor) -> None:
        self.add(ind_rmse(preds, posterior_mean).square())

    def compute(self) -> Tensor:
        return super().compute().sqrt()


class Deg(_MeanOfImages):
    """Mean angle between face embeddings in degrees.

    Arguments:
        embedder: any function from images to embeddings (B, D).
        least: pairs with a smaller angle are left out of the mean; VQFR's and PMRF's scripts have 1 degree.

    Examples:
        >>> metric = Deg(embedder=lambda images: images.flatten(1))
        >>> metric.update(torch.tensor([[[[1.0]], [[0.0]]]]), torch.tensor([[[[1.0]], [[1.0]]]]))
        >>> round(metric.compute().item(), 2)
        45.0
    """

    higher_is_better = False

    def __init__(self, embedder: Network, *, least: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.embedder, self.least = embedder, least

    def update(self, preds: Tensor, target: Tensor) -> None:
        angles = identity_degrees(preds, target, self.embedder)
        self.add(angles[angles >= self.least])


class LMD(_MeanOfImages):
    """Mean landmark distance, in pixels times `scale`; detector: any function from images to landmarks (B, K, 2).

    Examples:
        >>> metric = LMD(detector=lambda images: images[:, 0, :5, :2] * 100)  # as if these were landmarks
        >>> metric.update(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1))
        >>> round(metric.compute().item(), 2)
        14.14
    """

    higher_is_better = False

    def __init__(self, detector: Network, *, scale: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.detector, self.scale = detector, scale

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.add(landmark_distance(preds, target, self.detector, scale=self.scale))


class FrechetDistance(Metric):
    """Frechet distance of the features of two sets, gathered as moments: memory does not grow with the sets.

    Where processes synchronise, each must have seen a batch.

    Arguments:
        features: any function from images to features (B, D); None where update() is given features.

    Examples:
        >>> metric, features = FrechetDistance(), torch.randn(100, 4)
        >>> metric.update(features, features + 2)  # distributions of one shape, moved by 2 in each of 4 dimensions
        >>> round(metric.compute().item(), 2)
        16.0
    """

    full_state_update = True  # moments of a batch and of the set do not merge by a sum
    is_differentiable = False
    higher_is_better = False

    def __init__(self, features: Network | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.features = features
        for side in ("preds", "target"):
            self.add_state(f"{side}_count", torch.zeros((), dtype=torch.long), dist_reduce_fx=None)
            self.add_state(f"{side}_mean", torch.zeros(0, dtype=torch.float64), dist_reduce_fx=None)
            self.add_state(f"{side}_covariance", torch.zeros(0, 0, dtype=torch.float64), dist_reduce_fx=None)

    def update(self, preds: Tensor, target: Tensor) -> None:
        for side, images in (("preds", preds), ("target", target)):
            moments = self._moments(side)
            moments.update(images if self.features is None else self.features(images))
            self._keep(side, moments)

    def compute(self) -> Tensor:
        return frechet_distance(self._moments("preds"), self._moments("target"))

    def _moments(self, side: str) -> Moments:
        """Of this process, or merged, where a synchronisation has stacked the states of all."""
        count, mean, scatter = (getattr(self, f"{side}_{name}") for name in ("count", "mean", "covariance"))
        if not isinstance(count, list) and not count.ndim:
            count, mean, scatter = [count], [mean], [scatter]
        moments = Moments()
        for parts in zip(count, mean, scatter):
            moments.merge(Moments(int(parts[0]), parts[1], parts[2]))
        return moments

    def _keep(self, side: str, moments: Moments) -> None:
        if moments.count:
            setattr(self, f"{side}_count", torch.tensor(moments.count, device=self.device))
            setattr(self, f"{side}_mean", moments.mean)
            setattr(self, f"{side}_covariance", moments.deviations)


class MMD(Metric):
    """mmd_rbf() of the features of two sets, which are kept in float32.

    Arguments:
        features: any function from images to features (B, D); None where update() is given features.
        sigma, scale, biased: of mmd_rbf().

    Examples:
        >>> metric, features = MMD(), torch.randn(100, 4)
        >>> metric.update(features, features)
        >>> abs(metric.compute().item()) < 1e-3
        True
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = False
    preds: Any
    target: Any

    def __init__(
        self,
        features: Network | None = None,
        *,
        sigma: float = 10.0,
        scale: float = 1000.0,
        biased: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.features, self.sigma, self.scale, self.biased = features, sigma, scale, biased
        self.add_state("preds", [], dist_reduce_fx="cat")
        self.add_state("target", [], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        for kept, images in ((self.preds, preds), (self.target, target)):
            kept.append((images if self.features is None else self.features(images)).detach().float())

    def compute(self) -> Tensor:
        sides = (torch.cat(side) if isinstance(side, list) else side for side in (self.preds, self.target))
        return mmd_rbf(*sides, sigma=self.sigma, scale=self.scale, biased=self.biased)


__all__ = ["LMD", "MMD", "PSNR", "Deg", "FrechetDistance", "IndRMSE"]
