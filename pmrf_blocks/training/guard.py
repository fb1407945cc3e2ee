"""Which updates are made: those whose loss and gradient are finite and whose loss is not many times the usual one."""

from __future__ import annotations

import math
from collections.abc import Mapping

LEARN = 20  # updates that make a first idea of the usual loss, during which only finiteness is judged
MEMORY = 0.01  # weight of the newest loss in the running mean, once there are 100


class Guard:
    """Judges each update and counts those that are skipped.

    `explosion` times the running mean of the loss's magnitude is too much; None judges finiteness alone. Skipped
    losses do not enter the mean.
    """

    def __init__(self, explosion: float | None) -> None:
        self.explosion = explosion
        self.usual, self.updates, self.skipped, self.in_a_row = 0.0, 0, 0, 0

    def refuse(self, loss: float, gradient_norm: float) -> str | None:
        """Why an update with this loss and gradient must not be made; None where it may. Counts either."""
        reason = self._reason(loss, gradient_norm)
        if reason is None:
            self.updates, self.in_a_row = self.updates + 1, 0
            self.usual += (abs(loss) - self.usual) * max(MEMORY, 1.0 / self.updates)
        else:
            self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
        return reason

    def _reason(self, loss: float, gradient_norm: float) -> str | None:
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(gradient_norm):
            return f"the gradient's norm is {gradient_norm}"
        if self.explosion is not None and self.updates >= LEARN and abs(loss) > self.explosion * self.usual:
            return f"the loss is {loss:.4g}, more than {self.explosion:g} times the usual {self.usual:.4g}"
        return None

    def state_dict(self) -> dict[str, float | int]:
        names = ("usual", "updates", "skipped", "in_a_row")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, float | int]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
