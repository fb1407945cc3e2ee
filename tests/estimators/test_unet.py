"""The small estimator: any size, identity at the start, gradients everywhere, bit-exact saving."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pmrf_blocks.estimators import UNet


def tiny(trained: bool = True) -> UNet:
    torch.manual_seed(0)
    net = UNet(widths=(8, 12), blocks=(1, 2), unshuffle=2)
    if trained:  # the zero-initialised layers filled, so that nothing is the identity
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


@given(batch=st.integers(1, 3), height=st.integers(1, 19), width=st.integers(1, 19))
def test_any_size(batch, height, width):
    y = torch.rand(batch, 3, height, width)
    assert tiny()(y).shape == y.shape


def test_starts_as_the_identity(generator):
    y = torch.rand(2, 3, 9, 13, generator=generator)
    assert torch.equal(tiny(trained=False)(y), y)


def test_gradients_reach_every_parameter(generator):
    net = tiny()
    net(torch.rand(1, 3, 8, 8, generator=generator)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_images_of_a_batch_do_not_mix(generator):
    y = torch.rand(3, 3, 10, 6, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(tiny()(y)[1:2], tiny()(y[1:2]), rtol=1e-5, atol=1e-6)


def test_save_and_load_bit_for_bit(tmp_path):
    net = tiny()
    net.save_pretrained(tmp_path)
    again = UNet.from_pretrained(tmp_path)
    y = torch.rand(1, 3, 8, 8)
    assert torch.equal(net(y), again(y))


def test_bad_arguments():
    with pytest.raises(ValueError, match="of one length"):
        UNet(widths=(8,), blocks=(1, 1))
    with pytest.raises(ValueError, match=r"images must be \(B, 3, H, W\); got \(3, 8, 8\)"):
        tiny()(torch.zeros(3, 8, 8))
