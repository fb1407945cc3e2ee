"""What ends a run that cannot go on."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """A run that cannot go on, with the reason and the last good checkpoint."""


class CheckpointError(TrainingError):
    """A checkpoint that cannot be written or read."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose own content is not whole: the one before it may be taken."""
