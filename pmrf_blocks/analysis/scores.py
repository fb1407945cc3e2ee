"""Which way a score is better."""

from __future__ import annotations

HIGHER = (
    "psnr", "psnry", "psnrrgb", "ssim", "msssim", "musiq", "clipiqa", "qalign", "maniqa", "topiq", "hyperiqa", "nima",
    "cosine",
)  # fmt: skip
LOWER = (
    "mse", "rmse", "mae", "l1", "indrmse", "mseratio", "lpips", "dists", "niqe", "brisque", "piqe", "fid", "fd", "kid",
    "mmd", "cmmd", "deg", "identity", "lmd", "landmark", "loss", "kl", "perceptual",
)  # fmt: skip


def higher_is_better(name: str, *, higher: tuple[str, ...] = (), lower: tuple[str, ...] = ()) -> bool:
    """True where larger values of the score `name` are better.

    `higher` and `lower` name scores for this call; then come the known ones: case, punctuation, a leading 'val_' and
    what follows the known name after a punctuation mark ('fid-dinov2', 'psnr_degraded') do not matter. ValueError for
    a score that nobody knows.

    Examples:
        >>> higher_is_better("psnr"), higher_is_better("val_fid")
        (True, False)
    """
    for known, answer in ((higher, True), (lower, False)):
        if name in known:
            return answer
    words = [word for word in _words(name) if word != "val"]
    for count in range(len(words), 0, -1):
        start = "".join(words[:count])
        for known_names, answer in ((HIGHER, True), (LOWER, False)):
            if start in known_names:
                return answer
    raise ValueError(f"is a higher {name!r} better or a lower? Say so with --higher {name} or --lower {name}")


def _words(name: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()
