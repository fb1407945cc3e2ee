"""Root-mean-square norm with one scale for all rows, or one for each image as AdaRMSNorm has it, in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.kernels.choice import check
from pmrf_blocks.kernels.derivatives import differentiate_backward
from pmrf_blocks.transformers import layers as formula


def rms_norm(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    """transformers' formula of the same name in one kernel, for x (B, ..., C) and a scale (C,), or (B, C) for each
    image. Raises ValueError for tensors that the kernel does not take."""
    images = scale.shape[0] if scale.ndim == 2 else 1
    rows = x.contiguous().view(images, -1, x.shape[-1])
    y, _ = rms_norm_rows(rows, scale.reshape(images, -1).contiguous(), eps)
    return y.view(x.shape)


@torch.library.custom_op("pmrf_blocks::rms_norm_rows", mutates_args=())
def rms_norm_rows(x: Tensor, scale: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x (B, M, C) and scale (B, C), contiguous: the norm, and each row's inverse rms (B, M) in float32."""
    check("rms_norm", x, scale)
    from pmrf_blocks.kernels.rms_norm_triton import forward

    return forward(x, scale, eps)


@rms_norm_rows.register_fake
def _(x: Tensor, scale: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty(x.shape[:2], dtype=torch.float32)


@torch.library.custom_op("pmrf_blocks::rms_norm_rows_backward", mutates_args=())
def rms_norm_rows_backward(grad: Tensor, x: Tensor, scale: Tensor, rrms: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Gradients of x (B, M, C) and scale (B, C)."""
    from pmrf_blocks.kernels.rms_norm_triton import backward

    return backward(grad, x, scale, rrms)


@rms_norm_rows_backward.register_fake
def _(grad: Tensor, x: Tensor, scale: Tensor, rrms: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(scale)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, scale, ctx.eps = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, scale, output[1])


def _backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return None, None, None
    return (*rms_norm_rows_backward(grad.contiguous(), *ctx.saved_tensors, ctx.eps), None)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    grad, x, scale, _, ctx.eps = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(grad, x, scale)


def _second(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    grad, *inputs = ctx.saved_tensors

    def norm(x: Tensor, scale: Tensor) -> tuple[Tensor]:
        return (formula.rms_norm(x, scale[:, None], ctx.eps),)

    x, scale, gradient = differentiate_backward(norm, inputs, [grad], cotangents)
    return gradient, x, scale, None, None


rms_norm_rows.register_autograd(_backward, setup_context=_save)
rms_norm_rows_backward.register_autograd(_second, setup_context=_save_backward)
