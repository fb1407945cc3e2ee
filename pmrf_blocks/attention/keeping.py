"""What depends on shapes alone is made once and kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

import torch

Make = TypeVar("Make", bound=Callable[..., Any])


def traced() -> bool:
    """Whether tensors made now are of no use later: torch.compile, torch.export or a dispatch mode (such as that of
    fake tensors) is at work."""
    return torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack() > 0


def kept(maxsize: int) -> Callable[[Make], Make]:
    """Decorator: keep the last `maxsize` results of a function, for training too, whoever asked first; while something
    traces, make them anew and keep nothing. Functions make their tensors of numpy's arrays: what torch makes while
    torch.func transforms a function would not serve outside."""

    def decorate(make: Make) -> Make:
        keeping = lru_cache(maxsize)(torch.inference_mode(False)(make))

        @wraps(make)
        def call(*arguments: Any) -> Any:
            return make(*arguments) if traced() else keeping(*arguments)

        return cast("Make", call)

    return decorate
