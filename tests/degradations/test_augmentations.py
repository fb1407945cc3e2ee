"""Degradations inside kornia's containers: seeds, replays, gates, targets."""

import subprocess
import sys

import pytest
import torch
from kornia.augmentation import AugmentationSequential, ColorJiggle, ImageSequential, RandomHorizontalFlip

from pmrf_blocks.degradations import (
    BlindFaceDegradation,
    Colourisation,
    Denoising,
    Inpainting,
    SuperResolution,
    augmentations,
)
from pmrf_blocks.degradations.augmentations import PairSequential, RandomBlindFace, RandomGreyscale

NAMES = [name for name in augmentations.__all__ if name not in ("PairSequential", "RandomDegradation")]
PIPELINES = {
    "RandomBlindFace": BlindFaceDegradation,
    "RandomDenoising": Denoising,
    "RandomInpainting": Inpainting,
    "RandomColourisation": Colourisation,
    "RandomSuperResolution": SuperResolution,
}


def build(name, **options):
    return getattr(augmentations, name)(**options)


@pytest.fixture
def x():
    return torch.rand(3, 3, 24, 20, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PIPELINES)
def test_one_seed_gives_the_pixels_of_our_generator(name, x):
    expected, target = PIPELINES[name]()(x, generator=torch.Generator().manual_seed(7))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        assert torch.equal(build(name)(x), expected)
        torch.manual_seed(7)
        degraded, follows = PairSequential(build(name))(x, x)
    assert torch.equal(degraded, expected)
    assert torch.equal(follows, target)
    assert torch.equal(build(name, generator=torch.Generator().manual_seed(7))(x), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_generator_of_its_own_leaves_the_global_one_alone(name, x):
    state = torch.get_rng_state()
    build(name, generator=torch.Generator().manual_seed(0))(x)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", NAMES)
def test_given_parameters_do_the_same_again(name, x):
    augmentation = build(name, p=0.5)
    for container in (augmentation, ImageSequential(augmentation), AugmentationSequential(augmentation)):
        first = container(x)
        assert first.shape == x.shape
        assert 0 <= float(first.min()) <= float(first.max()) <= 1
        kept = container._params
        container(x.flip(0))
        assert torch.equal(container(x, params=kept), first)
    drawn = augmentation.generate_parameters(x.shape)
    assert all(len(value) == len(x) for value in drawn.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_the_parameters_is_an_image(name, x):
    augmentation = build(name)
    together = augmentation(x)
    own = {key: value if key == "forward_input_shape" else value[1:2] for key, value in augmentation._params.items()}
    alone = augmentation(x[1:2], params=own)
    assert float((together[1:2] - alone).abs().max()) <= 1 / 255 + 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_same_on_batch_keepdim_and_gate(name, x):
    same = build(name, same_on_batch=True)(x[:1].expand(3, -1, -1, -1))
    assert torch.equal(same[0], same[1])
    assert torch.equal(same[0], same[2])
    container = AugmentationSequential(build(name), same_on_batch=True)(x[:1].expand(3, -1, -1, -1))
    assert torch.equal(container[0], container[2])
    assert build(name)(x[0]).shape == (1, 3, 24, 20)
    assert build(name, keepdim=True)(x[0]).shape == (3, 24, 20)
    assert torch.equal(build(name, p=0.0)(x), x)
    assert build(name)(x[:0]).shape == x[:0].shape
    assert build(name)(x.double()).dtype == torch.float64


@pytest.mark.parametrize("name", NAMES)
def test_only_chosen_images_are_degraded(name, x, monkeypatch):
    augmentation, seen = build(name, p=0.5), []
    degrade = augmentation.degrade
    monkeypatch.setattr(augmentation, "degrade", lambda x, params: seen.append(len(x)) or degrade(x, params))
    whole = build(name)
    params = {**whole.generate_parameters(x.shape), "batch_prob": torch.tensor([1.0, 0.0, 1.0])}
    found, every = augmentation(x, params=params), whole(x, params=dict(params))
    assert seen == [2]
    assert torch.equal(found[1], x[1])
    assert float((found[[0, 2]] - every[[0, 2]]).abs().max()) <= 1 / 255 + 1e-6


def test_settings_are_printed():
    for name, settings in (("RandomBlindFace", {"grey": 0.5}), ("RandomJPEG", {"quality": (5, 9)})):
        ((key, value),) = settings.items()
        assert f"{key}={value}" in repr(build(name, **settings))


def test_images_that_the_gate_skips_stay(x):
    augmentation = build("RandomDenoising", p=0.5, generator=torch.Generator().manual_seed(0))
    degraded = augmentation(x.repeat(20, 1, 1, 1))
    applied = augmentation._params["batch_prob"] > 0.5
    assert 10 < int(applied.sum()) < 50
    untouched = (degraded == x.repeat(20, 1, 1, 1)).flatten(1).all(1)
    assert torch.equal(untouched, ~applied)


def grey(image):
    return bool((image[:, 0] == image[:, 1]).all() and (image[:, 1] == image[:, 2]).all())


@pytest.mark.parametrize("augmentation", [RandomBlindFace(grey=1.0), RandomGreyscale()], ids=["blind-face", "grey"])
def test_the_grey_target_follows_its_image(augmentation, x):
    degraded, target = PairSequential(augmentation)(x, x)
    assert grey(degraded)
    assert grey(target)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    torch.testing.assert_close(target[:, :1], (x * weights).sum(1, keepdim=True))
    as_mask = AugmentationSequential(augmentation, data_keys=["input", "mask"])(x, x)[1]
    assert torch.equal(as_mask, target)


def test_only_some_targets_turn_grey(x):
    pair = PairSequential(RandomBlindFace(grey=0.5, generator=torch.Generator().manual_seed(3)))
    images = x.repeat(10, 1, 1, 1)
    degraded, target = pair(images, images)
    greys = pair._params[0].data["grey"]
    assert 5 < int(greys.sum()) < 25
    for i, is_grey in enumerate(greys.tolist()):
        assert grey(degraded[i : i + 1]) == grey(target[i : i + 1]) == is_grey
        if not is_grey:
            assert torch.equal(target[i], images[i])


def test_everything_else_treats_both_images_alike(x):
    pair = PairSequential(
        ColorJiggle(0.2, 0.2, 0.2, 0.1, p=1.0), RandomHorizontalFlip(p=0.5), build("RandomDenoising", sigma=0.0)
    )
    degraded, target = pair(x, x)
    assert torch.equal(degraded, target)
    assert not torch.equal(target, x)
    again = pair(x, x, params=pair._params)
    assert torch.equal(again[1], target)
    named = PairSequential(RandomBlindFace(grey=1.0), data_keys=None)({"input": x, "image": x})
    assert grey(named["image"])
    assert not torch.equal(named["input"], named["image"])
    one = PairSequential(RandomBlindFace(), data_keys=["input"])(x)
    assert one.shape == x.shape


def test_a_degradation_inside_another_container_is_refused():
    with pytest.raises(ValueError, match="one is in ImageSequential"):
        PairSequential(ImageSequential(RandomBlindFace()))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("RandomJPEG", {"quality": (0, 50)}, r"quality must be a range \(low, high\) inside \[1, 100\]"),
        ("RandomGaussianBlur", {"sigma": (2.0, 1.0)}, "sigma must be a range"),
        ("RandomGaussianBlur", {"kernel_size": 4}, "kernel_size must be odd"),
        ("RandomDownscale", {"factor": (0.0, 1.0)}, "factor must be a range"),
        ("RandomMask", {"fraction": 2.0}, "fraction must be in"),
        ("RandomBlindFace", {"quality": (0, 50)}, "quality must be a range"),
    ],
)
def test_bad_arguments(name, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, **options)


def test_kornia_is_imported_with_the_augmentations_alone():
    code = "import sys, pmrf_blocks.degradations; print('kornia' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
