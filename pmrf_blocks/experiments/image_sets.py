"""Which images a stage is trained or a table measured on, as a frozen configuration."""

from __future__ import annotations

from dataclasses import dataclass

from pmrf_blocks.experiments.networks import Net


@dataclass(frozen=True)
class Images:
    """Images of one folder below the data folder, or of any set.

    Arguments:
        folder: its name, or several joined by '+'; a list of images (.txt) is as good. Or Net(MySet, ...): a class or
            function that makes a map-style set or an iterable, as MapImages and IterableImages take them, or one of
            these, of which `key` and `skip` count and the framing is this one. Iterables can be trained on alone.
        size: the shorter side is brought to this many pixels.
        crop: side of the random crop; None takes the centre square.
        first: how many of them, in the order of their names; None takes all.
        flip: mirror half of the samples.
        degraded: folder of published degraded images, one of each image's name: tables and figures restore these where
            the degradation is the blind-face one.
        held_out: which images of a folder stand in where the data folder is a plain one: those held out, or all others.
        degradations: so many of each image are made beforehand, by all processors, and kept in RUNS; 0: a fresh one at
            every step. An accelerator learns faster than it degrades.

    Examples:
        >>> Images("faces256/train", 128, crop=64, flip=True).name
        'faces256/train'
    """

    folder: str | Net
    size: int
    crop: int | None = None
    first: int | None = None
    flip: bool = False
    held_out: bool = False
    degraded: str | None = None
    degradations: int = 0

    @property
    def name(self) -> str:
        """The folder's, or that of what makes the set."""
        return self.folder if isinstance(self.folder, str) else self.folder.kind.__name__


CELEBA_TEST = Images("celeba-test/hq", 512, held_out=True, degraded="celeba-test/lq")
