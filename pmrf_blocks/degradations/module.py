"""What every degradation has in common."""

from __future__ import annotations

from torch import nn


class DegradationModule(nn.Module):
    """An nn.Module without weights, which prints the settings that it was built with."""

    def extra_repr(self) -> str:
        own = {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "training"}
        return ", ".join(f"{name}={value}" for name, value in own.items())
