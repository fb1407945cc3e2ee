"""Where the square patches of an image lie."""

from __future__ import annotations


def patch_corners(width: int, height: int, size: int, stride: int) -> list[tuple[int, int]]:
    """(left, top) of the patches of `size` pixels, `stride` apart, row by row; none where the image is smaller.

    The last of a row and of a column ends at the border, so that no pixel is left out.
    """
    if size < 1 or stride < 1:
        raise ValueError(f"size and stride must be at least 1; got {size} and {stride}")
    return [(left, top) for top in _starts(height, size, stride) for left in _starts(width, size, stride)]


def _starts(length: int, size: int, stride: int) -> list[int]:
    if length < size:
        return []
    starts = list(range(0, length - size + 1, stride))
    return starts if starts[-1] == length - size else [*starts, length - size]
