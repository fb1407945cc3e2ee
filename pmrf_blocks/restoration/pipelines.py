"""Pipeline: a space, a source, a condition and a velocity. The same object is trained, restores and is saved.

It takes and gives RGB in [0, 1], (B, 3, H, W), of any size. Each image of a batch has its own noise, drawn from its own
seed, so that a result does not depend on what else is in the batch.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pmrf_blocks.flow import IntegrationResult, find_solver, integrate
from pmrf_blocks.restoration.errors import finite
from pmrf_blocks.restoration.names import name_networks_alone, name_networks_by_part
from pmrf_blocks.restoration.saving import SavedPipeline
from pmrf_blocks.restoration.sources import BatchSpace
from pmrf_blocks.restoration.spaces import Size
from pmrf_blocks.seeding import Generators, derive_generator, normal_like

Progress = Callable[[int, int], None]
LARGEST = 2**16  # pixels; what a model's folder says beyond that is a mistake, or meant to fill memory
Solver = Any  # a name, or what else find_solver() takes


@dataclass(frozen=True)
class Restored:
    """What restore() gives.

    Attributes:
        image: (B, 3, H, W) in [0, 1].
        posterior_mean: the same of the first stage; None where a pipeline has no estimate of it in pixels.
        nfe: how often the velocity was evaluated.

    Examples:
        >>> images = torch.rand(1, 3, 32, 32)
        >>> restored = PosteriorMean(estimator=torch.nn.Identity(), size=32).restore(images)
        >>> torch.equal(restored.image, restored.posterior_mean), restored.nfe
        (True, 0)
    """

    image: Tensor
    posterior_mean: Tensor | None
    nfe: int


class Pipeline(nn.Module, SavedPipeline):
    """A flow in a space, from a source to the image: PMRF, Latent-PMRF, ELIR and their baselines are compositions such.

    The networks are brought to channels_last memory, in which they are faster.

    Arguments:
        space: Pixels(), Latents(autoencoder), or a module as these.
        source: where the flow starts, before its noise: a module of (degraded, space), as in sources.py.
        velocity: network of (x, t) for dx/dt, t from 0 (source) to 1 (image), (B,); None: there is no flow, and what is
            restored is the source.
        condition: a module as a source; what it gives joins the velocity's x as further channels. None: nothing does.
        size: shorter side, in pixels, that the networks were trained at; photographs are brought to it first.
        source_noise: standard deviation of the noise on the flow's source, in training and restoring, in the space's
            own units.
        steps, solver: how restore() integrates when it is not told.

    Raises ValueError for a number out of range and for a solver that is none, TypeError for a fraction of a step and a
    part that is no module.

    Examples:
        >>> class Still(torch.nn.Module):  # a velocity that goes nowhere
        ...     def forward(self, x, t):
        ...         return 0 * x
        >>> pipeline = Pipeline(space=Pixels(), source=DegradedSource(), velocity=Still(), size=32, steps=4)
        >>> images = torch.rand(2, 3, 32, 32)
        >>> restored = pipeline.restore(images, seed=0)
        >>> torch.equal(restored.image, images), restored.nfe
        (True, 4)
    """

    def __init__(
        self,
        *,
        space: nn.Module,
        source: nn.Module,
        velocity: nn.Module | None = None,
        condition: nn.Module | None = None,
        size: int,
        source_noise: float = 0.0,
        steps: int = 25,
        solver: str = "euler",
    ) -> None:
        super().__init__()
        if size < 1 or steps < 1 or not 0 <= source_noise < math.inf:
            raise ValueError(
                f"size and steps must be at least 1 and source_noise at least 0; got {size}, {steps}, {source_noise}"
            )
        if not (isinstance(size, int) and isinstance(steps, int)):
            raise TypeError(f"size and steps must be whole numbers; got {size!r}, {steps!r}")
        if size > LARGEST:
            raise ValueError(f"size must be at most {LARGEST} pixels; got {size}")
        find_solver(solver)
        check_parts(space, source, condition, velocity)
        self.space: Any = space
        self.source, self.condition = source, condition
        self.velocity: Any = velocity
        self.size, self.source_noise, self.steps, self.solver = size, source_noise, steps, solver
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_state_dict_post_hook(name_networks_alone)
        self.register_load_state_dict_pre_hook(name_networks_by_part)

    @property
    def device(self) -> torch.device:
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    def start(
        self,
        degraded: Tensor,
        *,
        tile: int | None = None,
        generator: Generators = None,
        check: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """(x0 without noise, condition or None) of degraded images (B, 3, H, W) in [0, 1], in the pipeline's space.

        `tile`, `generator` and `check` are BatchSpace's.
        """
        return self._start(degraded, BatchSpace(self.space, tile=tile, generator=generator, check=check))

    def target(self, clean: Tensor) -> Tensor:
        """x1, where the flow is to end, of clean images (B, 3, H, W) in [0, 1]."""
        return self.space.encode(clean)

    def image(self, x: Tensor, size: Size | None = None, *, tile: int | None = None) -> Tensor:
        """Images (B, 3, *size) in [0, 1] of points of the space; without `size`, as large as the space makes them."""
        return self.space.decode(x, size, tile=tile).clamp(0, 1)

    def drift(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """dx/dt at (x, t), x's shape, in float32: the velocity, which sees the condition as further channels."""
        assert self.velocity is not None
        seen = x if condition is None else torch.cat((x, condition.to(x)), dim=1)
        return self.velocity(seen, t).float()

    @torch.no_grad()
    def restore(
        self,
        images: Tensor,
        *,
        steps: int | None = None,
        solver: Solver | None = None,
        seed: int | Sequence[int] = 0,
        source_noise: float | None = None,
        weight: float = 1.0,
        posterior_mean_only: bool = False,
        dtype: torch.dtype = torch.float32,
        progress: Progress | None = None,
        tile: int | None = None,
    ) -> Restored:
        """Restore degraded images.

        Arguments:
            images: (B, 3, H, W) in [0, 1], at about the scale `size`.
            steps, solver: of the integration, as integrate() takes them: the solver by one of list_solvers(), or one's
                own; None takes the pipeline's.
            seed: of the source noise; one for all images (each then has the same noise) or one an image.
            source_noise: None takes the pipeline's own; 0 makes the result deterministic.
            weight: W in [0, 1]: (1 - W) * posterior mean + W * the flow's result. The line between the two ends trades
                distortion for perception (Freirich et al., 2021, theorem 3): 0 has the least error, 1 is the sharp end.
            posterior_mean_only: stop after the first stage, as weight 0 does: least distortion, blurred.
            dtype: torch.bfloat16 runs the networks under autocast; the flow's state stays float32.
            progress: called as progress(done, steps) after each solver step.
            tile: latents are made and decoded this many pixels squared at a time, in bounded memory; a Sim-VAE's result
                is the same. For images far beyond `size`; estimator and flow still see the whole.

        Raises ValueError for a bad argument, and where a mean is asked for that the pipeline does not have;
        NonFiniteError, naming the stage, where values stop being finite.
        """
        steps = self.steps if steps is None else steps
        solver = self.solver if solver is None else solver
        noise_level = self.source_noise if source_noise is None else source_noise
        check_arguments(images, steps, solver, noise_level, weight)
        images = images.to(self.device, torch.float32)
        size = (images.shape[-2], images.shape[-1])
        seeds = seed_of_each(seed, len(images))
        draws = [derive_generator("posterior", own) for own in seeds]
        space = BatchSpace(self.space, tile=tile, generator=draws)
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            if posterior_mean_only or weight == 0:
                mean = self._mean(images, space)
                return Restored(mean, mean, 0)
            x, condition = self._start(images, space)
            nfe = 0
            if self.velocity is not None:
                noise = [derive_generator("source", own) for own in seeds]
                flow = self._carry(x, condition, noise_level, noise, steps=steps, solver=solver, progress=progress)
                x, nfe = finite("flow", flow.x), flow.nfe
            image = space.decode(x, size)
            if weight < 1:
                image = torch.lerp(self._mean(images, space), image, weight)
        return Restored(image, space.posterior_mean, nfe)

    def forward(self, images: Tensor, **options: Any) -> Tensor:
        """restore(images, **options).image: restored images (B, 3, H, W) in [0, 1]."""
        return self.restore(images, **options).image

    def _carry(
        self, x: Tensor, condition: Tensor | None, noise_level: float, noise: Sequence[torch.Generator], **options: Any
    ) -> IntegrationResult:
        """From the source to the image; `options` are integrate()'s."""
        if noise_level:
            x = x + noise_level * normal_like(x, noise)
        return integrate(lambda x, t: self.drift(x, t, condition), x, **options)

    def _start(self, degraded: Tensor, space: BatchSpace) -> tuple[Tensor, Tensor | None]:
        condition = None if self.condition is None else self.condition(degraded, space)
        return self.source(degraded, space), condition

    @property
    def has_mean(self) -> bool:
        """Whether the source or the condition is made of a posterior mean: whether `weight` may be below 1."""
        return self._with_mean() is not None

    def _mean(self, degraded: Tensor, space: BatchSpace) -> Tensor:
        """The first stage's image: of the source, else of the condition."""
        part = self._with_mean()
        if part is None:
            raise ValueError(
                f"{type(self.source).__name__} has no posterior mean: take weight 1, without posterior_mean_only"
            )
        return part.mean(degraded, space)

    def _with_mean(self) -> Any:
        return next((part for part in (self.source, self.condition) if hasattr(part, "mean")), None)


def check_parts(space: Any, source: Any, condition: Any, velocity: Any) -> None:
    """TypeError for a part that is no module, or a space that does not encode and decode."""
    for name, part in (("source", source), ("condition", condition), ("velocity", velocity)):
        if not (isinstance(part, nn.Module) or (part is None and name != "source")):
            raise TypeError(f"{name} must be a module; got {type(part).__name__}")
    if not (isinstance(space, nn.Module) and hasattr(space, "encode") and hasattr(space, "decode")):
        raise TypeError(f"space must be a module with encode() and decode(); got {type(space).__name__}")


def seed_of_each(seed: int | Sequence[int], count: int) -> list[int]:
    """One seed an image, as plain numbers: one of numpy or torch means the same.

    Raises ValueError where there are not as many, or one is no whole number.
    """
    try:
        given: Any = seed if hasattr(seed, "__len__") else [seed] * count
        seeds = [operator.index(own) for own in given]
    except TypeError:
        raise ValueError(f"seed must be a whole number, or one an image; got {seed!r}") from None
    if len(seeds) != count:
        raise ValueError(f"seed must be one number or one an image; got {len(seeds)} for {count} images")
    return seeds


def check_arguments(images: Tensor, steps: int, solver: Solver, noise_level: float, weight: float) -> None:
    """ValueError for arguments that restore() cannot take, NonFiniteError('input') for images that are not finite."""
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(f"images must be a float tensor (B, 3, H, W); got {images.dtype} {tuple(images.shape)}")
    if not images.numel():
        raise ValueError(f"images must hold at least one image of one pixel; got {tuple(images.shape)}")
    find_solver(solver)
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    if noise_level < 0:
        raise ValueError(f"source_noise must be at least 0; got {noise_level}")
    if not 0.0 <= weight <= 1.0:
        raise ValueError(f"weight must be in [0, 1]; got {weight}")
    finite("input", images)
