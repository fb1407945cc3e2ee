"""Errors of the restorers."""


class NonFiniteError(ValueError):
    """Values that are infinite or not a number, after the stage named by `stage`."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"non-finite values after the stage '{stage}'; try --dtype float32")
        self.stage = stage
