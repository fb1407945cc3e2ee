"""Analyses of finished work: what the paper's figures 1, 3 and 5 and its theory say, measured.

decomposition.py   decompose(), split_distortion(): theorem 2 and eq. 4, term by term
isometry.py        isometry(), pairwise_isometry(): how far a map is from keeping distances
source_options.py  compare_sources(), finite_posterior(): option 1 against option 2 of appendix A.2
gaussian.py        GaussianRestoration: a restoration problem with every answer in closed form
convergence.py     speedup(): how much sooner one run reaches another's end
plane.py           pareto_front(), draw_plane(): the perception-distortion plane
grid.py            draw_grid(), grid_figure(): methods beside one another, with enlarged parts
evaluations.py     read_evaluations(): evaluation files as points of the plane
scores.py          higher_is_better()
"""

from pmrf_blocks.analysis.convergence import (
    Curve,
    Speedup,
    StatsError,
    draw_convergence,
    read_stats,
    speedup,
    stats_curve,
)
from pmrf_blocks.analysis.decomposition import Decomposition, Distortion, decompose, split_distortion
from pmrf_blocks.analysis.evaluations import EvaluationError, Point, Score, read_evaluations
from pmrf_blocks.analysis.gaussian import GaussianRestoration, gaussian_wasserstein
from pmrf_blocks.analysis.grid import GridRow, Zoom, draw_grid, grid_figure
from pmrf_blocks.analysis.isometry import Isometry, isometry, pairwise_isometry
from pmrf_blocks.analysis.plane import Axis, draw_plane, pareto_front, plane_rows
from pmrf_blocks.analysis.scores import higher_is_better
from pmrf_blocks.analysis.source_options import SourceOptions, compare_sources, finite_posterior, perplexity

__all__ = [
    "Axis",
    "Curve",
    "Decomposition",
    "Distortion",
    "EvaluationError",
    "GaussianRestoration",
    "GridRow",
    "Isometry",
    "Point",
    "Score",
    "SourceOptions",
    "Speedup",
    "StatsError",
    "Zoom",
    "compare_sources",
    "decompose",
    "draw_convergence",
    "draw_grid",
    "draw_plane",
    "finite_posterior",
    "gaussian_wasserstein",
    "grid_figure",
    "higher_is_better",
    "isometry",
    "pairwise_isometry",
    "pareto_front",
    "perplexity",
    "plane_rows",
    "read_evaluations",
    "read_stats",
    "speedup",
    "split_distortion",
    "stats_curve",
]
