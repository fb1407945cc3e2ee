"""RRDB against a plain restatement from its weights by name; the exact collapse of expanded convolutions."""

import pytest
import torch
import torch.nn.functional as F

from pmrf_blocks.estimators import RRDB, elir_rrdb


def small(**changes):
    torch.manual_seed(0)
    net = RRDB(**{"channels": 4, "hidden": 6, "blocks": 2, **changes})
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net.double().eval()


def restated(weights, z, blocks):
    """The published network, block by block; an expanded convolution is two, one after the other."""

    def conv(name, x):
        x = F.conv2d(x, weights[f"{name}.block.0.weight"], weights[f"{name}.block.0.bias"], padding=1)
        if f"{name}.block.1.weight" in weights:
            x = F.conv2d(x, weights[f"{name}.block.1.weight"], weights[f"{name}.block.1.bias"])
        return x

    y = z
    for i in range(blocks):
        inner = y
        for j in (1, 2, 3):
            name = f"lrm.{i}.RDB{j}"
            parts = [inner]
            for k in (1, 2, 3, 4):
                part = conv(f"{name}.conv{k}", torch.cat(parts, 1))
                parts.append(part * torch.sigmoid(part))
            inner = inner + 0.2 * conv(f"{name}.conv5", torch.cat(parts, 1))
        y = y + 0.2 * inner
    return z + y


@pytest.mark.parametrize("expanded", [False, True])
def test_equals_the_published_formula(expanded, generator):
    net = small(expanded=expanded)
    z = torch.randn(2, 4, 5, 7, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(net(z), restated(net.state_dict(), z, 2), rtol=1e-12, atol=1e-12)


def test_collapse_changes_nothing(generator, tmp_path):
    net = small(expanded=True)
    z = torch.randn(1, 4, 6, 3, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        before = net(z)
        torch.testing.assert_close(net.collapse()(z), before, rtol=1e-10, atol=1e-10)
    assert net.state_dict().keys() == small().state_dict().keys()
    net.float().save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(RRDB.from_pretrained(tmp_path)(z.float()), net(z.float()))


def test_parameters_of_the_preset():
    with torch.device("meta"):
        assert sum(p.numel() for p in elir_rrdb().parameters()) == 5_498_640
        assert sum(p.numel() for p in elir_rrdb(32).parameters()) == 6_556_320


def test_any_size_and_every_parameter_learns(generator):
    net = small(expanded=True).float()
    for size in ((1, 1), (2, 9)):
        z = torch.randn(2, 4, *size, generator=generator)
        assert net(z).shape == z.shape
    net(torch.randn(1, 4, 5, 5, generator=generator)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_bad_arguments():
    with pytest.raises(ValueError, match="hidden must be at least 1; got 0"):
        RRDB(hidden=0)
    for shape in ((1, 3, 8, 8), (4, 8, 8), (1, 4, 0, 8)):
        with pytest.raises(ValueError, match=r"latents must be \(B, 4, h, w\), none of them 0"):
            small()(torch.zeros(shape, dtype=torch.float64))
