"""Neighborhood attention through torch's FlexAttention: compiled at first use, block-sparse."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pmrf_blocks.attention.windows import Pair

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # batch, head, query, key: whether the query sees the key


def flex_attention_2d(q: Tensor, k: Tensor, v: Tensor, kernel: Pair, dilation: Pair, scale: float) -> Tensor:
    size = (q.shape[1], q.shape[2])
    q, k, v = (x.flatten(1, 2).transpose(1, 2) for x in (q, k, v))
    out = _compiled()(q, k, v, block_mask=_block_mask(size, kernel, dilation, str(q.device)), scale=scale)
    return out.transpose(1, 2).unflatten(1, size)


def neighborhood_rule(size: Pair, kernel: Pair, dilation: Pair) -> Rule:
    """FlexAttention's mask_mod of a window, on pixels numbered row by row."""

    def sees(query: Tensor, key: Tensor, length: int, width: int, step: int) -> Tensor:
        shared = (length - query % step + step - 1) // step
        first = torch.minimum((query // step - width // 2).clamp(min=0), shared - width)
        return (query % step == key % step) & (key // step >= first) & (key // step < first + width)

    def rule(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        rows = sees(query // size[1], key // size[1], size[0], kernel[0], dilation[0])
        return rows & sees(query % size[1], key % size[1], size[1], kernel[1], dilation[1])

    return rule


@lru_cache(maxsize=1)
def _compiled() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is kept must serve training too, whoever asked first
def _block_mask(size: Pair, kernel: Pair, dilation: Pair, device: str) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    pixels = size[0] * size[1]
    return create_block_mask(neighborhood_rule(size, kernel, dilation), None, None, pixels, pixels, device=device)
