"""Figures without global state: matplotlib's objects, not pyplot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Distinguishable with any colour vision (Okabe and Ito), then greys.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")


def new_figure(*, width: float, height: float) -> Figure:
    """An empty figure, in inches; ImportError that says what to install where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("figures need matplotlib: pip install 'pmrf-blocks[plots]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as .png (150 dpi), .svg or .pdf, without the date, so that the same numbers give the same file."""
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise ValueError(f"a figure's suffix must be one of {', '.join(FIGURE_SUFFIXES)}; got {path.name}")
    from matplotlib import rc_context

    dates = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with rc_context({"svg.hashsalt": "pmrf_blocks"}):
        figure.savefig(path, dpi=150, metadata=dates[path.suffix.lower()])
