"""Flows from source to target.

time.py            sample_time(): times at which a flow is trained
source.py          add_source_noise(): what a flow starts from
losses.py          rectified_flow_loss(), consistency_flow_matching_loss()
few_steps.py       reflow_pairs(), mean_flow_loss() and what samples with it
residual_shift.py  ResShift's diffusion, which is none, on the same ends: its transitions, loss and sampler
solvers.py         integrate(), the table SOLVERS, solvers of one's own
adaptive.py        Dopri5, which chooses its steps
evaluation.py      the velocity as solvers call it
"""

from pmrf_blocks.flow.adaptive import Adaptive, Dopri5
from pmrf_blocks.flow.few_steps import integrate_mean_flow, mean_flow_loss, reflow_pairs, sample_time_pairs
from pmrf_blocks.flow.losses import consistency_flow_matching_loss, interpolate, rectified_flow_loss
from pmrf_blocks.flow.residual_shift import ResidualShift, residual_shift_loss, sample_residual_shift
from pmrf_blocks.flow.solvers import SOLVERS, IntegrationResult, Solver, Tableau, find_solver, integrate, list_solvers
from pmrf_blocks.flow.source import add_source_noise
from pmrf_blocks.flow.time import DISTRIBUTIONS, sample_time

__all__ = [
    "DISTRIBUTIONS",
    "SOLVERS",
    "Adaptive",
    "Dopri5",
    "IntegrationResult",
    "ResidualShift",
    "Solver",
    "Tableau",
    "add_source_noise",
    "consistency_flow_matching_loss",
    "find_solver",
    "integrate",
    "integrate_mean_flow",
    "interpolate",
    "list_solvers",
    "mean_flow_loss",
    "rectified_flow_loss",
    "reflow_pairs",
    "residual_shift_loss",
    "sample_residual_shift",
    "sample_time",
    "sample_time_pairs",
]
