"""When the next layer may overwrite what a layer made."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook


def may_reuse(module: nn.Module, *tensors: Tensor) -> bool:
    """Whether what the layers of a module make may be overwritten inside it: no gradient needs it, no forward hook that
    keeps features for later sees it, and it runs as it is written, neither traced nor transformed by torch.func (which
    `tensors`, its inputs, tell)."""
    return (
        not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not any(map(torch._C._functorch.is_functorch_wrapped_tensor, tensors))
        and is_plain(module)
    )


def is_plain(module: nn.Module) -> bool:
    """Whether calling a module, and what it holds, is no more than their forward(): nobody hooked them, nor all
    modules."""
    hooked = (part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    return not _has_any_global_hook() and not any(hooked)
