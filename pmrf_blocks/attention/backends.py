"""The backends of neighborhood attention by name, which of them work here, and why the others do not.

To add one: a function with the signature of `Run`, and an entry in BACKENDS. tests/attention compares all that work
with the dense form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from pmrf_blocks.attention.dense import dense_attention
from pmrf_blocks.attention.flex import flex_attention_2d
from pmrf_blocks.attention.tiled import tiled_attention
from pmrf_blocks.attention.triton_neighborhood import triton_attention, triton_missing, triton_unfit
from pmrf_blocks.attention.windows import Window

Run = Callable[[Tensor, Tensor, Tensor, Window, float], Tensor]  # q, k, v, window, scale


def nothing() -> str | None:
    """The probe of a backend that works everywhere."""
    return None


@dataclass(frozen=True)
class Backend:
    """One way to compute neighborhood attention.

    Arguments:
        run: on arguments that neighborhood_attention_2d has checked; never float64, never forward-mode tangents,
            unless `general`.
        missing: says why it cannot be had on this machine at all, or None.
        unfit: says why 'auto' does not take it here, although it works when asked for by name, or None.
        general: takes float64 and every derivative.
    """

    run: Run
    missing: Callable[[], str | None] = nothing
    unfit: Callable[[], str | None] = nothing
    general: bool = False


def natten_attention(q: Tensor, k: Tensor, v: Tensor, window: Window, scale: float) -> Tensor:
    """natten 0.21's na2d. What it has no fitting kernel for is tiled: windows of one pixel along an axis, another width
    for v, head dims that its CUDA kernels do not take, or not in training, and the backward pass on a CPU."""
    from natten import na2d

    if 1 in window.kernel or q.shape[-1] != v.shape[-1] or not natten_takes(q, k, v):
        return tiled_attention(q, k, v, window, scale)
    q, k, v = (x.contiguous() for x in (q, k, v))
    options = {"dilation": window.dilation, "stride": window.stride, "is_causal": window.causal, "scale": scale}
    return na2d(q, k, v, kernel_size=window.kernel, **options)


def natten_takes(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether natten has a kernel for such tensors: one of its own on CUDA (FlexAttention, which it falls back to,
    would hold every query's logits of every key there), FlexAttention, forward only, on a CPU."""
    from natten.backends import get_compatible_backends

    recorded = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    if q.device.type == "cpu" and recorded:
        return False
    kernels = get_compatible_backends(q, k, v, torch_compile=False)
    return any(name != "flex-fna" or q.device.type == "cpu" for name in kernels)


def natten_missing() -> str | None:
    if find_spec("natten") is None:
        return "the package natten is not installed (pip install --no-build-isolation natten==0.21.7, after torch)"
    try:
        import natten
    except Exception as error:  # a build for another torch or CUDA fails in many ways
        return f"the package natten is installed but does not load: {error}"
    if not hasattr(natten, "na2d"):
        return f"natten {getattr(natten, '__version__', '')} has no na2d; 0.21 or newer is needed"
    return None


def natten_unfit() -> str | None:
    if not torch.cuda.is_available():
        return "natten has no fast kernel without CUDA; asked for by name, it takes its slow one"
    import natten

    if not getattr(natten, "HAS_LIBNATTEN", False):
        return "natten was installed without its CUDA library (libnatten); asked for by name, it takes a slow kernel"
    return None


def flex_unfit() -> str | None:
    if not torch.cuda.is_available():
        return "FlexAttention is made for CUDA; asked for by name, it is compiled for this CPU, forward only"
    return None


BACKENDS: dict[str, Backend] = {
    "tiled": Backend(tiled_attention, general=True),
    "dense": Backend(dense_attention, general=True),
    "natten": Backend(natten_attention, natten_missing, natten_unfit),
    "triton": Backend(triton_attention, triton_missing, triton_unfit),
    "flex": Backend(flex_attention_2d, unfit=flex_unfit),
}
# 'flex' is compiled for a minute, which nobody asked for; no GPU has run 'triton'.
AUTO_ON_CUDA = ("natten",)


@cache
def why_missing(name: str) -> str | None:
    """BACKENDS[name].missing(), asked once."""
    return BACKENDS[name].missing()


@lru_cache(maxsize=1)
def available_backends() -> dict[str, str | None]:
    """Every backend by name: None where it works well on this machine, else the reason why not. Probed once.

    Examples:
        >>> available_backends()["dense"] is None  # no reason against it
        True
    """
    return {name: why_missing(name) or backend.unfit() for name, backend in BACKENDS.items()}


def resolve_backend(name: str | Run, device: torch.device | str = "cpu") -> str:
    """The backend that 'auto' stands for on a device; any other name is checked and returned.

    Raises ValueError for a name that is none, ImportError for a backend that cannot be had here.

    Examples:
        >>> resolve_backend("dense")
        'dense'
    """
    if name == "auto":
        if torch.device(device).type == "cuda":
            reasons = available_backends()
            return next((choice for choice in AUTO_ON_CUDA if reasons.get(choice, "") is None), "tiled")
        return "tiled"
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of 'auto', {', '.join(map(repr, BACKENDS))}; got {name!r}")
    reason = why_missing(name)
    if reason is not None:
        raise ImportError(f"backend {name!r}: {reason}")
    return name
