"""Shifted-window attention against full attention under a mask that knows of no windows, shifts or padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pmrf_blocks.attention import global_attention, shifted_window_attention_2d


def restated(q, k, v, window, shift, scale):
    """Two pixels see each other if their places, moved by the shift, fall into one window without wrapping round."""
    height, width = q.shape[1:3]
    groups = []
    for size in (height, width):
        place = torch.arange(size) + (shift if size >= window else 0)
        groups.append(place // window)
    together = (groups[0][:, None, None, None] == groups[0][None, None, :, None]) & (
        groups[1][None, :, None, None] == groups[1][None, None, None, :]
    )
    logits = torch.einsum("byxnd,bvund->bnyxvu", q, k) * scale
    logits = logits.masked_fill(~together, float("-inf")).flatten(4).softmax(-1)
    return torch.einsum("bnyxs,bsnd->byxnd", logits, v.flatten(1, 2))


@settings(max_examples=20)
@given(st.integers(1, 13), st.integers(1, 13), st.integers(1, 6), st.data())
def test_equals_full_attention_under_its_mask(height, width, window, data):
    shift = data.draw(st.integers(0, window - 1))
    q, k, v = torch.randn(3, 2, height, width, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = shifted_window_attention_2d(q, k, v, window, shift=shift, scale=0.7)
    torch.testing.assert_close(ours, restated(q, k, v, window, shift, 0.7), rtol=1e-9, atol=1e-9)


def test_one_window_is_global_attention_and_gradients_reach_everything():
    q, k, v = (x.requires_grad_() for x in torch.randn(3, 1, 5, 6, 2, 8, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(shifted_window_attention_2d(q, k, v, 8, shift=4), global_attention(q, k, v))
    shifted_window_attention_2d(q, k, v, 4, shift=2).square().sum().backward()
    assert all(bool(torch.isfinite(x.grad).all() and (x.grad != 0).any((3, 4)).all()) for x in (q, k, v))


def test_bad_arguments():
    q = torch.zeros(1, 4, 4, 1, 4)
    for window, shift in ((0, 0), (4, 4), (4, -1)):
        with pytest.raises(ValueError, match="window_size must be at least 1 and shift between"):
            shifted_window_attention_2d(q, q, q, window, shift=shift)
    with pytest.raises(ValueError, match="one floating dtype"):
        shifted_window_attention_2d(q, q.double(), q, 2)
