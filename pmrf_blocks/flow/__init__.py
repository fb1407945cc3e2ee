"""Flows from source to target.

time.py     sample_time(): times at which a flow is trained
source.py   add_source_noise(): what a flow starts from
losses.py   rectified_flow_loss(), consistency_flow_matching_loss()
solvers.py  integrate() and the table SOLVERS
"""

from pmrf_blocks.flow.losses import consistency_flow_matching_loss, interpolate, rectified_flow_loss
from pmrf_blocks.flow.solvers import SOLVERS, IntegrationResult, Tableau, integrate
from pmrf_blocks.flow.source import add_source_noise
from pmrf_blocks.flow.time import DISTRIBUTIONS, sample_time

__all__ = [
    "DISTRIBUTIONS",
    "SOLVERS",
    "IntegrationResult",
    "Tableau",
    "add_source_noise",
    "consistency_flow_matching_loss",
    "integrate",
    "interpolate",
    "rectified_flow_loss",
    "sample_time",
]
