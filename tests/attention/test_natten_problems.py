"""The problems that NATTEN tests its own kernels on: every window rule against natten's, every result against softmax
over the keys that the rule names, for some queries of each."""

from itertools import product

import numpy as np
import pytest
import torch

from pmrf_blocks.attention import neighborhood_attention_2d
from pmrf_blocks.attention.dense import _axis_mask
from pmrf_blocks.attention.windows import Axis

# heads, heads of k and v, size, kernel, stride, dilation
PROBLEMS = [
    (4, 4, (5, 25), (5, 16), (1, 16), (1, 1)),
    (4, 2, (5, 25), (5, 16), (1, 16), (1, 1)),
    (4, 1, (5, 25), (5, 16), (4, 16), (1, 1)),
    (1, 1, (84, 19), (7, 3), (1, 1), (5, 1)),
    (1, 1, (19, 29), (8, 8), (1, 1), (2, 3)),
    (1, 1, (48, 17), (24, 16), (1, 1), (2, 1)),
    (1, 1, (67, 80), (12, 7), (8, 4), (5, 11)),
    (1, 1, (8, 8), (8, 8), (1, 1), (1, 1)),
    (1, 1, (33, 33), (24, 16), (1, 1), (1, 1)),
    (1, 1, (40, 20), (3, 7), (1, 1), (1, 1)),
    (1, 1, (16, 16), (3, 3), (1, 1), (1, 1)),
    (1, 1, (44, 80), (9, 10), (1, 1), (1, 1)),
    (1, 1, (28, 40), (17, 31), (1, 1), (1, 1)),
    (1, 1, (36, 40), (36, 40), (12, 13), (1, 1)),
    (1, 1, (44, 80), (44, 80), (4, 8), (1, 1)),
    (1, 1, (84, 69), (7, 68), (1, 1), (5, 1)),
    (1, 1, (84, 69), (7, 20), (1, 6), (5, 1)),
    (1, 1, (64, 64), (32, 32), (1, 1), (1, 2)),
    (1, 1, (17, 48), (16, 24), (1, 1), (1, 2)),
    (1, 1, (72, 80), (24, 16), (1, 1), (3, 5)),
    (1, 1, (44, 80), (24, 24), (8, 16), (1, 1)),
    (1, 1, (16, 16), (15, 14), (4, 5), (1, 1)),
    (1, 1, (48, 80), (24, 24), (8, 8), (1, 1)),
]
HEAD_DIM, QUERIES = 8, 24


def rule(size, kernel, stride, dilation, causal):
    """The natten package's own mask of one axis, (size, size) bool."""
    flex = pytest.importorskip("natten.backends.flex", reason="natten is not installed")
    mask = flex.get_na_flex_mask("cpu", 1, (size,), (kernel,), (stride,), (dilation,), (causal,)).mask_mod
    place = torch.arange(size, dtype=torch.int32)
    return mask(None, None, place[:, None], place[None, :]).numpy()


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_windows_are_nattens(problem):
    for size, kernel, stride, dilation in zip(*problem[2:]):
        for causal in (False, True):
            ours = _axis_mask(size, Axis(kernel, dilation, stride, causal))
            assert np.array_equal(ours, rule(size, kernel, stride, dilation, causal))


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_results_are_softmax_over_the_windows(problem, generator):
    heads, shared, size, kernel, stride, dilation = problem
    q = torch.randn(1, *size, heads, HEAD_DIM, generator=generator)
    k, v = torch.randn(2, 1, *size, shared, HEAD_DIM, generator=generator)
    keys, values = (x[0].repeat_interleave(heads // shared, 2).double() for x in (k, v))
    places = torch.stack([torch.randint(side, (QUERIES,), generator=generator) for side in size], 1)
    for causal in product((False, True), repeat=2):
        ours = neighborhood_attention_2d(q, k, v, kernel, stride=stride, dilation=dilation, is_causal=causal)
        masks = [
            torch.from_numpy(_axis_mask(side, Axis(*axis)))
            for side, *axis in zip(size, kernel, dilation, stride, causal)
        ]
        for y, x in places.tolist():
            own = keys[masks[0][y]][:, masks[1][x]].flatten(0, 1), values[masks[0][y]][:, masks[1][x]].flatten(0, 1)
            weights = (torch.einsum("nd,knd->nk", q[0, y, x].double(), own[0]) * HEAD_DIM**-0.5).softmax(-1)
            expected = torch.einsum("nk,knd->nd", weights, own[1]).float()
            torch.testing.assert_close(ours[0, y, x], expected, rtol=1e-5, atol=1e-5)
