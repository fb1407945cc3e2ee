"""Every two-dimensional problem of NATTEN's own tests: windows against natten's, results and gradients against softmax
over the keys that the rule names.

Grids, kernels, strides and dilations are NATTEN's: they make the pattern, and the tiles that a backend cuts it into.
Batch is 1 and head_dim 4: no window depends on them. So that the file takes seconds, a heavy problem is run with one
head (heads of k and v are repeated before any window is cut, and every pair of numbers of heads is in a light problem),
without gradients, and causal along both axes or none; the two heaviest are run without causality only. The windows of
each axis are compared whole, causal or not, in every problem.
"""

from itertools import product

import numpy as np
import pytest
import torch
from natten_problems import PROBLEMS
from natten_rule import mask

from pmrf_blocks.attention import neighborhood_attention_2d
from pmrf_blocks.attention.dense import _axis_mask
from pmrf_blocks.attention.windows import Axis

HEAD_DIM, PROBES = 4, 3
HEAVY, HEAVIEST = 400_000, 40_000_000  # logits
DENSE = 1000  # pixels up to which the dense backend, quadratic in them, is run too
FLAGS = tuple(product((False, True), repeat=2))
AXES = sorted({axis for p in PROBLEMS for axis in zip(p.size, p.kernel, p.stride, p.dilation)})


def test_windows_are_the_rules():
    for size, kernel, stride, dilation in AXES:
        for causal in (False, True):
            axis = Axis(kernel, dilation, stride, causal)
            assert np.array_equal(_axis_mask(size, axis), mask(size, kernel, stride, dilation, causal)), (size, axis)


def test_the_rule_is_nattens():
    flex = pytest.importorskip("natten.backends.flex", reason="natten is not installed")
    for axis, causal in product(AXES, (False, True)):
        theirs = flex.get_na_flex_mask("cpu", 1, *((value,) for value in axis), (causal,)).mask_mod
        place = torch.arange(axis[0], dtype=torch.int32)
        assert np.array_equal(mask(*axis, causal), theirs(None, None, place[:, None], place[None, :])), (axis, causal)


class Case:
    """Inputs of a problem, whose queries each equal one of a few probes.

    A probe's attention is then a ratio of sums over windows, which are products of matrices, one along each axis: all
    queries are checked, in float64, at little cost.
    """

    def __init__(self, problem, heads, generator):
        self.problem, shape = problem, (1, *problem.size)
        self.groups = heads[0] // heads[1]
        self.probes = torch.randn(PROBES, HEAD_DIM, generator=generator)
        self.choice = torch.randint(PROBES, (*shape, heads[0]), generator=generator)
        self.k, self.v = torch.randn(2, *shape, heads[1], HEAD_DIM, generator=generator)

    def leaves(self, dtype):
        return [x.to(dtype).requires_grad_() for x in (self.probes, self.k, self.v)]

    def ours(self, probes, k, v, causal, backend):
        _, kernel, stride, dilation, _ = self.problem
        options = {"stride": stride, "dilation": dilation, "is_causal": causal, "backend": backend}
        return neighborhood_attention_2d(probes[self.choice], k, v, kernel, **options)

    def expected(self, probes, k, v, causal):
        rows, columns = (torch.from_numpy(mask(*axis)).double() for axis in zip(*self.problem[:4], causal))
        k, v = (x[0].repeat_interleave(self.groups, 2) for x in (k, v))
        weights = (torch.einsum("pd,yxnd->pnyx", probes, k) * HEAD_DIM**-0.5).exp()
        both = torch.cat([weights[:, :, None] * v.permute(2, 3, 0, 1), weights[:, :, None]], 2)  # (P, N, D + 1, H, W)
        sums = rows @ both @ columns.mT
        of_probes = (sums[:, :, :-1] / sums[:, :, -1:]).permute(0, 3, 4, 1, 2)  # (P, H, W, N, D)
        return of_probes.take_along_dim(self.choice[..., None], 0)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: str(p[:4]))
def test_results_and_gradients_are_those_of_softmax_over_the_windows(problem, generator):
    light = problem.logits <= HEAVY
    flags = FLAGS if light else FLAGS[::3] if problem.logits <= HEAVIEST else FLAGS[:1]
    pairs = problem.heads if light else ((1, 1),)
    for heads, causal in [(pair, FLAGS[0]) for pair in pairs] + [(pairs[0], causal) for causal in flags[1:]]:
        case = Case(problem, heads, generator)
        leaves = case.leaves(torch.float64)
        with torch.set_grad_enabled(light and causal == FLAGS[0]):
            expected = case.expected(*leaves, causal)
        for backend in ("tiled", "dense") if problem.size[0] * problem.size[1] <= DENSE else ("tiled",):
            name = f"{problem[:4]}, heads {heads}, causal {causal}, {backend}: "
            own = case.leaves(torch.float32)
            with torch.set_grad_enabled(expected.requires_grad):
                out = case.ours(*own, causal, backend)
            torch.testing.assert_close(out, expected.float(), rtol=1e-4, atol=1e-5, msg=name.__add__)
            if out.requires_grad:
                towards = torch.randn(out.shape, generator=generator)
                theirs = torch.autograd.grad(expected, leaves, towards.double(), retain_graph=True)
                for a, b in zip(torch.autograd.grad(out, own, towards), theirs):
                    torch.testing.assert_close(a, b.float(), rtol=1e-3, atol=1e-3, msg=name.__add__)
