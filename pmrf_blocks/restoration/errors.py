"""Errors of the pipelines."""

import torch
from torch import Tensor


class NonFiniteError(ValueError):
    """Values that are infinite or not a number, after the stage named by `stage`.

    Examples:
        >>> pipeline = PosteriorMean(estimator=torch.nn.Identity(), size=8)
        >>> try:
        ...     pipeline.restore(torch.full((1, 3, 8, 8), torch.nan))
        ... except NonFiniteError as error:
        ...     print(error.stage)
        input
    """

    def __init__(self, stage: str) -> None:
        super().__init__(f"non-finite values after the stage '{stage}'; try --dtype float32")
        self.stage = stage


def finite(stage: str, x: Tensor) -> Tensor:
    """x itself; NonFiniteError(stage) where any value is infinite or not a number."""
    if not bool(torch.isfinite(x).all()):
        raise NonFiniteError(stage)
    return x
