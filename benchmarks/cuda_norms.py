"""Norms and rotary embedding: our Triton kernels, torch's own operators, and what torch.compile makes of the formulas.

They compute next to nothing, so their limit is that of copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.comparison import Build, Call, Comparison, Missing, Settings, name_of, without_triton
from benchmarks.needs import Need
from pmrf_blocks.attention import AxialRoPE, axial_positions
from pmrf_blocks.kernels.layer_norm import channel_layer_norm, layer_norm_reference
from pmrf_blocks.kernels.rms_norm import rms_norm
from pmrf_blocks.kernels.rotary import rotary, rotary_reference
from pmrf_blocks.transformers import layers as formula

EPS, HEAD, GROUPS = 1e-6, 64, 32
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 5e-3}
# Width and side of what the networks have at 512x512, then at 256x256.
MAPS = ((128, 512), (256, 256), (512, 64), (128, 256), (256, 128), (512, 32))  # Sim-VAE's
TOKENS = ((256, 128), (512, 64), (1024, 32), (256, 64), (512, 32), (1024, 16))  # PMRF's
Function = Callable[..., Tensor | tuple[Tensor, ...]]


def running(
    function: Function,
    tensors: list[Tensor],
    *,
    backward: bool,
    compiled: bool = False,
    cotangents: list[Tensor] | None = None,
) -> Build:
    """The function on copies of the tensors; `backward`: and the gradient of each of them, from `cotangents` of the
    results, or random ones."""

    def build() -> Call:
        if compiled and tensors[0].device.type != "cuda":
            raise Missing("compiled for CUDA alone")
        apply = function
        if compiled:
            torch.compiler.reset()  # else the shapes of other rows make it compile for all shapes, or give up
            apply = torch.compile(function, dynamic=False)
        along = drawn_like(_tuple(function(*copies(tensors)))) if cotangents is None else cotangents

        def once(leaves: list[Tensor]) -> tuple[Tensor, ...]:
            with torch.set_grad_enabled(backward):
                outputs = _tuple(apply(*leaves))
                found = torch.autograd.grad(outputs, leaves, along) if backward else ()
            return (*(x.detach() for x in outputs), *found)

        # What is compiled at first use is not to be timed. On copies of its own: one contender works in place.
        once([x.requires_grad_(backward) for x in copies(tensors)])
        leaves = [x.requires_grad_(backward) for x in copies(tensors)]
        return lambda: once(leaves)

    return build


def drawn_like(tensors: tuple[Tensor, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.empty_like(x).copy_(torch.randn(x.shape, generator=generator)) for x in tensors]


def followed_by(function: Function, *settings: float) -> Function:
    """The function of tensors alone, these settings after them."""
    return lambda *tensors: function(*tensors, *settings)


def copies(tensors: list[Tensor]) -> list[Tensor]:
    return [x.clone(memory_format=torch.preserve_format) for x in tensors]


def _tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def comparisons(settings: Settings) -> Iterator[Comparison]:
    cuda = settings.device.type == "cuda"
    if not cuda and not settings.tiny:
        raise Missing("needs CUDA")
    if cuda and (reason := without_triton(settings)):
        raise Missing(reason)
    sizes = [((GROUPS, 8), (HEAD, 8))] if settings.tiny else list(zip(MAPS, TOKENS, strict=True))
    for of_maps, of_tokens in sizes:  # every kernel at one size before any at the next: the time may be up
        for dtype, tolerance in settings.tolerances(TOLERANCES):
            for backward in (False, True):
                yield from layer_norms(*of_maps, dtype, tolerance, settings, backward=backward)
                yield rms_norms(*of_tokens, dtype, tolerance, settings, backward=backward)
                for cosine in (True, False):  # PMRF's attention, and Latent-PMRF's
                    yield rotaries(*of_tokens, dtype, tolerance, settings, cosine=cosine, backward=backward)


def layer_norms(
    width: int, side: int, dtype: torch.dtype, tolerance: float, settings: Settings, *, backward: bool
) -> Iterator[Comparison]:
    """Over the channels of maps (1, width, side, side) in channels_last memory, then SiLU."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, width, side, side, generator=generator).to(settings.device, dtype)
    tensors = [x.contiguous(memory_format=torch.channels_last), *scales(2, width, x)]
    functional = followed_by(layer_norm_reference, EPS, True)
    ours = functional if without_triton(settings) else followed_by(channel_layer_norm, EPS, True)

    def of_groups(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.silu(F.group_norm(x, GROUPS, weight, bias, EPS))

    title = f"{width} channels, {side}x{side}, {ending(dtype, backward)}"
    need = moved(x, backward=backward)
    yield Comparison(
        f"channel layer norm + SiLU, {title}",
        {
            "ours": running(ours, tensors, backward=backward),
            "F.layer_norm on the permuted map, F.silu": running(functional, tensors, backward=backward),
            "the same, compiled": running(functional, tensors, backward=backward, compiled=True),
        },
        tolerance=tolerance,
        need=need,
    )
    groups = ("F.group_norm, F.silu, channels_last", "F.group_norm, F.silu, contiguous")
    yield Comparison(
        f"channel layer norm + SiLU beside group norm, {title}",
        {
            "ours": running(ours, tensors, backward=backward),
            groups[0]: running(of_groups, tensors, backward=backward),
            groups[1]: running(of_groups, [x, *tensors[1:]], backward=backward),
        },
        tolerance=None,
        unequal="another norm, whose statistics cross pixels: SD-VAE's",
        need=need,
        needs=dict.fromkeys(groups, need),
    )


def rms_norms(
    width: int, side: int, dtype: torch.dtype, tolerance: float, settings: Settings, *, backward: bool
) -> Comparison:
    """Of tokens (1, side, side, width), with a scale for each image as AdaRMSNorm has it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, side, side, width, generator=generator).to(settings.device, dtype)
    tensors = [x, scales(1, width, x)[0][None]]

    def reference(x: Tensor, scale: Tensor) -> Tensor:
        return formula.rms_norm(x, scale[:, None, None], EPS)

    ours = reference if without_triton(settings) else followed_by(rms_norm, EPS)

    def functional(x: Tensor, scale: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], eps=EPS) * scale[:, None, None]

    return Comparison(
        f"AdaRMSNorm, {width} channels, {side}x{side} tokens, {ending(dtype, backward)}",
        {
            "ours": running(ours, tensors, backward=backward),
            "the formula": running(reference, tensors, backward=backward),
            "the formula, compiled": running(reference, tensors, backward=backward, compiled=True),
            "F.rms_norm": running(functional, tensors, backward=backward),
        },
        tolerance=tolerance,
        need=moved(x, backward=backward),
    )


def rotaries(
    width: int, side: int, dtype: torch.dtype, tolerance: float, settings: Settings, *, cosine: bool, backward: bool
) -> Comparison:
    """Of q and k (1, side, side, heads, HEAD), in place where no gradient is recorded; `cosine`: scaled as in PMRF."""
    generator, heads = torch.Generator().manual_seed(0), width // HEAD
    q, k = (torch.randn(1, side, side, heads, HEAD, generator=generator).to(settings.device, dtype) for _ in range(2))
    cos, sin = AxialRoPE(HEAD, heads).to(settings.device).angles(axial_positions(side, side, device=settings.device))
    tensors = [q, k, *([torch.full((heads,), 10.0, device=settings.device)] if cosine else [])]

    def kernel(q: Tensor, k: Tensor, scale: Tensor | None = None) -> tuple[Tensor, ...]:
        return rotary(q, k, cos, sin, scale, inplace=True)

    def reference(q: Tensor, k: Tensor, scale: Tensor | None = None) -> tuple[Tensor, ...]:
        return rotary_reference(q, k, cos, sin, scale)

    ours = reference if without_triton(settings) else kernel
    # Angles are read once each way. Without scaling, in place, what is not turned is not touched, and the backward
    # pass needs the gradients alone.
    angles = Need(traffic=(2 if backward else 1) * (cos.nbytes + sin.nbytes), dtype=dtype)
    both = moved(q, backward=backward and cosine) + moved(k, backward=backward and cosine)
    turned = 2 * cos.shape[-1] / HEAD
    need = (1 if cosine else 2 if backward else turned) * both + angles
    return Comparison(
        f"rotary embedding{' and cosine scaling' if cosine else ''} of q and k, {heads} heads of {HEAD}, "
        f"{side}x{side} tokens, {ending(dtype, backward)}",
        {
            "ours": running(ours, tensors, backward=backward),
            "the formula": running(reference, tensors, backward=backward),
            "the formula, compiled": running(reference, tensors, backward=backward, compiled=True),
        },
        tolerance=tolerance,
        need=need,
    )


def scales(count: int, width: int, like: Tensor) -> list[Tensor]:
    """Vectors (width,) about 1 of like's device and dtype."""
    generator = torch.Generator().manual_seed(2)
    return [(1 + 0.1 * torch.randn(width, generator=generator)).to(like) for _ in range(count)]


def moved(x: Tensor, *, backward: bool) -> Need:
    """x read and the result written; the backward pass reads x and a gradient and writes one."""
    return Need(traffic=(5.0 if backward else 2.0) * x.nbytes, dtype=x.dtype)


def ending(dtype: torch.dtype, backward: bool) -> str:
    return f"{name_of(dtype)}, {'forward + backward' if backward else 'forward'}"
