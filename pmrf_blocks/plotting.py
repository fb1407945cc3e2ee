"""Figures for reports. matplotlib is the optional extra 'plots'; it is looked for when a figure is made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Style:
    """How figures are drawn: the width in inches of one panel (None: the figure's own), pixels an inch of a PNG, and
    matplotlib's settings."""

    width: float | None
    dpi: int
    settings: Mapping[str, Any] = field(default_factory=dict)


STYLES = {
    "screen": Style(None, 110),
    # A column of a two-column paper in Times: what matplotlib brings of that kind, lines and letters to fit.
    "paper": Style(
        3.35,
        300,
        {
            "font.family": ["STIXGeneral", "DejaVu Serif"],
            "mathtext.fontset": "stix",
            "font.size": 8.0,
            "axes.titlesize": 8.0,
            "axes.labelsize": 8.0,
            "xtick.labelsize": 7.0,
            "ytick.labelsize": 7.0,
            "axes.linewidth": 0.6,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
        },
    ),
}


@contextlib.contextmanager
def figure_style(name: str) -> Iterator[Style]:
    """One of STYLES for what is drawn inside; save_figure() is told it too.

    ValueError for an unknown name, ImportError where matplotlib is missing.
    """
    if name not in STYLES:
        raise ValueError(f"style must be one of {', '.join(map(repr, STYLES))}; got {name!r}")
    with _matplotlib().rc_context(dict(STYLES[name].settings)):
        yield STYLES[name]


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise ImportError("drawing needs matplotlib: pip install 'pmrf-blocks[plots]'") from None
    return matplotlib


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


def save_figure(figure: Figure, path: str | Path, *, style: str = "screen") -> Path:
    """Write `figure` in the format that the suffix names; the folder is made. The same figure gives the same bytes.

    `style` is the one that it was drawn in: matplotlib chooses the letters of ticks when it writes. OSError where it
    cannot be written; what was there stays whole then.
    """
    path = Path(path)
    kind = path.suffix.lower()
    # Fonts go into a PDF as TrueType (42), which journals ask for and every program can edit.
    settings = {"svg.hashsalt": "pmrf_blocks", "pdf.fonttype": 42}
    with figure_style(style) as chosen, _matplotlib().rc_context(settings), replacing(path) as temporary:
        figure.savefig(temporary, format=kind[1:], dpi=chosen.dpi, metadata=CHANGING.get(kind))
    return path
