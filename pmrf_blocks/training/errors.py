"""What ends a run that cannot go on."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """A run that cannot go on, with the reason and the last good checkpoint.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> from pmrf_blocks.data import MapImages
        >>> from pmrf_blocks.degradations import Denoising
        >>> task = PosteriorMeanTask(torch.nn.Conv2d(3, 3, 1), Denoising())
        >>> images = MapImages([Image.new("RGB", (16, 16))] * 2, size=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     try:
        ...         for steps in (2, 1):
        ...             network = fit(TrainConfig(steps=steps, batch_size=2), task, images, folder, device="cpu")
        ...     except TrainingError as error:
        ...         print(str(error).replace(folder, "FOLDER"))
        steps is 1, but FOLDER has 2 behind it
    """


class CheckpointError(TrainingError):
    """A checkpoint that cannot be written or read."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose own content is not whole: the one before it may be taken."""
