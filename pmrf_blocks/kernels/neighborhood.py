"""2-D neighborhood attention without a score matrix: online softmax over each tile's halo, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.attention.triton_neighborhood import WIDEST_HEAD
from pmrf_blocks.kernels.choice import check
from pmrf_blocks.kernels.derivatives import differentiate_backward


def window_indices(size: int, kernel: int, dilation: int, device: torch.device | None = None) -> Tensor:
    """(size, kernel): the positions along one axis that each position sees.

    NATTEN's rule (Hassani et al., 2023): `kernel` positions of the query's own residue class modulo the dilation,
    centred, and shifted inside at the border; an even kernel reaches one further to the left.
    """
    position = torch.arange(size, device=device)
    rest = position % dilation
    inside = (size - rest + dilation - 1) // dilation
    first = torch.minimum((position // dilation - kernel // 2).clamp(min=0), inside - kernel)
    return rest[:, None] + dilation * (first[:, None] + torch.arange(kernel, device=device))


def neighborhood_reference(
    q: Tensor, k: Tensor, v: Tensor, kernel: tuple[int, int], dilation: tuple[int, int], scale: float
) -> Tensor:
    """The formula itself, differentiable any number of times; keeps kernel^2 keys and values a pixel in memory.

    q and k (B, H, W, N, D), v (B, H, W, N, Dv) to (B, H, W, N, Dv), in float32 at least, returned in v's dtype.
    """
    height, width = q.shape[1:3]
    rows = window_indices(height, kernel[0], dilation[0], q.device)[:, None, :, None]
    columns = window_indices(width, kernel[1], dilation[1], q.device)[None, :, None, :]
    seen = (rows * width + columns).flatten(2).flatten()  # (H * W * kernel^2,)
    dtype = torch.promote_types(q.dtype, torch.float32)
    keys, values = (x.to(dtype).flatten(1, 2).index_select(1, seen).unflatten(1, (height, width, -1)) for x in (k, v))
    scores = torch.einsum("bhwnd,bhwknd->bhwnk", q.to(dtype) * scale, keys)
    return torch.einsum("bhwnk,bhwknd->bhwnd", scores.softmax(-1), values).to(v.dtype)


def neighborhood(
    q: Tensor, k: Tensor, v: Tensor, kernel: tuple[int, int], dilation: tuple[int, int], scale: float
) -> Tensor:
    """As neighborhood_reference, in one kernel: logits, softmax and sums in float32, heads up to 128 wide.

    Any strides whose last is 1, so that q, k and v may be parts of one projection. The kernel must fit:
    kernel * dilation at most the grid. Two runs give the same bits: there are no atomics, backward included.
    Raises ValueError for tensors that the kernel does not take.
    """
    if max(q.shape[-1], v.shape[-1]) > WIDEST_HEAD:
        raise ValueError(f"heads may be at most {WIDEST_HEAD} wide; got {q.shape[-1]} and {v.shape[-1]}")
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    return attention(q, k, v, list(kernel), list(dilation), scale)[0]


@torch.library.custom_op("pmrf_blocks::neighborhood_attention", mutates_args=())
def attention(
    q: Tensor, k: Tensor, v: Tensor, kernel: list[int], dilation: list[int], scale: float
) -> tuple[Tensor, Tensor]:
    """The result, contiguous, and the logarithm of each softmax's denominator (B, H, W, N) in float32."""
    check("neighborhood attention in Triton", q, k, v)
    from pmrf_blocks.kernels.neighborhood_triton import forward

    return forward(q, k, v, kernel, dilation, scale)


@attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, kernel: list[int], dilation: list[int], scale: float) -> tuple[Tensor, Tensor]:
    return v.new_empty(v.shape), q.new_empty(q.shape[:4], dtype=torch.float32)


@torch.library.custom_op("pmrf_blocks::neighborhood_attention_backward", mutates_args=())
def attention_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    kernel: list[int],
    dilation: list[int],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v."""
    from pmrf_blocks.kernels.neighborhood_triton import backward

    return backward(grad, q, k, v, out, lse, kernel, dilation, scale)


@attention_backward.register_fake
def _(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    kernel: list[int],
    dilation: list[int],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v, *ctx.window = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(q, k, v, *output)


def _backward(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 6
    return (*attention_backward(grad.contiguous(), *ctx.saved_tensors, *ctx.window), None, None, None)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    grad, q, k, v, _, _, *ctx.window = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(grad, q, k, v)


def _second(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    grad, *inputs = ctx.saved_tensors
    kernel, dilation, scale = ctx.window

    def formula(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor]:
        return (neighborhood_reference(q, k, v, kernel, dilation, scale),)

    q, k, v, gradient = differentiate_backward(formula, inputs, [grad], cotangents)
    return gradient, q, k, v, None, None, None, None, None


attention.register_autograd(_backward, setup_context=_save)
attention_backward.register_autograd(_second, setup_context=_save_backward)
