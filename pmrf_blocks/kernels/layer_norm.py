"""Layer norm over the channels of every pixel, with SiLU if asked, in one pass over channels_last memory."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pmrf_blocks.kernels.choice import check
from pmrf_blocks.kernels.derivatives import differentiate_backward


def layer_norm_reference(x: Tensor, weight: Tensor, bias: Tensor, eps: float, silu: bool = False) -> Tensor:
    """What channel_layer_norm computes, in torch's own operators."""
    # With channels_last memory both permutes are views and the norm reads rows that lie together.
    y = F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, eps).permute(0, 3, 1, 2)
    return F.silu(y) if silu else y


def channel_layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, silu: bool = False) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over axis 1 of x (B, C, H, W), then SiLU if asked.

    Computed in float32, returned in x's dtype and channels_last memory; other memory is copied first. Statistics are
    kept for the backward pass, the normalised values are not. Raises ValueError for tensors that no kernel takes.
    """
    rows = x.permute(0, 2, 3, 1).contiguous()
    y, _, _ = layer_norm_rows(rows.flatten(0, 2), weight.contiguous(), bias.contiguous(), eps, silu)
    return y.view_as(rows).permute(0, 3, 1, 2)


@torch.library.custom_op("pmrf_blocks::layer_norm_rows", mutates_args=())
def layer_norm_rows(x: Tensor, weight: Tensor, bias: Tensor, eps: float, silu: bool) -> tuple[Tensor, Tensor, Tensor]:
    """x (M, C) contiguous: the norm, and each row's mean and inverse deviation (M,) in float32."""
    check("channel_layer_norm", x, weight, bias)
    from pmrf_blocks.kernels.layer_norm_triton import forward

    return forward(x, weight, bias, eps, silu)


@layer_norm_rows.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, eps: float, silu: bool) -> tuple[Tensor, Tensor, Tensor]:
    statistic = x.new_empty(x.shape[0], dtype=torch.float32)
    return torch.empty_like(x), statistic, torch.empty_like(statistic)


@torch.library.custom_op("pmrf_blocks::layer_norm_rows_backward", mutates_args=())
def layer_norm_rows_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, eps: float, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x (M, C), weight (C,) and bias (C,)."""
    from pmrf_blocks.kernels.layer_norm_triton import backward

    return backward(grad, x, weight, bias, mean, rstd, silu)


@layer_norm_rows_backward.register_fake
def _(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, eps: float, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, bias, ctx.eps, ctx.silu = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, weight, bias, *output[1:])


def _backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 5
    return (*layer_norm_rows_backward(grad.contiguous(), *ctx.saved_tensors, ctx.eps, ctx.silu), None, None)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    grad, x, weight, bias, _, _, ctx.eps, ctx.silu = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(grad, x, weight, bias)


def _second(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    grad, *inputs = ctx.saved_tensors

    def formula(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor]:
        y = F.layer_norm(x, weight.shape, weight, bias, ctx.eps)
        return (F.silu(y) if ctx.silu else y,)

    x, weight, bias, gradient = differentiate_backward(formula, inputs, [grad], cotangents)
    return gradient, x, weight, bias, None, None, None, None


layer_norm_rows.register_autograd(_backward, setup_context=_save)
layer_norm_rows_backward.register_autograd(_second, setup_context=_save_backward)
