"""Pipelines: stages in order, seeds, batches, saving, and the name of the stage that breaks."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.estimators import UNet
from pmrf_blocks.images import ImageError, LoadedImage
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import (
    PMRF,
    LatentPMRF,
    NonFiniteError,
    PosteriorMean,
    comparison,
    load_restorer,
    restore_crop,
    restore_crops,
)
from pmrf_blocks.transformers import HourglassTransformer, Level


def filled(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def build(kind, **changes):
    torch.manual_seed(0)
    levels = (Level(32, 1, kernel_size=3, head_dim=16),)
    parts = {"estimator": filled(UNet(widths=(8, 8), blocks=(1, 1)))}
    if kind is not PosteriorMean:
        channels, patch = (4, 1) if kind is LatentPMRF else (3, 4)
        parts["velocity"] = filled(
            HourglassTransformer(in_channels=channels, patch_size=patch, levels=levels, mapping_width=16), 1
        )
    if kind is LatentPMRF:
        parts["autoencoder"] = filled(
            SimVAE(4, channels=(8, 8), blocks_per_level=1, middle_blocks=1, scaling_factor=0.8, shift_factor=0.1), 2
        )
    settings = {"size": 16} if kind is PosteriorMean else {"size": 16, "source_noise": 0.1, "steps": 3}
    return kind(**parts, **{**settings, **changes})


KINDS = (LatentPMRF, PMRF, PosteriorMean)


@pytest.mark.parametrize("kind", KINDS)
@given(batch=st.integers(1, 3), height=st.integers(1, 20), width=st.integers(1, 20))
def test_any_size_in_the_unit_range(kind, batch, height, width):
    restored = build(kind).restore(torch.rand(batch, 3, height, width))
    for image in (restored.image, restored.posterior_mean):
        assert image.shape == (batch, 3, height, width)
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
    assert restored.nfe == (0 if kind is PosteriorMean else 3)


def test_tiles_give_the_same_result_and_are_used(monkeypatch, generator):
    restorer, images = build(LatentPMRF), torch.rand(1, 3, 41, 64, generator=generator)
    whole = restorer.restore(images).image
    torch.testing.assert_close(restorer.restore(images, tile=16).image, whole, rtol=0, atol=1e-5)
    for name in ("encode", "decode"):
        monkeypatch.delattr(SimVAE, name)
    assert torch.isfinite(restorer.restore(images, tile=16).image).all()
    calls = []
    restorer.space.before_layer = lambda: calls.append(1)
    restorer.restore(images, tile=16)
    assert len(calls) > 10
    with pytest.raises(ValueError, match="tile must be at least 2 pixels"):
        restorer.restore(images, tile=1)


def test_latent_pmrf_is_its_stages(generator):
    """Estimate, encode, two Euler steps, decode: written out."""
    model = build(LatentPMRF, source_noise=0.0)
    x = torch.rand(2, 3, 16, 12, generator=generator)
    with torch.no_grad():
        mean = model.estimator(x).clamp(0, 1)
        z = (model.autoencoder.encode(2 * mean - 1).mean - 0.1) * 0.8
        for t in (0.0, 0.5):
            z = z + 0.5 * model.velocity(z, torch.full((2,), t))
        expected = (0.5 * (model.autoencoder.decode(z / 0.8 + 0.1) + 1)).clamp(0, 1)
    restored = model.restore(x, steps=2)
    torch.testing.assert_close(restored.image, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(restored.posterior_mean, mean)


@pytest.mark.parametrize("kind", KINDS)
def test_restoring_does_not_depend_on_the_batch(kind, generator):
    model = build(kind)
    x = torch.rand(3, 3, 16, 16, generator=generator)
    together = model.restore(x, seed=[5, 6, 7]).image
    alone = model.restore(x[1:2], seed=6).image
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_seeds_reproduce_and_matter(generator):
    model, x = build(LatentPMRF), torch.rand(1, 3, 16, 16, generator=generator)
    state = torch.get_rng_state()
    assert torch.equal(model.restore(x, seed=1).image, model.restore(x, seed=1).image)
    assert not torch.equal(model.restore(x, seed=1).image, model.restore(x, seed=2).image)
    assert torch.equal(
        model.restore(x, seed=1, source_noise=0.0).image, model.restore(x, seed=2, source_noise=0.0).image
    )
    assert torch.equal(state, torch.get_rng_state())


def test_posterior_mean_only_stops_early(generator):
    restored = build(LatentPMRF).restore(torch.rand(1, 3, 8, 8, generator=generator), posterior_mean_only=True)
    assert restored.nfe == 0
    assert torch.equal(restored.image, restored.posterior_mean)


def test_bfloat16_is_close(generator):
    model, x = build(LatentPMRF), torch.rand(1, 3, 16, 16, generator=generator)
    rough = model.restore(x, dtype=torch.bfloat16).image
    assert rough.dtype == torch.float32
    assert float((rough - model.restore(x).image).abs().max()) < 0.05


@pytest.mark.parametrize(
    ("stage", "poison"),
    [
        ("posterior mean", lambda m: m.estimator.conv_in.weight),
        ("encode", lambda m: m.autoencoder.encoder.conv_out.bias),
        ("flow", lambda m: m.velocity.patch_out.proj.weight),
        ("decode", lambda m: m.autoencoder.decoder.conv_out.bias),
    ],
)
def test_the_stage_that_breaks_is_named(stage, poison):
    model = build(LatentPMRF)
    poison(model).data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=f"after the stage '{stage}'") as caught:
        model.restore(torch.rand(1, 3, 16, 16))
    assert caught.value.stage == stage
    with pytest.raises(NonFiniteError, match="'input'"):
        build(LatentPMRF).restore(torch.full((1, 3, 8, 8), float("inf")))


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load_bit_for_bit(kind, tmp_path, generator):
    model, x = build(kind), torch.rand(1, 3, 16, 16, generator=generator)
    model.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    assert again.size == 16
    assert torch.equal(model.restore(x).image, again.restore(x).image)


def test_half_precision_storage_is_half_the_size(tmp_path, generator):
    model, x = build(LatentPMRF), torch.rand(1, 3, 16, 16, generator=generator)
    model.save_pretrained(tmp_path / "32")
    model.save_pretrained(tmp_path / "16", dtype=torch.float16)
    sizes = [sum(f.stat().st_size for f in (tmp_path / n).rglob("*.safetensors")) for n in ("32", "16")]
    assert sizes[1] < 0.7 * sizes[0]
    again = load_restorer(tmp_path / "16")
    assert next(again.parameters()).dtype == torch.float32
    torch.testing.assert_close(again.restore(x).image, model.restore(x).image, rtol=0, atol=2e-2)


def test_damaged_models_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no folder .* and not a hub id"):
        load_restorer(tmp_path / "absent")
    build(PMRF).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="holds a PMRF, not a LatentPMRF"):
        LatentPMRF.from_pretrained(tmp_path)
    (tmp_path / "velocity" / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"velocity/model\.safetensors not found"):
        load_restorer(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["networks"]["estimator"] = "os.system"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="estimator must be one of SimVAE, UNet"):
        load_restorer(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json is damaged"):
        load_restorer(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"solver": "rk9"}, "solver must be one of 'euler', 'midpoint', 'heun', 'rk4', 'dopri5'; got 'rk9'"),
        ({"source_noise": -1.0}, "source_noise must be at least 0"),
        ({"seed": [1, 2]}, "seed must be one number or one an image"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(LatentPMRF).restore(torch.rand(1, 3, 8, 8), **arguments)
    with pytest.raises(ValueError, match=r"float tensor \(B, 3, H, W\)"):
        build(LatentPMRF).restore(torch.rand(1, 1, 8, 8))


class Identity(torch.nn.Module):
    def forward(self, x):
        return x


def identity(size):
    model = PosteriorMean(estimator=Identity(), size=size)
    model.register_parameter("place", torch.nn.Parameter(torch.zeros(1)))
    return model


@pytest.mark.parametrize("shape", [(24, 24), (24, 31), (50, 24)])
def test_an_identity_restorer_gives_back_its_input(shape):
    x = torch.rand(3, *shape)
    restored = restore_crop(identity(24), LoadedImage(x))
    assert torch.equal(restored.result.pixels, x)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((40, 60), "input", (40, 60)),
        ((10, 15), "input", (24, 36)),
        ((40, 60), "model", (24, 36)),
        ((40, 60), 80, (80, 120)),
        ((1, 1), "input", (24, 24)),
    ],
)
def test_result_sizes_and_alpha(shape, size, expected):
    photograph = LoadedImage(torch.rand(3, *shape), torch.full((1, *shape), 0.4))
    restored = restore_crop(identity(24), photograph, size=size)
    assert restored.result.pixels.shape == restored.degraded.shape == restored.posterior_mean.shape == (3, *expected)
    torch.testing.assert_close(restored.result.alpha, torch.full((1, *expected), 0.4))


def test_photographs_of_one_batch():
    photographs = [LoadedImage(torch.rand(3, *shape)) for shape in ((24, 36), (48, 72), (24, 36))]
    together = restore_crops(identity(24), photographs)
    for photograph, restored in zip(photographs, together):
        alone = restore_crop(identity(24), photograph)
        assert torch.equal(restored.result.pixels, alone.result.pixels)
        assert torch.equal(restored.degraded, alone.degraded)
    with pytest.raises(ValueError, match=r"one working size; got \[\(24, 24\), \(24, 36\)\]"):
        restore_crops(identity(24), [photographs[0], LoadedImage(torch.rand(3, 24, 24))])


def test_ribbons_are_refused():
    with pytest.raises(ImageError, match="9x100 is no face crop"):
        restore_crop(identity(24), LoadedImage(torch.rand(3, 100, 9)))


def test_comparison_places_every_tile():
    red, blue = torch.zeros(2, 3, 20, 30)
    red[0], blue[2] = 1.0, 1.0
    picture = comparison([[("a", red), ("a much too long label\nand more", blue)], [("", blue)]], tile=60)
    assert picture.width == 2 * 68 + 8
    colours = {colour for _, colour in picture.getcolors(100_000)}
    assert {(255, 0, 0), (0, 0, 255)} <= colours
    with pytest.raises(ValueError, match="at least one image"):
        comparison([])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"settings": {"size": "large"}}, "does not describe a PMRF: '<' not supported"),
        ({"settings": {"size": 16, "sizes": 1}}, "does not describe a PMRF: .*unexpected keyword argument 'sizes'"),
        ({"settings": []}, "networks and settings must be JSON objects"),
        ({"networks": {"estimator": "UNet"}}, "does not describe a PMRF: .*missing 1 required .*'velocity'"),
        ({"networks": {"estimator": ["UNet"]}}, "estimator must be one of SimVAE"),
        ({"networks": {"estimator": "HourglassTransformer"}}, "describes a UNet, not a HourglassTransformer"),
    ],
)
def test_a_config_that_lies(tmp_path, change, complaint):
    build(PMRF).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(WeightsError, match=complaint):
        load_restorer(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mapping_width": 32}, "does not fit HourglassTransformer; .* of another shape"),
        ({"in_channels": 10**9}, "of another shape: patch_in.proj.weight"),
        ({"levels": [{"width": "32", "depth": 1}]}, "does not describe"),
        ({"levels": [{"width": 32, "depth": 1, "heads": 3}]}, "unexpected keyword argument 'heads'"),
    ],
)
def test_a_network_whose_config_lies_about_shapes(tmp_path, change, complaint):
    build(PMRF).velocity.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(WeightsError, match=complaint):
        HourglassTransformer.from_pretrained(tmp_path)
