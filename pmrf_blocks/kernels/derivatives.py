"""Second derivatives of the fused operators: their backward kernels are differentiated through the eager formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def differentiate_backward(
    formula: Callable[..., tuple[Tensor, ...]],
    inputs: Sequence[Tensor],
    gradients: Sequence[Tensor],
    cotangents: Sequence[Tensor | None],
) -> tuple[Tensor | None, ...]:
    """The vector-Jacobian product of (inputs, gradients) -> formula's own vector-Jacobian product.

    Arguments:
        formula: eager and twice differentiable, of `inputs` to a tuple of outputs.
        inputs, gradients: what the backward kernel was given: the operator's inputs and its outputs' gradients.
        cotangents: gradients of what the backward kernel returned, one for each of `inputs`.

    Returns gradients of `inputs` and of `gradients`, in this order. Third derivatives follow: all of it is eager.
    """
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, so that gradients come to the places of their own even where one tensor was given twice.
        inputs = [x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs]
        gradients = [g.view_as(g) if g.requires_grad else g.detach().requires_grad_() for g in gradients]
        first = torch.autograd.grad(formula(*inputs), inputs, gradients, create_graph=True, allow_unused=True)
        pairs = [(y, c) for y, c in zip(first, cotangents) if y is not None and c is not None and y.requires_grad]
        if not pairs:
            return (None,) * (len(inputs) + len(gradients))
        outputs, weights = zip(*pairs)
        return torch.autograd.grad(outputs, [*inputs, *gradients], weights, allow_unused=True, create_graph=recorded)
