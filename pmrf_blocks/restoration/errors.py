"""Errors of the pipelines."""

import torch
from torch import Tensor


class NonFiniteError(ValueError):
    """Values that are infinite or not a number, after the stage named by `stage`."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"non-finite values after the stage '{stage}'; try --dtype float32")
        self.stage = stage


def finite(stage: str, x: Tensor) -> Tensor:
    """x itself; NonFiniteError(stage) where any value is infinite or not a number."""
    if not bool(torch.isfinite(x).all()):
        raise NonFiniteError(stage)
    return x
