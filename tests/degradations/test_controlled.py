"""PMRF's four controlled degradations against the formulas of its code."""

import copy

import pytest
import torch
import torch.nn.functional as F

from pmrf_blocks.degradations import Colourisation, Denoising, Inpainting, SuperResolution, build_degradation


def images(generator, size=64):
    return 0.3 + 0.4 * torch.rand(2, 3, size, size, generator=generator)


def test_colourisation_has_one_noise_on_one_grey_channel(generator):
    x = torch.full((4, 3, 128, 128), 0.5)
    y, target = Colourisation(sigma=0.1)(x, generator=generator)
    assert torch.equal(target, x)
    assert torch.equal(y[:, 0], y[:, 1])
    assert torch.equal(y[:, 0], y[:, 2])
    assert float((y.mean(1) - 0.5).std()) == pytest.approx(0.1, rel=0.02)  # three noises would leave 0.058


def test_colourisation_of_one_channel_is_the_same_image():
    x = images(torch.Generator().manual_seed(0))
    three, one = (Colourisation(channels=c)(x, generator=torch.Generator().manual_seed(1))[0] for c in (3, 1))
    assert one.shape == (2, 1, 64, 64)
    assert torch.equal(three, one.expand(-1, 3, -1, -1))
    with pytest.raises(ValueError, match="channels must be 1 or 3; got 2"):
        Colourisation(channels=2)


def test_each_is_its_formula():
    x = images(torch.Generator().manual_seed(0))

    def drawn(*shapes):
        g = torch.Generator().manual_seed(3)
        return [torch.rand(s, generator=g) if kind == "u" else torch.randn(s, generator=g) for kind, s in shapes]

    (noise,) = drawn(("n", x.shape))
    mask, noise_behind = drawn(("u", (2, 1, 64, 64)), ("n", x.shape))
    threshold = mask.flatten(1).kthvalue(int(0.9 * 64 * 64) + 1).values.view(2, 1, 1, 1)
    (grey,) = drawn(("n", (2, 1, 64, 64)))
    (small,) = drawn(("n", (2, 3, 8, 8)))
    shrunk = F.interpolate(x, (8, 8), mode="bicubic", antialias=True).clamp(0, 1)
    expected = {
        Denoising(): x + 0.35 * noise,
        Inpainting(): x * (mask >= threshold) + 0.1 * noise_behind,
        Colourisation(): (x.mean(1, keepdim=True) + 0.25 * grey).expand_as(x),
        SuperResolution(): F.interpolate((shrunk + 0.05 * small).clamp(0, 1), (64, 64), mode="nearest-exact"),
    }
    for degradation, y in expected.items():
        ours, target = degradation(x, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(ours, y.clamp(0, 1), rtol=0, atol=1e-6)
        assert torch.equal(target, x)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (9, 7), (1, 1)])
def test_inpainting_masks_a_fixed_number_of_pixels(height, width, generator):
    y, _ = Inpainting(fraction=0.9, sigma=0.0)(torch.ones(5, 3, height, width), generator=generator)
    assert set((y == 0).flatten(1).sum(1).tolist()) == {3 * int(0.9 * height * width)}
    assert torch.equal(y[:, 0], y[:, 2])
    if height > 1:
        assert not torch.equal(y[0], y[1])


@pytest.mark.parametrize("name", ["denoising", "inpainting", "colourisation", "super-resolution"])
def test_parameters_are_all_that_is_random(name):
    degradation, x = build_degradation(name), images(torch.Generator().manual_seed(0), 16)
    parameters = degradation.sample_parameters(tuple(x.shape), torch.Generator().manual_seed(2))
    whole = degradation(x, generator=torch.Generator().manual_seed(2))[0]
    assert torch.equal(degradation.degrade(x, parameters)[0], whole)
    second = {key: value[1:] for key, value in parameters.items()}
    assert torch.equal(copy.deepcopy(degradation).degrade(x[1:], second)[0], whole[1:])


def test_settings_are_the_classes_arguments():
    assert build_degradation("denoising", sigma=0.1).sigma == 0.1
    assert repr(build_degradation("super-resolution", factor=4)) == "SuperResolution(sigma=0.05, factor=4)"
    with pytest.raises(ValueError, match="sigma must be at least 0"):
        Denoising(-1.0)
