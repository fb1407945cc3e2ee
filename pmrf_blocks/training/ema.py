"""Exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """Shadow copy of all parameters: shadow <- decay * shadow + (1 - decay) * weights after every update.

    The decay ramps up as (1 + n) / (10 + n) over the first updates n, so that a short run is not dominated by
    its random start. Buffers are not averaged. The shadow is float32 whatever the network's dtype.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow = {name: p.detach().float().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        weights = [p.detach().float() for p in network.parameters()]
        torch._foreach_lerp_(list(self.shadow.values()), weights, 1.0 - decay)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[nn.Module]:
        """The network with the averaged weights; its own come back on leaving, also after an error."""
        own = {name: p.detach().clone() for name, p in network.named_parameters()}
        try:
            _copy(self.shadow, network)
            yield network
        finally:
            _copy(own, network)

    def state_dict(self) -> dict[str, object]:
        return {"updates": self.updates, "shadow": self.shadow}

    def load_state_dict(self, state: dict) -> None:
        self.updates = state["updates"]
        for name, tensor in state["shadow"].items():
            self.shadow[name].copy_(tensor)


@torch.no_grad()
def _copy(tensors: dict[str, Tensor], network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        parameter.copy_(tensors[name])
