"""Both ends of a flow, made from images for training and for restoring by the same code, so that they cannot differ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pmrf_blocks.degradations import build_degradation
from pmrf_blocks.flow import consistency_flow_matching_loss, integrate, rectified_flow_loss, sample_time
from pmrf_blocks.training.tasks import CouplingFlowTask, LossAndParts, Row, Task, to_unit
from recipes.common.stages import Flow

Ends = tuple[Tensor, Tensor | None]


class FlowEnds:
    """Source, condition and target of a flow (stages.Flow), with the frozen networks that they need.

    Images are (B, 3, H, W) in [0, 1]; the flow's ends are these, or normalised latents (B, C, h, w).
    """

    def __init__(
        self,
        flow: Flow,
        *,
        autoencoder: Any = None,
        estimator: nn.Module | None = None,
        latent_estimator: nn.Module | None = None,
    ) -> None:
        self.flow, self.degradation = flow, build_degradation(flow.degradation)
        self.autoencoder, self.estimator, self.latent_estimator = autoencoder, estimator, latent_estimator
        self.frozen = tuple(net for net in (autoencoder, estimator, latent_estimator) if net is not None)
        for network in self.frozen:
            network.eval().requires_grad_(False)

    def to(self, device: torch.device | str) -> FlowEnds:
        for network in self.frozen:
            network.to(device)
        return self

    def posterior_mean(self, degraded: Tensor) -> Tensor:
        assert self.estimator is not None
        return self.estimator(degraded).float().clamp(0, 1)

    def encode(self, images: Tensor) -> Tensor:
        """Where images lie: themselves, or their normalised latents."""
        if self.autoencoder is None:
            return images
        return self.autoencoder.normalize(self.autoencoder.encode(2.0 * images - 1.0).mode().float())

    def to_image(self, x: Tensor) -> Tensor:
        """Images of a flow's ends, not clipped."""
        if self.autoencoder is None:
            return x
        return 0.5 * (self.autoencoder.decode(self.autoencoder.denormalize(x)).float() + 1.0)

    def start(self, degraded: Tensor) -> Ends:
        """(source without noise, condition) of degraded images; a condition has the source's height and width."""
        needs = {self.flow.source, self.flow.condition}
        mean = self.encode(self.posterior_mean(degraded)) if "posterior-mean" in needs else None
        observed = self.encode(degraded) if needs - {"posterior-mean", None} else None
        places = {None: None, "posterior-mean": mean, "degraded": observed}
        if self.flow.source == "mean-of-latents":
            assert self.latent_estimator is not None
            source = self.latent_estimator(observed).float()
        elif self.flow.source == "noise":
            source = torch.zeros_like(self.encode(degraded) if observed is None else observed)
        else:
            source = places[self.flow.source]
        return source, places[self.flow.condition]

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """A coupling for FlowTask: (source, target), and the condition where there is one, of uint8 images."""
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.flow.train.precision == "bf16"):
            degraded, clean = self.degradation(to_unit(pixels), generator=generator)
            source, condition = self.start(degraded)
            ends = (source, self.encode(clean))
        return ends if condition is None else (*ends, condition)

    @torch.no_grad()
    def restore(
        self, velocity: nn.Module | None, degraded: Tensor, *, steps: int, generator: torch.Generator
    ) -> Tensor:
        """Restored images in [0, 1]: start, noise, `steps` Euler steps, decode. None for the velocity leaves noise
        and steps out: what the flow starts from."""
        end, condition = self.start(degraded)
        if velocity is not None:
            noise = torch.randn(end.shape, generator=generator, device=end.device)
            end = integrate(seeing(velocity, condition), end + self.flow.source_noise * noise, steps=steps).x
        return self.to_image(end)[..., : degraded.shape[-2], : degraded.shape[-1]].clamp(0, 1)


def seeing(velocity: nn.Module, condition: Tensor | None) -> Any:
    """The velocity as a function of (x, t) alone: the condition joins x as further channels."""
    if condition is None:
        return velocity
    return lambda x, t: velocity(torch.cat((x, condition.to(x)), dim=1), t)


class RecipeFlowTask(CouplingFlowTask):
    """FlowTask with the losses and conditions of stages.Flow; batches are uint8 images, or pairs computed before."""

    def __init__(self, network: nn.Module, ends: FlowEnds) -> None:
        flow = ends.flow
        super().__init__(network, ends, source_noise=flow.source_noise, time=flow.time)
        self.ends = ends

    def _apply(self, fn: Any, recurse: bool = True) -> Task:
        """Moving the task to a device takes the frozen networks along, which are no part of it."""
        result = super()._apply(fn, recurse)
        for network in (self.ends.autoencoder, self.ends.estimator, self.ends.latent_estimator):
            if network is not None:
                network._apply(fn)
        return result

    def _ends(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        x0, x1, *condition = self.ends(batch, generator) if isinstance(batch, Tensor) else batch
        return x0, x1, condition[0] if condition else None

    def forward(self, batch: Any, generator: torch.Generator) -> LossAndParts:
        flow = self.ends.flow
        with torch.no_grad():
            x0, x1, condition = self._ends(batch, generator)
            x0 = x0 + flow.source_noise * torch.randn(x0.shape, generator=generator, device=x0.device)
            t = sample_time(len(x0), distribution=flow.time, generator=generator, device=x0.device)
        velocity = seeing(self.network, condition)
        if flow.loss == "rectified":
            return rectified_flow_loss(velocity, x0, x1, t=t), {}
        loss = consistency_flow_matching_loss(velocity, x0, x1, t=t)
        if not flow.pixel_weight:
            return loss, {}
        # ELIR's third term: the source carried to the end in one step, decoded, against the image
        end = x0 + velocity(x0, torch.zeros_like(t)).float()
        pixels = (self.ends.to_image(end) - self.ends.to_image(x1)).square().mean()
        return loss + flow.pixel_weight * pixels, {"flow": loss.detach(), "pixels": pixels.detach()}

    def pictures(self, batch: Any, generator: torch.Generator) -> Row:
        x0, x1, condition = self._ends(batch, generator)
        noise = torch.randn(x0.shape, generator=generator, device=x0.device)
        end = integrate(seeing(self.network, condition), x0 + self.ends.flow.source_noise * noise, steps=self.steps).x
        ends = {"source": x0, "restored": end, "target": x1}
        return [(name, self.ends.to_image(x.float()).float().clamp(0, 1)) for name, x in ends.items()]


class LatentMeanTask(Task):
    """Mean squared error of the estimate of an image's latent from its degraded version's: E[E(X) | E(Y)]."""

    def __init__(self, network: nn.Module, ends: FlowEnds) -> None:
        super().__init__(network)
        self.ends = ends

    def _apply(self, fn: Any, recurse: bool = True) -> Task:
        result = super()._apply(fn, recurse)
        self.ends.autoencoder._apply(fn)
        return result

    def forward(self, batch: Any, generator: torch.Generator) -> LossAndParts:
        with torch.no_grad():
            x0, x1 = self.ends(batch, generator) if isinstance(batch, Tensor) else batch
        return (self.network(x0).float() - x1).square().mean(), {}
