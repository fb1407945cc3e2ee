"""What an evaluation gives: scores of one folder under one protocol."""

from __future__ import annotations

from dataclasses import dataclass, field

from pmrf_blocks.metrics.protocols import Protocol


@dataclass(frozen=True)
class Score:
    """A number, its interval where there is one, over how many images; or why there is none.

    Examples:
        >>> Score(31.4, interval=(30.9, 31.8), images=102).value, Score(unavailable="give the file").value
        (31.4, None)
    """

    value: float | None = None
    interval: tuple[float, float] | None = None
    images: int = 0
    unavailable: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one folder. `per_image` holds one value an image, in the order of `names`.

    Examples:
        >>> scores = {"psnr": Score(28.1, images=2)}
        >>> images = ["a.png", "b.png"]
        >>> evaluation = Evaluation("ours", "ours/", find_protocol("images"), images, scores, {"psnr": [27.9, 28.3]})
        >>> dict(zip(evaluation.names, evaluation.per_image["psnr"]))
        {'a.png': 27.9, 'b.png': 28.3}
    """

    method: str
    folder: str
    protocol: Protocol
    names: list[str]
    scores: dict[str, Score]
    per_image: dict[str, list[float]]
    extractors: dict[str, str] = field(default_factory=dict)
