"""A pipeline, or one of its networks, as a program without Python: torch.export's, or ONNX.

Batch, height and width stay free, height and width as multiples of what the networks halve and window them to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from pmrf_blocks.flow import integrate
from pmrf_blocks.restoration.methods import ResShift
from pmrf_blocks.restoration.names import networks_of
from pmrf_blocks.restoration.pipelines import Pipeline
from pmrf_blocks.restoration.spaces import to_signed
from pmrf_blocks.seeding import derive_generator, normal_like
from pmrf_blocks.transformers.block import SelfAttention

PARTS = ("restore", "decoder", "encoder", "estimator", "velocity")
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
EXAMPLE = 64  # pixels, about: the side of the images that a program is traced with


class ExportError(ValueError):
    """What cannot be exported; one line."""


class Restoring(nn.Module):
    """restored = program(images, noise): images and result (B, 3, H, W) in [0, 1], noise standard normal, of the shape
    that the images have in the pipeline's space. `steps` Euler steps of Pipeline.restore(), unrolled."""

    def __init__(self, pipeline: Pipeline, steps: int) -> None:
        super().__init__()
        self.pipeline, self.steps = pipeline, steps

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        pipeline = self.pipeline
        x, condition = pipeline.start(images, check=False)
        if pipeline.velocity is not None:
            x = x + pipeline.source_noise * noise
            x = integrate(lambda x, t: pipeline.drift(x, t, condition), x, steps=self.steps).x
        return pipeline.image(x, (images.shape[-2], images.shape[-1]))


class Encoding(nn.Module):
    """z = program(images): the mode of the latents (B, C, h, w) of images (B, 3, H, W) in [-1, 1]."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, images: Tensor) -> Tensor:
        return self.autoencoder.encode(images).mode()


class Decoding(nn.Module):
    """images = program(z): (B, 3, H, W) in [-1, 1], not clipped, of latents (B, C, h, w)."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, z: Tensor) -> Tensor:
        return self.autoencoder.decode(z)


@dataclass(frozen=True)
class Exported:
    """`program` of `module`; heights and widths of its first input are multiples of `multiple`, or where it is 0 just
    `size`, that which it was traced with; `names` are its inputs', `example(batch, height, width)` makes some."""

    program: ExportedProgram
    module: nn.Module
    multiple: int
    names: tuple[str, ...]
    example: Callable[[int, int, int], tuple[Tensor, ...]]
    size: tuple[int, int]

    @functools.cached_property
    def difference(self) -> float:
        """How far the program is from the module, at the most; AssertionError where it does not run at other sizes."""
        return self.differences(self.program.module())

    def differences(self, run: Callable[..., Tensor]) -> float:
        """How far run(*inputs) is from the module, at the most, at other sizes than it was traced with."""
        height, width = self.size
        sizes = [(2, height, width)]
        if self.multiple:
            sizes += [(1, height + self.multiple, width), (3, height, width + 2 * self.multiple)]
        worst = 0.0
        for batch, height, width in sizes:
            inputs = self.example(batch, height, width)
            with torch.no_grad():
                worst = max(worst, float((run(*inputs) - self.module(*inputs)).abs().max()))
        return worst


def export_part(pipeline: Pipeline, what: str, *, steps: int | None = None, size: int | None = None) -> Exported:
    """One of PARTS as a program of torch.export.

    Arguments:
        pipeline: in float32 on the CPU.
        what: 'restore' (program(images, noise), see Restoring), 'decoder' and 'encoder' of its autoencoder, 'estimator'
            (program(images)) or 'velocity' (program(x, t), with the condition's channels in x).
        steps: Euler steps of 'restore'; None takes the pipeline's.
        size: side of the square first input, for networks whose sizes cannot stay free; None lets them.

    Raises:
        ExportError: a part that the pipeline does not have, or that torch.export cannot take.
    """
    module, names, example = _part(pipeline.eval(), what, pipeline.steps if steps is None else steps)
    if size is not None:
        program = _traced(module, example(2, size, size), {name: {0: Dim("batch")} for name in names})
        return Exported(program, module, 0, names, example, (size, size))
    # Tracing takes seconds: images are tried from 8 up, what autoencoders shrink by; latents are small from the start.
    latent = what in ("decoder", "velocity")
    first, reason = EXAMPLE // 4 if latent else EXAMPLE, ""
    for multiple in MULTIPLES if latent else MULTIPLES[3:]:
        height = -(-first // multiple) * multiple
        inputs = example(2, height, height + multiple)
        try:
            program = _traced(module, inputs, _free(names, inputs, multiple))
            exported = Exported(program, module, multiple, names, example, (height, height + multiple))
            exported.difference  # noqa: B018 some limits show only when a program runs at another size
        except (ExportError, AssertionError) as error:
            reason = (str(error).splitlines() or [""])[0]
            continue
        return exported
    raise ExportError(f"the sizes of {what} cannot stay free ({reason}): say --size")


def save_program(exported: Exported, path: Path) -> None:
    """As a file that torch.export.load() reads. OSError where it cannot be written."""
    with open(path, "wb") as file:
        torch.export.save(exported.program, file)


def save_onnx(exported: Exported, path: Path) -> None:
    """As one ONNX file, weights included. ExportError where onnxscript is missing or an operator has no counterpart."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise ExportError("ONNX needs onnxscript: install pmrf-blocks[onnx]") from None
    try:
        made = torch.onnx.export(
            exported.program, input_names=list(exported.names), output_names=["result"], verbose=False
        )
    except Exception as error:  # the exporter's own errors are many
        raise ExportError(f"no ONNX of this: {(str(error).splitlines() or [type(error).__name__])[0]}") from None
    assert made is not None
    made.save(str(path), external_data=False)


def _part(
    pipeline: Pipeline, what: str, steps: int
) -> tuple[nn.Module, tuple[str, ...], Callable[[int, int, int], tuple[Tensor, ...]]]:
    """(module, names of its inputs, example inputs of (batch, height, width))."""
    if what not in PARTS:
        raise ExportError(f"what must be one of {', '.join(PARTS)}; got {what!r}")
    if what == "restore" and isinstance(pipeline, ResShift):
        raise ExportError("ResShift draws noise at every step, which a program cannot: export its networks")
    networks = networks_of(pipeline)
    needed = {"decoder": "autoencoder", "encoder": "autoencoder"}.get(what, what)
    if what != "restore" and needed not in networks:
        raise ExportError(f"this {type(pipeline).__name__} has no {needed}; it has {', '.join(networks)}")
    autoencoder: Any = networks.get("autoencoder")

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=derive_generator("export", *shape))

    if what == "decoder":
        return Decoding(autoencoder), ("z",), lambda b, h, w: (draw(b, autoencoder.latent_channels, h, w) - 0.5,)
    if what == "encoder":
        return Encoding(autoencoder), ("images",), lambda b, h, w: (to_signed(draw(b, 3, h, w)),)
    if what == "estimator":
        return networks[what], ("images",), lambda b, h, w: (draw(b, 3, h, w),)
    if what == "velocity":
        velocity: Any = networks[what]
        return velocity, ("x", "t"), lambda b, h, w: (draw(b, velocity.config["in_channels"], h, w) - 0.5, draw(b))

    def images_and_noise(batch: int, height: int, width: int) -> tuple[Tensor, ...]:
        images = draw(batch, 3, height, width)
        with torch.no_grad():
            x = pipeline.space.encode(images)
        return images, normal_like(x, derive_generator("export noise", *x.shape))

    return Restoring(pipeline, steps), ("images", "noise"), images_and_noise


def _free(names: tuple[str, ...], inputs: tuple[Tensor, ...], multiple: int) -> dict[str, dict[int, Any]]:
    """Free dimensions of each input: all batches are one; other maps are as much smaller than the first as they are."""
    batch, height, width = Dim("batch"), Dim("height"), Dim("width")
    free: dict[str, dict[int, Any]] = {}
    for name, one in zip(names, inputs):
        free[name] = {0: batch}
        if one.ndim == 4:
            shrunk = inputs[0].shape[-1] // one.shape[-1]
            step = max(1, multiple // shrunk)
            free[name] |= {2: step * height, 3: step * width} if step > 1 else {2: height, 3: width}
    return free


@contextmanager
def dense_attention(module: nn.Module) -> Iterator[None]:
    """Neighborhood attention by masks meanwhile: tiles are cut by sizes that are numbers, which a program has not."""
    kept = [(part, part.backend) for part in module.modules() if isinstance(part, SelfAttention)]
    for part, _ in kept:
        part.backend = "dense"
    try:
        yield
    finally:
        for part, backend in kept:
            part.backend = backend


def _traced(module: nn.Module, inputs: tuple[Tensor, ...], free: dict[str, dict[int, Any]]) -> ExportedProgram:
    try:
        with torch.no_grad(), dense_attention(module):
            return torch.export.export(module, inputs, dynamic_shapes=tuple(free.values()))
    except Exception as error:  # torch.export's own errors are many
        raise ExportError((str(error).splitlines() or [type(error).__name__])[0]) from None
