"""Formulas against samples and against each other; trained flows against the formulas."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pmrf_blocks.analysis import GaussianRestoration, gaussian_wasserstein
from pmrf_blocks.analysis.gaussian import matrix_power, transport_matrix
from pmrf_blocks.flow import integrate, rectified_flow_loss, sample_time
from pmrf_blocks.metrics import frechet_distance


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_toy(d, m, seed):
    g = generator(seed)
    root, noise = torch.randn(d, d, generator=g).double(), torch.randn(m, m, generator=g).double()
    return GaussianRestoration(
        mean=torch.randn(d, generator=g).double(),
        covariance=root @ root.T + 0.1 * torch.eye(d).double(),
        operator=torch.randn(m, d, generator=g).double(),
        noise=0.3 * (noise @ noise.T) + 0.1 * torch.eye(m).double(),
    )


def plane_toy():
    """Two correlated coordinates, each seen with its own noise: the covariances do not commute."""
    return GaussianRestoration(
        mean=torch.tensor([1.0, -0.5], dtype=torch.float64),
        covariance=torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64),
        operator=torch.eye(2, dtype=torch.float64),
        noise=torch.diag(torch.tensor([0.2, 0.6], dtype=torch.float64)),
    )


def ring_toy():
    """A stationary signal on a ring of 16 samples, blurred and noisy: everything is diagonal in Fourier's basis."""
    lag = torch.arange(16, dtype=torch.float64)
    distance = torch.minimum(lag, 16 - lag)

    def circulant(row):
        return torch.stack([row.roll(i) for i in range(16)])

    blur = torch.exp(-0.5 * (distance / 0.6).square())
    return GaussianRestoration(
        mean=torch.linspace(-1, 1, 16, dtype=torch.float64),
        covariance=circulant(torch.exp(-distance / 4.0)),
        operator=circulant(blur / blur.sum()),
        noise=0.05 * torch.eye(16, dtype=torch.float64),
    )


def test_scalar_case_by_hand():
    one = torch.eye(1, dtype=torch.float64)
    toy = GaussianRestoration(
        mean=torch.zeros(1, dtype=torch.float64), covariance=4 * one, operator=one, noise=12 * one
    )
    assert toy.gain.item() == pytest.approx(0.25)
    assert toy.mean_covariance.item() == pytest.approx(1.0)
    assert toy.irreducible == pytest.approx(3.0)
    assert toy.wasserstein == pytest.approx((2.0 - 1.0) ** 2)
    assert toy.minimum == pytest.approx(4.0)
    assert toy.optimal_map().item() == pytest.approx(2.0)
    assert toy.rectified_map().item() == pytest.approx(2.0)


def test_samples_agree_with_the_formulas():
    toy = random_toy(3, 2, seed=1)
    x, y = toy.sample(200_000, generator(2))
    mean = toy.posterior_mean(y)
    assert float((x - mean).square().sum(1).mean()) == pytest.approx(toy.irreducible, rel=0.01)
    assert torch.allclose(mean.T.cov(), toy.mean_covariance, atol=0.03 * float(toy.mean_covariance.abs().max()))
    assert torch.allclose((x - mean).T @ mean / len(x), torch.zeros(3, 3).double(), atol=0.03)  # orthogonality
    drawn = toy.sample_posterior(y, generator(3))
    assert float((x - drawn).square().sum(1).mean()) == pytest.approx(2 * toy.irreducible, rel=0.01)
    assert torch.allclose(drawn.T.cov(), toy.covariance, atol=0.03 * float(toy.covariance.abs().max()))


@given(d=st.integers(1, 6), seed=st.integers(0, 999))
def test_maps_reach_the_target_and_no_map_beats_the_optimal_one(d, seed):
    toy = random_toy(d, d, seed)
    source, target = toy.mean_covariance, toy.covariance
    best = toy.optimal_map()
    assert torch.allclose(best @ source @ best.T, target, rtol=1e-5, atol=1e-7 * float(target.abs().max()))
    assert toy.distortion(best) == pytest.approx(toy.minimum, rel=1e-6)
    # every map between these two Gaussians is b^(1/2) q a^(-1/2) with an orthogonal q
    q = torch.linalg.qr(torch.randn(d, d, generator=generator(seed), dtype=torch.float64))[0]
    other = matrix_power(target, 0.5) @ q @ matrix_power(source, -0.5)
    assert toy.distortion(other) >= toy.minimum * (1 - 1e-9)
    assert toy.irreducible <= toy.minimum <= 2 * toy.irreducible * (1 + 1e-9)


def fitted(x):
    return x.mean(0), x.T.cov()


@given(d=st.integers(2, 5), seed=st.integers(0, 999))
def test_wasserstein_of_fitted_gaussians_is_the_frechet_distance(d, seed):
    toy, g = random_toy(d, d, seed), generator(seed)
    x, y = toy.sample(40, g)[0], 1.0 + torch.randn(30, d, generator=g, dtype=torch.float64)
    assert gaussian_wasserstein(*fitted(x), *fitted(y)) == pytest.approx(float(frechet_distance(x, y)), rel=1e-6)


def test_rectified_flow_is_optimal_where_covariances_commute_and_close_to_it_elsewhere():
    for toy, tolerance in ((ring_toy(), 1e-8), (plane_toy(), 0.01)):
        matrix = toy.rectified_map()
        assert torch.allclose(matrix @ toy.mean_covariance @ matrix.T, toy.covariance, atol=1e-6)
        assert toy.minimum * (1 - 1e-9) <= toy.distortion(matrix) <= toy.minimum * (1 + tolerance)
    assert not torch.allclose(plane_toy().rectified_map(), plane_toy().optimal_map(), atol=1e-3)


def test_the_velocity_is_what_the_loss_is_least_at():
    toy = plane_toy()
    x, y = toy.sample(100_000, generator(5))
    mean, t = toy.posterior_mean(y), sample_time(100_000, generator=generator(6), dtype=torch.float64)
    least = rectified_flow_loss(toy.velocity, mean, x, t=t)
    for change in (lambda v, x, t: 1.05 * v, lambda v, x, t: v + 0.05, lambda v, x, t: v + 0.05 * x.flip(1)):
        other = rectified_flow_loss(lambda x, t, c=change: c(toy.velocity(x, t), x, t), mean, x, t=t)
        assert other > least


def test_latent_transport_is_optimal_for_scaled_isometries_alone():
    toy = plane_toy()
    turn = torch.tensor([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]], dtype=torch.float64)
    assert toy.distortion(toy.latent_map(3.0 * turn)) == pytest.approx(toy.minimum, rel=1e-12)
    costs = [
        toy.distortion(toy.latent_map(turn @ torch.diag(torch.tensor([1.0, s]).double()))) for s in (2.0, 4.0, 8.0)
    ]
    assert toy.minimum * 1.0001 < costs[0] < costs[1] < costs[2]


class Network(nn.Module):
    def __init__(self, d, width, seed):
        super().__init__()
        sizes = (d + 1, width, width, d)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x, t):
        h = torch.cat([x, t.to(x)[:, None]], dim=1)
        for layer in self.layers[:-1]:
            h = nn.functional.silu(layer(h))
        return self.layers[-1](h)


class Linear(nn.Module):
    """v(x, t) = sum_k T_k(2 t - 1) (W_k x + b_k) in Chebyshev polynomials, by least squares on the loss itself."""

    def __init__(self, d, degree):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(degree + 1, d + 1, d, dtype=torch.float64))

    def forward(self, x, t):
        basis = torch.cos(torch.arange(len(self.weight)) * torch.acos((2 * t.double() - 1).clamp(-1, 1))[:, None])
        features = torch.cat([x.double(), torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
        return torch.einsum("bk,bi,kio->bo", basis, features, self.weight)


def train_network(toy, steps=500, batch=512):
    network, g = Network(len(toy.mean), 64, seed=0), generator(1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    xs, ys = toy.sample(20_000, g)
    means = toy.posterior_mean(ys).float()
    for _ in range(steps):
        rows = torch.randint(len(xs), (batch,), generator=g)
        t = sample_time(batch, distribution="stratified", generator=g)
        loss = rectified_flow_loss(network, means[rows], xs[rows].float(), t=t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


def train_linear(toy, pairs=10_000):
    network, g = Linear(len(toy.mean), degree=5), generator(2)
    x, y = toy.sample(pairs, g)
    mean, t = toy.posterior_mean(y), sample_time(pairs, distribution="stratified", generator=g, dtype=torch.float64)
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=40, history_size=20, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = rectified_flow_loss(network, mean, x, t=t)
        loss.backward()
        return loss

    optimizer.step(closure)
    return network


@pytest.mark.parametrize(
    ("toy", "train"), [(plane_toy(), train_network), (ring_toy(), train_linear)], ids=["2-D", "16-D"]
)
def test_a_trained_flow_lands_at_the_least_distortion_of_perfect_perception(toy, train):
    velocity = train(toy)
    x, y = toy.sample(10_000, generator(9))
    mean = toy.posterior_mean(y).to(next(velocity.parameters()).dtype)
    with torch.no_grad():
        restored = integrate(velocity, mean, steps=25, solver="midpoint").x.double()
    assert float((x - restored).square().sum(1).mean()) == pytest.approx(toy.minimum, rel=0.05)
    # less noisy: by eq. 4, with D* in closed form
    assert toy.irreducible + float((mean.double() - restored).square().sum(1).mean()) == pytest.approx(
        toy.minimum, rel=0.02
    )
    # and it is there for the right reason: the posterior mean would have less, but is not distributed as X
    assert gaussian_wasserstein(*fitted(restored), toy.mean, toy.covariance) < 0.05 * toy.wasserstein
    assert toy.irreducible < 0.97 * toy.minimum < 1.03 * toy.minimum < 2 * toy.irreducible


def test_bad_problems_are_refused():
    eye = torch.eye(2, dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    with pytest.raises(ValueError, match="operator must be"):
        GaussianRestoration(mean=zero, covariance=eye, operator=torch.zeros(1, 2).double(), noise=eye)
    with pytest.raises(ValueError, match="float64"):
        GaussianRestoration(mean=zero.float(), covariance=eye, operator=eye, noise=eye)
    with pytest.raises(ValueError, match="noise must be symmetric"):
        GaussianRestoration(mean=zero, covariance=eye, operator=eye, noise=0 * eye)
    one = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    blind = GaussianRestoration(mean=zero, covariance=eye, operator=one, noise=eye[:1, :1])
    with pytest.raises(ValueError, match="singular"):
        blind.optimal_map()
    assert blind.wasserstein > 0
    with pytest.raises(ValueError, match="singular"):
        transport_matrix(torch.diag(torch.tensor([1.0, 0.0]).double()), eye)
