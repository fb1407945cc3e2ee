"""Theorem 2 and eq. 4: sums to rounding, terms by hand, and what each term answers to."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_gaussian import generator, plane_toy

from pmrf_blocks.analysis import decompose, split_distortion
from pmrf_blocks.analysis import decomposition as module
from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.flow import integrate


@given(seed=st.integers(0, 999), scale=st.sampled_from((1e-3, 1.0, 1e3)), shift=st.sampled_from((0.0, 100.0)))
def test_the_terms_sum_to_the_left_side_for_any_maps(seed, scale, shift):
    g = generator(seed)
    a, b, c = (torch.randn(12, 12, generator=g) for _ in range(3))
    mean = shift + scale * torch.randn(5, 3, 2, 2, generator=g)
    result = decompose(
        mean,
        encode=lambda x: x.flatten(1) @ a,
        decode=lambda z: torch.tanh(z @ b).view(-1, 3, 2, 2),
        transport=lambda z: z + torch.sin(z @ c),
        batch=2,
    )
    assert result.residual < 1e-12
    means = result.means()
    assert means["total"] == pytest.approx(means["reconstruction"] + means["transport"] + 2 * means["inner"], rel=1e-12)
    assert torch.allclose(result.total, (mean.double() - result.restored.double()).square().flatten(1).mean(1))


def test_terms_by_hand():
    mean = torch.tensor([[4.0, 0.0]])
    result = decompose(mean, encode=lambda x: x, decode=lambda z: z - 1.0, transport=lambda z: z + 3.0)
    # reconstruction moves each coordinate by -1, transport by +3: X* - D(E(X*)) = (1, 1), D(E(X*)) - X^ = (-3, -3)
    assert result.means() == pytest.approx({"total": 4.0, "reconstruction": 1.0, "transport": 9.0, "inner": -3.0})


def test_a_network_and_a_flow():
    torch.manual_seed(0)
    vae = SimVAE(latent_channels=2, channels=(4, 8), blocks_per_level=1, middle_blocks=1)
    mean = torch.rand(3, 3, 8, 8, generator=generator())
    result = decompose(
        mean, lambda x: vae.encode(x).mode(), vae.decode, lambda z: integrate(lambda x, t: 0.1 * x, z, steps=3).x
    )
    assert result.residual < 1e-12
    assert torch.equal(
        decompose(mean, lambda x: vae.encode(x).mode(), vae.decode, lambda z: z).transport, torch.zeros(3)
    )


def test_reconstruction_does_not_depend_on_the_transport_and_vanishes_for_a_perfect_autoencoder():
    mean = torch.randn(4, 6, generator=generator())

    def lossy(z):
        return z.round()

    terms = [decompose(mean, lambda x: x, lossy, lambda z, s=s: s * z) for s in (1.0, 2.0)]
    assert torch.equal(terms[0].reconstruction, terms[1].reconstruction)
    assert float(terms[0].reconstruction.min()) > 0
    perfect = decompose(mean, lambda x: 2 * x, lambda z: z / 2, lambda z: z + 1)
    assert float(perfect.reconstruction.max()) == float(perfect.inner.abs().max()) == 0.0


def test_a_wrong_term_is_noticed(monkeypatch):
    mean = torch.randn(4, 6, generator=generator())
    real = module._flat
    calls = []

    def crooked(x):
        calls.append(x)
        return real(x) * (1.0 + 1e-6 * (len(calls) == 1))

    monkeypatch.setattr(module, "_flat", crooked)
    with pytest.raises(ArithmeticError, match="miss their sum"):
        decompose(mean, lambda x: x, lambda z: z, lambda z: z + 1)


def test_orthogonality_holds_for_the_posterior_mean_and_fails_for_another_estimator():
    toy = plane_toy()
    x, y = toy.sample(50_000, generator(1))
    mean = toy.posterior_mean(y)
    centre = toy.mean
    restored = centre + (mean - centre) @ toy.optimal_map().T
    split = split_distortion(x, mean, restored)
    sums = split.means()
    assert abs(sums["cross"]) < 4 * split.cross_error()
    assert sums["total"] == pytest.approx(sums["irreducible"] + sums["optimizable"] + 2 * sums["cross"], rel=1e-12)
    assert 2 * sums["irreducible"] == pytest.approx(toy.irreducible, rel=0.03)  # means over two coordinates
    assert 2 * sums["optimizable"] == pytest.approx(toy.wasserstein, rel=0.03)
    worse = split_distortion(x, centre + 0.8 * (mean - centre), restored)
    assert abs(worse.means()["cross"]) > 20 * worse.cross_error()


def test_bad_input_is_refused():
    mean = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"decode\(encode\(mean\)\) must be \(2, 3\)"):
        decompose(mean, lambda x: x, lambda z: z[:, :2], lambda z: z)
    with pytest.raises(ValueError, match=r"transport.*not finite"):
        decompose(mean, lambda x: x, lambda z: z, lambda z: z / 0)
    with pytest.raises(ValueError, match="at least one image"):
        decompose(mean[:0], lambda x: x, lambda z: z, lambda z: z)
    with pytest.raises(ValueError, match="one shape"):
        split_distortion(mean, mean, mean[:1])
