"""Figures for reports. matplotlib is the optional extra 'plots'; it is looked for when a figure is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pmrf_blocks.whole_files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Distinguishable with any colour vision (Okabe and Ito), then greys.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
# What a format says of itself that would differ from one writing to the next.
CHANGING: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of width x height inches, drawn without a display and without pyplot's global state.

    ImportError says what to install where matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("drawing needs matplotlib: pip install 'pmrf-blocks[plots]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, *, dpi: int = 110) -> Path:
    """Write `figure` in the format that the suffix names; the folder is made. The same figure gives the same bytes.

    OSError where it cannot be written; what was there stays whole then.
    """
    from matplotlib import rc_context

    path = Path(path)
    kind = path.suffix.lower()
    with rc_context({"svg.hashsalt": "pmrf_blocks"}), replacing(path) as temporary:
        figure.savefig(temporary, format=kind[1:], dpi=dpi, metadata=CHANGING.get(kind))
    return path
