"""Rotary embedding of q and k, cosine scaling included where asked: in place in inference, in one kernel on CUDA."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.attention import rotate
from pmrf_blocks.kernels.choice import check
from pmrf_blocks.kernels.derivatives import differentiate_backward
from pmrf_blocks.transformers.block import cosine_scaled
from pmrf_blocks.transformers.layers import EPS


def rotary_reference(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The formula of transformers.block.SelfAttention: q and k rotated.

    Arguments:
        q, k: (B, H, W, N, D).
        cos, sin: (H, W, N, d) with 2 d <= D: the first d of the last axis turn against the next d, the rest stays.
        scale: (N,), positive: q and k come to unit length times sqrt(scale) of their head before they turn
            (cosine-similarity attention). None leaves their length.
    """
    dtype = q.dtype
    if scale is not None:
        q, k = cosine_scaled(q, scale), cosine_scaled(k, scale)
    return rotate(q, cos, sin).to(dtype), rotate(k, cos, sin).to(dtype)


@torch.no_grad()
def rotary_reference_(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: Tensor | None = None) -> None:
    """q and k become what rotary_reference gives, up to rounding: half the passes over memory. Without derivatives."""
    width = cos.shape[-1]
    for x in (q, k):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        if scale is not None:
            length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().add_(EPS).rsqrt_()
            wide.mul_(length.mul_(scale.to(wide.dtype).sqrt()[:, None]))
        a, b = wide[..., :width], wide[..., width : 2 * width]
        turned = a * sin
        a.mul_(cos).addcmul_(b, sin, value=-1)
        b.mul_(cos).add_(turned)
        if wide is not x:
            x.copy_(wide)


def rotary(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: Tensor | None = None, *, inplace: bool = False
) -> tuple[Tensor, Tensor]:
    """As rotary_reference, in one kernel; any strides whose last is 1, so that q and k may be parts of one projection.

    `inplace` overwrites q and k where no gradient is recorded; where one is, they are needed as they were, and
    `inplace` is ignored. Raises ValueError for tensors that the kernel does not take.
    """
    scales = () if scale is None else (scale,)
    q, k = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k))
    cos, sin = cos.contiguous(), sin.contiguous()
    recorded = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, cos, sin, *scales))
    if inplace and not recorded:
        rotate_qk_(q, k, cos, sin, scale)
        return q, k
    return rotate_qk(q, k, cos, sin, scale)


@torch.library.custom_op("pmrf_blocks::rotate_qk_", mutates_args=("q", "k"))
def rotate_qk_(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: Tensor | None) -> None:
    """q and k (B, H, W, N, D) become what rotary_reference gives."""
    check("rotary", q, k, cos, sin, *([] if scale is None else [scale]))
    from pmrf_blocks.kernels.rotary_triton import forward

    forward(q, k, q, k, cos, sin, scale)


@torch.library.custom_op("pmrf_blocks::rotate_qk", mutates_args=())
def rotate_qk(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """Contiguous results."""
    check("rotary", q, k, cos, sin, *([] if scale is None else [scale]))
    from pmrf_blocks.kernels.rotary_triton import forward

    outputs = q.new_empty(q.shape), k.new_empty(k.shape)
    forward(q, k, *outputs, cos, sin, scale)
    return outputs


@rotate_qk.register_fake
def _(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: Tensor | None) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape)


@torch.library.custom_op("pmrf_blocks::rotate_qk_backward", mutates_args=())
def rotate_qk_backward(
    dq: Tensor, dk: Tensor, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and scale."""
    from pmrf_blocks.kernels.rotary_triton import backward

    return backward(dq, dk, q, k, cos, sin, scale)


@rotate_qk_backward.register_fake
def _(
    dq: Tensor, dk: Tensor, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), torch.empty_like(scale)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, cos, sin, scale = inputs
    ctx.shape = q.shape
    # A rotation's gradient does not depend on what was turned, so q and k are kept for the scaling alone.
    ctx.save_for_backward(*(None, None) if scale is None else (q, k), cos, sin, scale)


def _backward(ctx: Any, dq: Tensor, dk: Tensor) -> tuple[Tensor | None, ...]:
    q, k, cos, sin, scale = ctx.saved_tensors
    if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
        raise NotImplementedError("the fused rotary embedding has no gradient for cos and sin: detach them")
    dq, dk = dq.contiguous(), dk.contiguous()
    if scale is None:
        return (*rotate_qk(dq, dk, cos, -sin, None), None, None, None)
    dq, dk, dscale = rotate_qk_backward(dq, dk, q, k, cos, sin, scale)
    return dq, dk, None, None, dscale


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs)


def _second(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    dq, dk, q, k, cos, sin, scale = ctx.saved_tensors

    def formula(q: Tensor, k: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
        return rotary_reference(q, k, cos, sin, scale)

    found = differentiate_backward(formula, [q, k, scale], [dq, dk], cotangents)
    return found[3], found[4], found[0], found[1], None, None, found[2]


rotate_qk.register_autograd(_backward, setup_context=_save)
rotate_qk_backward.register_autograd(_second, setup_context=_save_backward)
