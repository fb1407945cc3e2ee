"""Distance ratios of maps whose ratios are known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_gaussian import generator

from pmrf_blocks.analysis import isometry, pairwise_isometry


@given(seed=st.integers(0, 999), d=st.integers(1, 8), scale=st.sampled_from((0.01, 1.0, 30.0)))
def test_a_scaled_rotation_has_no_defect(seed, d, scale):
    g = generator(seed)
    q = torch.linalg.qr(torch.randn(d, d, generator=g, dtype=torch.float64))[0]
    x = torch.randn(6, d, generator=g, dtype=torch.float64)
    found = pairwise_isometry(lambda x: scale * x @ q + 5.0, x, batch=4)
    assert len(found.ratios) == 15
    assert found.defect < 1e-9
    assert found.distortion == pytest.approx(1.0)
    assert found.scale == pytest.approx(scale)


def test_ratios_by_hand():
    x, y = torch.zeros(3, 2), torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]])
    found = isometry(lambda z: z * torch.tensor([1.0, 4.0]), x, y)
    assert found.ratios.tolist() == pytest.approx([1.0, 4.0, math.hypot(3, 16) / 5])
    assert found.distortion == pytest.approx(4.0)
    assert found.quantile(1.0) == pytest.approx(4.0)
    two = isometry(lambda z: z * torch.tensor([1.0, 4.0]), x[:2], y[:2])
    assert two.scale == pytest.approx(2.0)
    assert two.defect == pytest.approx(math.log(2.0))


def test_all_pairs_equal_the_pairs_one_by_one_even_for_small_distances():
    x = 1.0 + 1e-5 * torch.randn(5, 7, generator=generator())
    first, second = torch.triu_indices(5, 5, offset=1)
    one_by_one = isometry(torch.tanh, x[first], x[second])
    assert torch.allclose(pairwise_isometry(torch.tanh, x).ratios, one_by_one.ratios, rtol=1e-9)


def test_a_map_that_loses_a_difference_has_an_infinite_defect():
    found = isometry(lambda z: z[:, :1], torch.zeros(2, 2), torch.eye(2))
    assert found.ratios.tolist() == [1.0, 0.0]
    assert found.defect == found.distortion == math.inf


def test_bad_pairs_are_refused():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"equal: numbers 0, 1, 2 \(3 in all\)"):
        isometry(lambda z: z, x, x)
    with pytest.raises(ValueError, match="3 of 3 pairs"):
        pairwise_isometry(lambda z: z, x)
    with pytest.raises(ValueError, match="one shape"):
        isometry(lambda z: z, x, x[:2])
    with pytest.raises(ValueError, match="at least two"):
        pairwise_isometry(lambda z: z, x[:1])
    with pytest.raises(ValueError, match="not finite"):
        isometry(lambda z: z / 0, x, x + 1)
