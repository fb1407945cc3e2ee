"""Identity degrees and landmark distance against their definitions."""

import math

import pytest
import torch

from pmrf_blocks.metrics import identity_degrees, landmark_distance


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 1.0, 60.0, 90.0, 179.999, 180.0])
def test_degrees_of_a_known_angle(degrees):
    angle = math.radians(degrees)
    a = torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64)
    b = 5.0 * torch.tensor([[math.cos(angle), math.sin(angle), 0.0]], dtype=torch.float64)
    assert float(identity_degrees(a, b)) == pytest.approx(degrees, rel=1e-7, abs=1e-12)


def test_degrees_are_the_arc_cosine_of_the_similarity(generator):
    a, b = torch.randn(6, 32, generator=generator), torch.randn(6, 32, generator=generator)
    cosine = torch.nn.functional.cosine_similarity(a.double(), b.double())
    torch.testing.assert_close(identity_degrees(a, b), torch.rad2deg(torch.arccos(cosine)))
    torch.testing.assert_close(identity_degrees(a, b), identity_degrees(b, 3.0 * a))


def test_any_embedder_and_any_detector(generator):
    x, y = (torch.rand(2, 3, 8, 8, generator=generator) for _ in range(2))
    embed = lambda images: images.mean((2, 3))  # noqa: E731
    torch.testing.assert_close(identity_degrees(x, y, embed), identity_degrees(embed(x), embed(y)))
    points = lambda images: images[:, :2, :5, 0].transpose(1, 2)  # noqa: E731
    torch.testing.assert_close(landmark_distance(x, y, points), landmark_distance(points(x), points(y)))


def test_landmark_distance_is_a_mean_of_lengths():
    a = torch.zeros(1, 3, 2)
    b = torch.tensor([[[3.0, 4.0], [0.0, 0.0], [0.0, 1.0]]])
    assert float(landmark_distance(a, b)) == pytest.approx(2.0)
    assert float(landmark_distance(a, b, scale=512 / 256)) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: identity_degrees(x, x[:, :3]), r"embeddings must be two \(B, D\)"),
        (lambda x: identity_degrees(x, 0 * x), "finite and not zero"),
        (lambda x: identity_degrees(x, x * torch.nan), "finite and not zero"),
        (lambda x: landmark_distance(x, x), r"landmarks must be two \(B, K, 2\)"),
        (lambda x: landmark_distance(x.view(1, 4, 2), x.view(1, 4, 2) / 0), "landmarks must be finite"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.ones(2, 4))
