"""Degradations against OpenCV, Pillow and plain formulas."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import astronaut

from pmrf_blocks.degradations import (
    JPEG,
    PIPELINES,
    BlindFaceDegradation,
    GaussianBlur,
    GaussianNoise,
    Greyscale,
    RandomMask,
    Resize,
    build_degradation,
    gaussian_kernel,
)


def photograph(height, width, left=150):
    """A crop of a real picture, (1, 3, H, W) on the 8-bit grid."""
    crop = astronaut()[:height, left : left + width]
    return torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 255.0


def to_cv(x):
    return x[0].permute(1, 2, 0).numpy()


def from_cv(image):
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]


def test_kernel_is_basicsrs_formula():
    size, sx, sy, theta = 7, 1.3, 2.1, 0.6
    u = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    inverse = np.linalg.inv(u @ np.diag([sx**2, sy**2]) @ u.T)
    axis = np.arange(size) - size // 2
    grid = np.stack(np.meshgrid(axis, axis), -1)
    expected = np.exp(-0.5 * np.einsum("yxi,ij,yxj->yx", grid, inverse, grid))
    ours = gaussian_kernel(size, *(torch.tensor(v, dtype=torch.float64) for v in (sx, sy, theta)))
    np.testing.assert_allclose(ours.numpy(), expected / expected.sum(), rtol=1e-10)


@given(size=st.integers(0, 10), sx=st.floats(0.1, 9), sy=st.floats(0.1, 9), theta=st.floats(-4, 4))
def test_kernels_sum_to_one_and_are_symmetric(size, sx, sy, theta):
    kernel = gaussian_kernel(2 * size + 1, sx, sy, theta)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(kernel, kernel.flip(0, 1))


@pytest.mark.parametrize(("height", "width"), [(40, 33), (5, 30), (1, 4)])
def test_blur_is_opencvs_filter2d(height, width):
    x = photograph(height, width)
    kernel = gaussian_kernel(13, 2.0, 1.0, 0.5)
    expected = cv2.filter2D(to_cv(x), -1, kernel.numpy())
    torch.testing.assert_close(GaussianBlur(13, 2.0, 1.0, 0.5)(x), from_cv(expected), rtol=0, atol=2e-6)


@given(height=st.integers(1, 40), width=st.integers(1, 40), new=st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_bilinear_is_opencvs_inter_linear(height, width, new):
    x = photograph(height, width)
    expected = cv2.resize(to_cv(x), new[::-1], interpolation=cv2.INTER_LINEAR).reshape(*new, 3)
    torch.testing.assert_close(Resize(*new)(x), from_cv(expected), rtol=0, atol=1e-4)


def test_greyscale_is_opencvs():
    x = photograph(20, 20)
    expected = cv2.cvtColor(to_cv(x), cv2.COLOR_RGB2GRAY)
    torch.testing.assert_close(Greyscale()(x)[0, 1], torch.from_numpy(expected), rtol=0, atol=1e-6)
    torch.testing.assert_close(Greyscale(weights=None)(x)[:, 0], x.mean(1), rtol=0, atol=1e-6)


def test_settings_are_printed():
    shown = repr(BlindFaceDegradation(quality=(30, 99)))
    assert "kernel_size=41" in shown
    assert "quality=(30, 99)" in shown
    assert repr(JPEG(50)) == "JPEG(quality=50)"
    assert repr(Resize(4, 5, "bicubic")) == "Resize(height=4, width=5, mode=bicubic)"


def test_noise_and_mask_have_their_statistics(generator):
    x = torch.full((1, 3, 300, 300), 0.5)
    assert float(GaussianNoise(0.05)(x, generator).std()) == pytest.approx(0.05, rel=0.02)
    masked = RandomMask(0.9)(x, generator)
    assert float((masked == 0).float().mean()) == pytest.approx(0.9, abs=0.01)
    assert bool(((masked == 0).all(1) | (masked != 0).all(1)).all())


def with_opencv(x, p, i):
    """One image through the pipeline as GFPGAN writes it, without noise; in x's precision."""
    height, width = x.shape[-2:]
    kernel = gaussian_kernel(p.kernel_size, p.sigma_x[i], p.sigma_y[i], p.theta[i]).to(x).numpy()
    image = cv2.filter2D(to_cv(x), -1, kernel)
    scale = float(p.factor[i])
    image = cv2.resize(image, (max(1, int(width / scale)), max(1, int(height / scale))), interpolation=cv2.INTER_LINEAR)
    image = np.clip(image, 0, 1)
    _, code = cv2.imencode(
        ".jpg", np.uint8(np.rint(image[..., ::-1] * 255.0)), [int(cv2.IMWRITE_JPEG_QUALITY), int(p.quality[i])]
    )
    image = cv2.imdecode(code, 1)[..., ::-1].astype(image.dtype) / 255.0
    image = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_LINEAR)
    return from_cv(np.clip((image * 255.0).round(), 0, 255) / 255.0)


@pytest.mark.parametrize("size", [96, 256])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blind_face_is_the_published_pipeline(size, dtype):
    """In grey levels: 0.1 on average and 4 at most, where float32 rounds a pixel otherwise before JPEG."""
    degradation = BlindFaceDegradation(noise=(0.0, 0.0), grey=0.0)
    x = photograph(size, size).to(dtype).expand(12, -1, -1, -1)
    parameters = degradation.sample_parameters(12, size, torch.Generator().manual_seed(1))
    ours, target = degradation.degrade(x, parameters)
    assert torch.equal(target, x)
    for i in range(12):
        difference = (ours[i : i + 1] - with_opencv(x[i : i + 1], parameters, i)).abs() * 255
        assert float(difference.mean()) < 0.1
        assert float(difference.max()) <= (4 if dtype == torch.float32 else 1) + 1e-6


@given(height=st.integers(1, 70), width=st.integers(1, 70), quality=st.integers(1, 100), seed=st.integers(0, 10**6))
def test_draws_of_any_size_and_quality_are_opencvs(height, width, quality, seed):
    """In float64, where no pixel is rounded otherwise before JPEG: nothing is off by more than one grey level."""
    degradation = BlindFaceDegradation(noise=(0.0, 0.0), grey=0.0, quality=(quality, quality))
    x = photograph(height, width).double()
    parameters = degradation.sample_parameters(1, max(height, width), torch.Generator().manual_seed(seed))
    ours, _ = degradation.degrade(x, parameters)
    assert float((ours - with_opencv(x, parameters, 0)).abs().max()) * 255 <= 1 + 1e-6


def test_float32_is_as_near_to_opencv_as_opencv_is_to_itself():
    """A pixel that is rounded otherwise before JPEG can change a block: OpenCV in float32 is no nearer to OpenCV in
    float64 than ours is to OpenCV in float32."""
    degradation = BlindFaceDegradation(noise=(0.0, 0.0), grey=0.0)
    worst: dict[str, list[float]] = {"ours": [], "opencv": []}
    for seed in range(60):
        size = 40 + seed
        x = photograph(size, size, 100 + seed)
        parameters = degradation.sample_parameters(1, size, torch.Generator().manual_seed(seed))
        single, double = with_opencv(x, parameters, 0), with_opencv(x.double(), parameters, 0)
        ours = degradation.degrade(x, parameters)[0]
        assert float((ours - single).abs().mean()) * 255 < 0.1
        worst["ours"].append(float((ours - single).abs().max()) * 255)
        worst["opencv"].append(float((single - double).abs().max()) * 255)
    beyond = {name: sum(value > 4 + 1e-4 for value in values) for name, values in worst.items()}
    assert beyond["ours"] <= max(1, beyond["opencv"]), worst


def test_parameters_have_the_published_ranges_and_scale_with_size():
    degradation = BlindFaceDegradation()
    for size in (512, 128):
        p = degradation.sample_parameters(20_000, size, torch.Generator().manual_seed(0))
        scale = size / 512
        for value, low, high in [
            (p.sigma_x, 0.1 * scale, 15 * scale),
            (p.factor, 0.8 * scale, 32 * scale),
            (p.noise, 0.0, 20 / 255),
            (p.theta, -math.pi, math.pi),
        ]:
            assert low <= float(value.min()) <= low + 0.01 * (high - low)
            assert high - 0.01 * (high - low) <= float(value.max()) <= high
        assert set(p.quality.tolist()) == set(map(float, range(30, 101)))
        assert float(p.grey.float().mean()) == pytest.approx(0.01, abs=0.003)
        assert float((p.sigma_x == p.sigma_y).float().mean()) == pytest.approx(0.5, abs=0.02)
    assert degradation.sample_parameters(1, 512, torch.Generator()).kernel_size == 41
    assert degradation.sample_parameters(1, 128, torch.Generator()).kernel_size == 11


def test_a_fixed_strength_draws_the_noise_alone():
    fixed = BlindFaceDegradation.fixed(sigma=5.0, factor=8.0, noise=10.0, quality=60)
    drawn = [fixed.sample_parameters(3, 256, torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    for p in drawn:
        for value, stated in ((p.sigma_x, 2.5), (p.sigma_y, 2.5), (p.factor, 4.0), (p.noise, 10 / 255)):
            assert value.tolist() == pytest.approx([stated] * 3)
        assert p.quality.tolist() == [60.0] * 3
        assert not p.grey.any()
        assert p.kernel_size == 21
    assert not torch.equal(drawn[0].noise_seed, drawn[1].noise_seed)
    as_is = BlindFaceDegradation.fixed(
        sigma=1.7, factor=2.75, noise=0.0, quality=60, kernel_size=15, reference_size=None
    )
    ranges = BlindFaceDegradation(
        sigma=(1.7, 1.7), factor=(2.75, 2.75), noise=(0.0, 0.0), quality=(60, 60), isotropic=1.0, grey=0.0,
        kernel_size=15, reference_size=None,
    )  # fmt: skip
    x = photograph(64, 64)
    results = [one(x, generator=torch.Generator().manual_seed(seed))[0] for one in (as_is, ranges) for seed in (0, 1)]
    assert all(torch.equal(result, results[0]) for result in results)  # without noise nothing is random
    with pytest.raises(ValueError, match="factor must be a range"):
        BlindFaceDegradation.fixed(sigma=1.0, factor=0.0, noise=0.0, quality=60)


def test_the_target_is_greyed_with_its_image():
    degraded, target = BlindFaceDegradation(grey=1.0)(photograph(32, 32), generator=torch.Generator().manual_seed(0))
    for image in (degraded, target):
        assert torch.equal(image[:, 0], image[:, 1])


@pytest.mark.parametrize("name", PIPELINES)
@given(data=st.data())
def test_every_pipeline_keeps_shape_range_and_seed(name, data):
    batch, height, width = (data.draw(st.integers(1, high)) for high in (3, 40, 40))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    x = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0)).to(dtype)
    state = torch.get_rng_state()
    first, second = (
        build_degradation(name)(x, generator=torch.Generator().manual_seed(data.draw(st.just(5)))) for _ in range(2)
    )
    assert torch.equal(state, torch.get_rng_state())
    for a, b in zip(first, second):
        assert torch.equal(a, b)
        assert a.shape == x.shape
        assert 0 <= float(a.min()) <= float(a.max()) <= 1


def test_an_image_does_not_depend_on_its_batch():
    x = photograph(48, 40).repeat(4, 1, 1, 1)
    degradation = BlindFaceDegradation()
    p = degradation.sample_parameters(4, 40, torch.Generator().manual_seed(2))
    fields = {name: value[2:3] if isinstance(value, torch.Tensor) else value for name, value in vars(p).items()}
    together, alone = degradation.degrade(x, p)[0][2:3], degradation.degrade(x[2:3], type(p)(**fields))[0]
    assert float((together - alone).abs().max()) <= 1 / 255 + 1e-6


def test_output_is_on_the_8_bit_grid():
    degraded, _ = BlindFaceDegradation()(photograph(64, 64), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(degraded * 255, (degraded * 255).round(), atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: build_degradation("rain"), "pipeline must be one of 'blind-face', 'denoising'"),
        (lambda x: JPEG(0)(x), r"quality must be in \[1.0, 100.0\]"),
        (lambda x: JPEG(torch.tensor([50.0, 60.0]))(x), r"one an image, \(1,\); got \(2,\)"),
        (lambda x: JPEG(50)(x[:, :1]), r"float tensor \(B, 3, H, W\)"),
        (lambda x: JPEG(50)((x * 255).byte()), "got torch.uint8"),
        (lambda x: gaussian_kernel(4, 1.0, 1.0), "size must be odd"),
        (lambda x: gaussian_kernel(5, 0.0, 1.0), "must be positive"),
        (lambda x: Resize(4, 4, "lanczos")(x), "mode must be one of"),
        (lambda x: BlindFaceDegradation(sigma=(3.0, 1.0)), r"sigma must be a range"),
        (lambda x: RandomMask(1.5), r"fraction must be in \[0, 1\]"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(photograph(8, 8))
