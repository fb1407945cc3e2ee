"""Whole photographs: what is restored, what is left alone, what stays as it was. No weights, no network."""

import dataclasses
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import laplace
from told_faces import Brighter, Told

import pmrf_blocks
from pmrf_blocks.images import LoadedImage
from pmrf_blocks.pretrained import WeightsError
from pmrf_blocks.restoration import SuperResolution, restore_photograph
from pmrf_blocks.restoration.backgrounds import enlarge_lanczos
from pmrf_blocks.restoration.photographs import WEIGHT, choose, relative_change

FACES = ((50.0, 60.0, 40.0), (140.0, 70.0, 30.0), (90.0, 130.0, 12.0))


@pytest.fixture
def photograph(generator):
    """Blurred, so that a change weighs more than what detail there is."""
    return LoadedImage(F.interpolate(torch.rand(1, 3, 40, 50, generator=generator), (160, 200), mode="bilinear")[0])


def test_an_identity_restorer_changes_nothing(photograph):
    restored = restore_photograph(Brighter(), photograph, Told(*FACES), min_face=10, min_change=0)
    assert torch.equal(restored.result.pixels, photograph.pixels)
    assert [report.restored for report in restored.faces] == [True, True, True]
    assert restored.summary() == "3 faces restored (40, 30, 12 px)"


def test_what_is_not_face_stays_bit_for_bit(photograph):
    restored = restore_photograph(Brighter(0.3), photograph, Told(*FACES))
    outside = (restored.mask == 0).expand(3, -1, -1)
    assert torch.equal(restored.result.pixels[outside], photograph.pixels[outside])
    assert (restored.result.pixels - photograph.pixels).abs().max() > 0.1
    assert len(restored.faces) == 2  # the third is smaller than 24 pixels


def test_large_faces_are_left_alone_and_said_so(photograph):
    restorer = Brighter(0.3)
    restored = restore_photograph(restorer, photograph, Told((50, 60, 40), (130, 80, 70)))
    assert restored.summary() == "1 face restored (40 px), 1 left (70 px, larger than 64)"
    assert restorer.seen == [1]
    none = restore_photograph(restorer, photograph, Told((50, 60, 40)), max_face=30)
    assert torch.equal(none.result.pixels, photograph.pixels)
    assert none.summary() == "1 left (40 px, larger than 30)"
    assert restore_photograph(restorer, photograph, Told()).summary() == "no face found"


def test_clean_faces_are_left_alone_and_said_so(photograph):
    """The posterior mean moves a clean face by little; what the flow adds would then cost more than it brings."""
    little = restore_photograph(Brighter(0.02), photograph, Told((50, 60, 40)))
    assert torch.equal(little.result.pixels, photograph.pixels)
    assert little.summary() == "1 left (40 px, clean already)"
    asked = restore_photograph(Brighter(0.02), photograph, Told((50, 60, 40)), min_change=0)
    assert asked.summary() == "1 face restored (40 px)"


def test_change_is_a_share_of_detail(generator):
    """Against SciPy; whatever the contrast. A mean without detail is changed by what the crop has."""
    crop, mean = (torch.rand(3, 20, 20, generator=generator, dtype=torch.float64) for _ in range(2))
    edges = np.stack([laplace(channel, mode="nearest") for channel in mean.numpy()])
    whole = torch.ones(1, 20, 20, dtype=torch.float64)
    expected = np.sqrt(np.square((crop - mean).numpy()).mean() / np.square(edges).mean())
    assert relative_change(crop, mean, whole) == pytest.approx(expected, rel=1e-9)
    assert relative_change(0.3 * crop + 0.2, 0.3 * mean + 0.2, whole) == pytest.approx(expected, rel=1e-9)
    half = whole.clone()
    half[:, :, 10:] = 0
    assert relative_change(crop, torch.cat([mean[..., :10], crop[..., 10:]], -1), half) > 0
    assert relative_change(mean + 0.1, torch.zeros_like(mean) + 0.5, whole) > 1
    assert relative_change(mean, mean, whole) == 0


def test_choices(photograph):
    faces = Told((160, 80, 40), (100, 78, 30))(photograph.pixels)
    assert [face.side for face in choose(faces, "largest", photograph.pixels)] == [40]
    assert [face.side for face in choose(faces, "center", photograph.pixels)] == [30]
    assert choose(faces, "all", photograph.pixels) == faces
    assert choose([], "center", photograph.pixels) == []


def test_batches_and_options_reach_the_model(photograph):
    restorer = Brighter()
    restore_photograph(restorer, photograph, Told(*FACES), min_face=10, batch=2, weight=0.5)
    assert restorer.seen == [2, 1]
    assert restorer.options[0] == {"weight": 0.5}
    restore_photograph(restorer, photograph, Told(*FACES), min_face=10)
    assert restorer.options[-1] == {"weight": WEIGHT}
    restorer.has_mean = False
    restore_photograph(restorer, photograph, Told(*FACES), min_face=10)
    assert restorer.options[-1] == {"weight": 1.0}


@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (1.0, 0.85, 0.6)])
def test_grey_and_sepia_faces_keep_their_colour(photograph, tint):
    toned = (0.3 + 0.4 * photograph.pixels[:1]) * torch.tensor(tint)[:, None, None]
    restored = restore_photograph(Brighter(0.2), LoadedImage(toned), Told(*FACES)).result.pixels
    assert (restored - toned).abs().max() > 0.05
    assert (restored / torch.tensor(tint)[:, None, None] - restored[:1]).abs().max() < 0.01


def test_enlarged(photograph):
    restored = restore_photograph(Brighter(0.3), photograph, Told(*FACES), upscale=2)
    assert restored.result.pixels.shape == (3, 320, 400)
    assert torch.equal(restored.background, enlarge_lanczos(photograph.pixels, 2))
    change = (restored.result.pixels - restored.background).abs().sum(0)
    assert change[60:180, 40:160].max() > 0.1  # the first face, twice as far from the corner
    assert change[280:, :].max() == 0
    alpha = dataclasses.replace(photograph, alpha=torch.ones(1, 160, 200))
    assert restore_photograph(Brighter(), alpha, Told(), upscale=4).result.alpha.shape == (1, 640, 800)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"faces": "some"}, "faces must be one of 'all', 'largest', 'center'; got 'some'"),
        ({"upscale": 3}, "upscale must be one of 1, 2, 4; got 3"),
        ({"min_face": 0}, "min_face must be at least 1"),
        ({"max_face": 20}, "max_face at least min_face"),
        ({"min_face": float("nan")}, "min_face must be at least 1"),
        ({"max_face": float("nan")}, "max_face at least min_face"),
        ({"batch": 0}, "batch must be at least 1; got 0"),
        ({"min_change": -0.5}, "min_change must be at least 0; got -0.5"),
        ({"min_change": float("nan")}, "min_change must be at least 0; got nan"),
    ],
)
def test_bad_arguments(photograph, options, message):
    with pytest.raises(ValueError, match=message):
        restore_photograph(Brighter(), photograph, Told(), **options)


def test_whatever_is_given_comes_back_in_kind(tmp_path, photograph):
    array = (photograph.pixels * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(array)
    picture.save(tmp_path / "family.png")
    call = {"model": Brighter(), "detector": Told(*FACES)}
    for given in (str(tmp_path / "family.png"), Path(tmp_path / "family.png"), picture):
        result = pmrf_blocks.restore(given, **call)
        assert isinstance(result, Image.Image)
        assert np.array_equal(np.asarray(result), array)
    for given in (array, array[..., ::-1], array / 255.0, array[..., 0], np.concatenate([array, array[..., :1]], 2)):
        result = pmrf_blocks.restore(given, **call)
        assert result.dtype == given.dtype
        np.testing.assert_allclose(result, given, atol=1e-6)
    for given in (photograph.pixels, photograph.pixels[None], torch.from_numpy(array).permute(2, 0, 1)):
        result = pmrf_blocks.restore(given, **call)
        assert result.dtype == given.dtype
        torch.testing.assert_close(result, given)
    assert pmrf_blocks.restore(array[:32, :32], model=Brighter(), aligned=True).shape == (32, 32, 3)
    for wrong, message in (
        (array * 2.0, r"in \[0, 1\]"),
        (array[..., :2], "array must be"),
        (array[:0], "have pixels"),
        (3, "must be a path"),
    ):
        with pytest.raises(ValueError, match=message):
            pmrf_blocks.restore(wrong, **call)


def test_the_background_is_named_as_the_command_names_it(tmp_path, photograph):
    call = {"model": Brighter(), "detector": Told(*FACES), "upscale": 2}
    torch.testing.assert_close(
        pmrf_blocks.restore(photograph.pixels, background="lanczos", **call), enlarge_lanczos(photograph.pixels, 2)
    )
    with pytest.raises(WeightsError, match=r"net\.pth|spandrel"):
        pmrf_blocks.restore(photograph.pixels, background=tmp_path / "net.pth", **call)


def test_a_pillow_image_is_turned_upright_and_keeps_its_profile(photograph):
    array = (photograph.pixels * 255).round().byte().permute(1, 2, 0).numpy()
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.fromarray(array).save(file, "PNG", exif=exif, dpi=(300, 300))
    picture = Image.open(file)
    result = pmrf_blocks.restore(picture, model=Brighter(), detector=Told())
    assert np.array_equal(np.asarray(result), np.rot90(array, -1))
    assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_restore_is_imported_when_asked_for():
    code = (
        "import sys, pmrf_blocks; before = [m for m in sys.modules if m.startswith(('torch', 'kornia', 'PIL'))]\n"
        "from pmrf_blocks import restore; assert callable(restore)\n"
        "print(before, 'kornia' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[0] == "[] False"


def test_super_resolution_needs_a_network(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"install pmrf-blocks\[background\]|no network that spandrel knows"):
        SuperResolution(tmp_path / "net.pth")
