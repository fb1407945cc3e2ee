"""What a training step costs, counted on torch's meta device, which has shapes and neither memory nor arithmetic.

Operations are those of torch.utils.flop_counter: a multiplication and an addition are two; norms, activations and
everything else that is no product of matrices or convolution are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pmrf_blocks.experiments.fitting import task_of
from pmrf_blocks.experiments.stages import Autoencoder, Decoder, Flow, Reflow
from pmrf_blocks.losses.features import VGG19_WIDTHS, VGG19Features
from pmrf_blocks.losses.perceptual import REAL_ESRGAN_WEIGHTS, PerceptualLoss, perceptual_loss
from pmrf_blocks.training.tasks import Task

HALF = 2  # bytes of float16, which cached pairs are kept in
FLOAT = 4  # bytes of float32, which weights, gradients, optimiser and average are in, whatever the precision


@dataclass(frozen=True)
class Cost:
    """Of one update of one process.

    Attributes:
        trained, frozen: parameters of the network that learns, and of those that the loss needs beside it.
        flops: operations, forward and backward, of all its micro-batches.
        state: bytes of weights, frozen weights, gradients, AdamW's two moments and the average.
        activations: bytes that autograd keeps of one micro-batch for the backward pass. An estimate: in bf16 half of
            float32; attention keeps its matrix, which fused kernels do not; what is freed at once is left out;
            channels_last is passed over, as the meta device's convolutions do, so that views may count as copies.
        pair: operations of one cached pair: encoder, estimator, and of a Reflow its teacher's steps; 0 where pairs are
            not cached.
        pair_bytes: of one cached pair as it is kept, in half precision.
    """

    trained: int
    frozen: int
    flops: int
    state: int
    activations: int
    pair: int = 0
    pair_bytes: int = 0


def window_products(q: Tensor, k: Tensor, v: Tensor, window: Any, scale: float) -> Tensor:
    """The two products of neighborhood attention in their true sizes: each query with the keys of one window."""
    keys, width = math.prod(window.kernel), q.shape[-1]
    k, v = (x.reshape(-1, 1, width).expand(-1, keys, width) for x in (k, v))
    return (q.reshape(-1, 1, width) @ k.transpose(1, 2) @ v).reshape(q.shape)


def counting() -> FlopCounterMode:
    """torch's counter, with grouped convolutions' backward pass counted as it is: torch takes them for whole ones."""

    def backward(
        grad: Any, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
        output_padding: Any, groups: int, mask: Any, out_shape: Any = None,
    ) -> int:  # fmt: skip
        places = x[2:] if transposed else grad[2:]
        return 2 * math.prod(weight) * x[0] * math.prod(places) * (bool(mask[0]) + bool(mask[1]))

    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: backward})


def without_values(make: Callable[[], Any]) -> Any:
    """A network on the meta device, its neighborhood attention as window_products() has it."""
    with torch.device("meta"):
        network = make().to("meta")  # buffers may be made on the CPU
    if hasattr(network, "set_backend"):
        network.set_backend(window_products)
    return network


def forward_flops(make: Callable[[], nn.Module], *shapes: tuple[int, ...]) -> tuple[int, int]:
    """(parameters, operations) of one forward pass on inputs of these shapes."""
    network = without_values(make)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counting() as counter:
        network(*(torch.empty(shape, device="meta") for shape in shapes))
    return size_of(network), counter.get_total_flops()


def size_of(*networks: nn.Module) -> int:
    return sum(p.numel() for p in {p: None for network in networks for p in network.parameters()})


def vgg19() -> VGG19Features:
    """The paper's perceptual network on the meta device, without its file."""
    state: dict[str, Tensor] = {}
    index, channels = 0, 3
    for width in VGG19_WIDTHS:
        if isinstance(width, str):
            index += 1
            continue
        state |= {f"features.{index}.weight": torch.empty(width, channels, 3, 3, device="meta")}
        state |= {f"features.{index}.bias": torch.empty(width, device="meta")}
        index, channels = index + 2, width
    return without_values(lambda: VGG19Features(state))


def built(stage: Any) -> Any:
    """The network of a stage on the meta device, as the recipe writes it down; a published one counts as that."""
    if isinstance(stage, Decoder):
        stage = stage.autoencoder
    return without_values(lambda: (stage.velocity if isinstance(stage, Flow) else stage.network).build(0))


def task_without_values(stage: Any) -> Task:
    """What a stage minimises, on the meta device."""
    network = built(stage)
    perceptual: Any = None
    if isinstance(stage, Decoder):
        network.encoder.requires_grad_(False)
    if isinstance(stage, (Autoencoder, Decoder)) and stage.perceptual == "vgg19":
        perceptual = PerceptualLoss(vgg19(), stage.perceptual_layers or REAL_ESRGAN_WEIGHTS)
    elif isinstance(stage, (Autoencoder, Decoder)) and stage.perceptual != "none":
        perceptual = perceptual_loss(
            stage.perceptual, weights=stage.perceptual_layers
        )  # with values: its package warns of loading into none
        perceptual.to("meta")
    task = task_of(stage, network, built, perceptual=perceptual)
    for module in task.frozen_modules():
        module.to("meta").eval().requires_grad_(False)
    for module in (task, *task.frozen_modules()) if stage.train.channels_last else ():
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if stage.train.gradient_checkpointing:
        network.gradient_checkpointing = True
    return task


class Kept:
    """Counts the memory that autograd keeps within it: each tensor once, `apart` from those given."""

    def __init__(self, apart: nn.Module) -> None:
        own = (x.untyped_storage() for x in (*apart.parameters(), *apart.buffers()))
        self.seen: dict[int, Any] = {x._cdata: x for x in own}  # held, so that no other takes its address
        self.floats = self.others = 0
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda x: x)

    def _keep(self, x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in self.seen:
            self.seen[storage._cdata] = storage
            self.floats += storage.nbytes() if x.is_floating_point() else 0
            self.others += 0 if x.is_floating_point() else storage.nbytes()
        return x


def step_cost(stage: Any, *, processes: int = 1) -> Cost:
    """The cost of one update of a stage on each of `processes`; ValueError where they cannot share its batch."""
    train = stage.train
    if train.batch_size % (processes * train.accumulate):
        parts = f"{processes} processes of {train.accumulate} micro-batches"
        raise ValueError(f"a batch of {train.batch_size} cannot be shared out among {parts}")
    task = task_without_values(stage)
    frozen = nn.ModuleList(task.frozen_modules())
    frozen.append(getattr(task, "perceptual_loss", None) or nn.Identity())
    batch, pair = batch_of(stage, task, train.batch_size // processes // train.accumulate)
    kept = Kept(nn.ModuleList((task, frozen)))
    task.train()
    with sdpa_kernel(SDPBackend.MATH), counting() as counter:
        with kept.hooks:
            loss, _ = task(batch, None)
        loss.backward()
    whole, learning = size_of(task.network), sum(p.numel() for p in task.network.parameters() if p.requires_grad)
    others = size_of(frozen)
    state = FLOAT * (2 * whole + others + 3 * learning)  # the average is of all weights of the network
    floats = kept.floats // 2 if train.precision == "bf16" else kept.floats
    flops = counter.get_total_flops() * train.accumulate
    pair_bytes = HALF * sum(x[0].numel() for x in batch) if pair else 0
    return Cost(learning, others + whole - learning, flops, state, floats + kept.others, pair, pair_bytes)


def batch_of(stage: Any, task: Any, size: int) -> tuple[Any, int]:
    """(a batch of a stage's training on the meta device, the operations of one of its cached pairs)."""
    images = stage.autoencoder.images if isinstance(stage, Decoder) else stage.images
    images = images[0] if isinstance(images, tuple) else images
    side = images.crop or images.size

    def pixels(count: int) -> Tensor:
        return torch.empty(count, 3, side, side, dtype=torch.uint8, device="meta")

    if isinstance(stage, (Autoencoder, Decoder)):
        return pixels(size), 0
    if not getattr(stage, "pair_rounds", 0):
        return (pixels(size), pixels(size)), 0
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        with counting() as counter:
            ends = task._ends((pixels(1), pixels(1)), None)
        flops = counter.get_total_flops()
        if isinstance(stage, Reflow):  # Heun's method evaluates the velocity twice a step
            time = torch.empty(1, device="meta")
            with counting() as counter:
                task.pipeline.drift(ends[0], time, ends[2])
            flops += 2 * stage.teacher_steps * counter.get_total_flops()
        x0, x1, condition = ends
        pairs = [x for x in (x0, x1, condition) if x is not None]
    return tuple(torch.empty(size, *x.shape[1:], device="meta") for x in pairs), flops
