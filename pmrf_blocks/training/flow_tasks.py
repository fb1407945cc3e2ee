"""What a pipeline's velocity, and ELIR's estimator of latents, minimise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pmrf_blocks.flow import consistency_flow_matching_loss, rectified_flow_loss, residual_shift_loss, sample_time
from pmrf_blocks.metrics import psnr
from pmrf_blocks.restoration.held_out import BATCH, degrade_held_out
from pmrf_blocks.restoration.methods import ResShift
from pmrf_blocks.restoration.pipelines import Pipeline
from pmrf_blocks.seeding import derive_generator
from pmrf_blocks.training.tasks import Degradation, Examined, LossAndParts, Pixels, Task, degrade, to_unit

LOSSES = ("rectified", "consistency", "residual-shift")
GROUPS = ("single", "k-diffusion")
Features = Callable[[Tensor], Tensor]
Ends = tuple[Tensor, Tensor, Tensor | None]


def flow_ends(pipeline: Pipeline, degradation: Degradation | None, pixels: Pixels, generator: torch.Generator) -> Ends:
    """(x0 without noise, x1, condition or None): what a flow is trained between, of uint8 images (B, 3, H, W), or of
    pairs (degraded, target) of them."""
    degraded, clean = degrade(degradation, pixels, generator)
    x0, condition = pipeline.start(degraded, generator=generator, check=False)
    return x0, pipeline.target(clean), condition


class FlowTask(Task):
    """Trains the velocity of a pipeline between its source and its target; validation restores with the pipeline.

    A batch is uint8 images (B, 3, H, W), which are degraded on the fly, such images degraded before, (degraded,
    target), or pairs of ends computed before: (x0, x1) or (x0, x1, condition), as precompute_pairs() makes them.

    Arguments:
        pipeline: its velocity is trained, all else stays as it is.
        degradation: (images, generator=...) -> (degraded, target); None where all batches are pairs.
        time: distribution of t, as sample_time() names them.
        loss: 'rectified' (equation 3), 'consistency' (consistency flow matching, as ELIR trains), or 'residual-shift',
            for a ResShift, which takes no other, and no `time`.
        pixel_weight: weight of ELIR's third term, the squared error of the decoded end of one step from x0 to 1
            against the decoded target; it costs a pass through the decoder. 0 leaves it out.
        groups: 'single' trains all parameters at one rate and one weight decay; 'k-diffusion' takes the network's own
            groups: the mapping network at a third of the rate, weight decay on projections alone.
        features: networks or functions of images (B, 3, H, W) in [0, 1] to features (B, D), by the name of their
            validation score, such as {"fid": ...}: the Fréchet distance of restored images to the originals.

        source_noise: standard deviation of the noise on x0 while training; None is the pipeline's. 0 for pairs that
            have it already, as those of reflow.

    Raises ValueError for a name that is none, a pipeline without velocity, and a loss that is not this pipeline's.

    Examples:
        >>> from pmrf_blocks.restoration import PMRF
        >>> class Still(torch.nn.Module):  # a velocity that goes nowhere
        ...     def forward(self, x, t):
        ...         return 0 * x
        >>> task = FlowTask(PMRF(estimator=torch.nn.Identity(), velocity=Still(), size=8))
        >>> x0, x1 = torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)
        >>> loss, _ = task((x0, x1), torch.Generator().manual_seed(0))  # pairs computed before
        >>> 1.0 < loss.item() < 1.1  # of x1 - x0, and of the source's noise
        True
    """

    validation_batch = BATCH

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        degradation: Degradation | None = None,
        time: str = "uniform",
        loss: str = "rectified",
        pixel_weight: float = 0.0,
        groups: str = "single",
        features: Mapping[str, Features] | None = None,
        source_noise: float | None = None,
    ) -> None:
        if pipeline.velocity is None:
            raise ValueError("a pipeline to train must have a velocity")
        for name, value, valid in (("loss", loss, LOSSES), ("groups", groups, GROUPS)):
            if value not in valid:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, valid))}; got {value!r}")
        if isinstance(pipeline, ResShift) != (loss == "residual-shift") or (pixel_weight and loss == "residual-shift"):
            raise ValueError(
                "a ResShift is trained by the loss 'residual-shift' without pixel_weight, and nothing else is; "
                f"got a {type(pipeline).__name__}, {loss!r} and {pixel_weight}"
            )
        super().__init__(pipeline.velocity)
        self.degradation, self.time, self.loss = degradation, time, loss
        self.pixel_weight, self.groups = pixel_weight, groups
        self.source_noise = pipeline.source_noise if source_noise is None else source_noise
        self._held = (pipeline, dict(features or {}))  # in a tuple: no part of the module tree
        for module in self.frozen_modules():
            module.eval().requires_grad_(False)
        pipeline.provenance = None  # what was told of its training holds no longer

    @property
    def pipeline(self) -> Pipeline:
        return self._held[0]

    def forward(self, batch: Any, generator: torch.Generator) -> LossAndParts:
        pipeline = self.pipeline
        with torch.no_grad():
            x0, x1, condition = self._ends(batch, generator)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return pipeline.drift(x, t, condition)

        if isinstance(pipeline, ResShift):
            return residual_shift_loss(velocity, x0, x1, pipeline.shift, generator=generator), {}
        with torch.no_grad():
            x0 = x0 + self.source_noise * torch.randn(x0.shape, generator=generator, device=x0.device)
            t = sample_time(len(x0), distribution=self.time, generator=generator, device=x0.device)
        if self.loss == "rectified":
            flow = rectified_flow_loss(velocity, x0, x1, t=t)
        else:
            flow = consistency_flow_matching_loss(velocity, x0, x1, t=t)
        if not self.pixel_weight:
            return flow, {}
        with torch.no_grad():
            target = pipeline.space.decode(x1)
        end = x0 + velocity(x0, torch.zeros_like(t))
        pixels = F.mse_loss(pipeline.space.decode(end), target)
        return flow + self.pixel_weight * pixels, {"flow": flow.detach(), "pixels": pixels.detach()}

    def examine(self, batch: Any, numbers: Sequence[int], seed: int, *, pictures: int = 0) -> Examined:
        """Of images: restored as restore_held_out() does. Of pairs: the loss alone."""
        device = next(self.network.parameters()).device
        loss, parts = self(batch, derive_generator(seed, "validate", numbers[0], device=device))
        scores = {"loss": loss, **parts}
        if not isinstance(batch, Tensor):
            return Examined(scores)
        assert self.degradation is not None
        with torch.autocast(device.type, enabled=False):  # as tables do, whatever the run's precision
            degraded, target = degrade_held_out(self.degradation, to_unit(batch), numbers)
            restored = self.pipeline.restore(degraded, seed=list(numbers))
            target = target.to(restored.image)
            scores["psnr"] = psnr(restored.image, target).mean()
            features = {name: (network(restored.image), network(target)) for name, network in self._held[1].items()}
        columns = {
            "degraded": degraded,
            "posterior mean": restored.posterior_mean,
            "restored": restored.image,
            "image": target,
        }
        rows = [
            [(name, images[row : row + 1]) for name, images in columns.items() if images is not None]
            for row in range(pictures)
        ]
        return Examined(scores, features, rows)

    def frozen_modules(self) -> Sequence[nn.Module]:
        pipeline, features = self._held
        parts = (pipeline.space, pipeline.source, pipeline.condition, *features.values())
        return [part for part in parts if isinstance(part, nn.Module)]

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        if self.groups == "single":
            return super().parameter_groups(lr, weight_decay)
        own: Any = self.network
        if not hasattr(own, "param_groups"):
            raise ValueError(f"{type(own).__name__} has no param_groups(): groups must be 'single'")
        return [{"weight_decay": weight_decay, **group} for group in own.param_groups(lr)]

    def _ends(self, batch: Any, generator: torch.Generator) -> Ends:
        if isinstance(batch, Tensor) or batch[0].dtype == torch.uint8:
            return flow_ends(self.pipeline, self.degradation, batch, generator)
        x0, x1, *condition = batch
        return x0, x1, condition[0] if condition else None


class LatentMeanTask(Task):
    """Mean squared error of an estimate of an image's latent from its degraded version's: E[E(X) | E(Y)], for ELIR.

    Arguments:
        network: from normalised latents to normalised latents (B, C, h, w), to be a LatentMeanSource.
        space: Latents; frozen.
        degradation: as FlowTask's. Pairs computed before are (E(y), E(x)), of a pipeline that starts at DegradedSource.

    Examples:
        >>> task = LatentMeanTask(torch.nn.Identity(), torch.nn.Identity())
        >>> latents = torch.zeros(2, 4, 8, 8), torch.ones(2, 4, 8, 8)  # E(y), E(x)
        >>> task(latents, torch.Generator())[0]
        tensor(1.)
    """

    def __init__(self, network: nn.Module, space: nn.Module, *, degradation: Degradation | None = None) -> None:
        super().__init__(network)
        self.degradation = degradation
        self._held = (space.eval().requires_grad_(False),)

    def forward(self, batch: Any, generator: torch.Generator) -> LossAndParts:
        space: Any = self._held[0]
        with torch.no_grad():
            if isinstance(batch, Tensor) or batch[0].dtype == torch.uint8:
                degraded, clean = degrade(self.degradation, batch, generator)
                batch = space.encode(degraded, generator=generator), space.encode(clean)
            x0, x1 = batch
        return F.mse_loss(self.network(x0).float(), x1), {}

    def frozen_modules(self) -> Sequence[nn.Module]:
        return self._held
