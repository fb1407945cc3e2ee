"""Neighborhood attention through torch's FlexAttention: compiled at first use, block-sparse."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from pmrf_blocks.attention.keeping import kept
from pmrf_blocks.attention.windows import Axis, Pair, Window

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # batch, head, query, key: whether the query sees the key


def flex_attention_2d(q: Tensor, k: Tensor, v: Tensor, window: Window, scale: float) -> Tensor:
    """As neighborhood_attention_2d, arguments checked already."""
    size = (q.shape[1], q.shape[2])
    q, k, v = (rearrange(x, "b h w n d -> b n (h w) d") for x in (q, k, v))
    out = _compiled()(q, k, v, block_mask=_block_mask(size, window, str(q.device)), scale=scale)
    return rearrange(out, "b n (h w) d -> b h w n d", h=size[0])


def neighborhood_rule(size: Pair, window: Window) -> Rule:
    """FlexAttention's mask_mod of a window, on pixels numbered row by row: windows.seen_keys(), traced."""

    def sees(query: Tensor, key: Tensor, length: int, axis: Axis) -> Tensor:
        of_class = (length - query % axis.dilation + axis.dilation - 1) // axis.dilation
        own, other = query // axis.dilation, key // axis.dilation
        behind = axis.stride - 1 if axis.causal else axis.stride // 2
        leader = torch.minimum(own // axis.stride * axis.stride + behind, of_class - 1)
        if axis.causal:
            inside = (other > leader - axis.kernel) & (other <= own)
        else:
            first = torch.minimum((leader - axis.kernel // 2).clamp(min=0), of_class - axis.kernel)
            inside = (other >= first) & (other < first + axis.kernel)
        return inside & (query % axis.dilation == key % axis.dilation)

    def rule(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        rows = sees(query // size[1], key // size[1], size[0], window.axes[0])
        return rows & sees(query % size[1], key % size[1], size[1], window.axes[1])

    return rule


@lru_cache(maxsize=1)
def _compiled() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


@kept(32)
def _block_mask(size: Pair, window: Window, device: str) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    pixels = size[0] * size[1]
    return create_block_mask(neighborhood_rule(size, window), None, None, pixels, pixels, device=device)
