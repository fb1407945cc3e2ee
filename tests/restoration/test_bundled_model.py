"""The model that ships, on real photographs: these fail if its weights are missing, damaged, or no good."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pmrf_blocks.data import ImageDataset, find_images
from pmrf_blocks.degradations import BlindFaceDegradation
from pmrf_blocks.metrics import psnr
from pmrf_blocks.restoration import BUNDLED, PMRF, LatentPMRF, load_restorer
from pmrf_blocks.seeding import derive_generator


@pytest.fixture(scope="module")
def bundled():
    return load_restorer("bundled")


@pytest.fixture(scope="module")
def faces(shared_folder):
    """Eight held-out photographs, degraded: (degraded, original)."""
    return degraded_faces(shared_folder / "data" / "faces256" / "test", every=13)


@pytest.fixture(scope="module")
def synthetic_faces(shared_folder):
    """Eight held-out faces of the kind that was trained on: (degraded, original)."""
    return degraded_faces(shared_folder / "data" / "faces256" / "val", every=16)


def degraded_faces(folder, every):
    data = ImageDataset(find_images(folder)[::every], size=128)
    images = torch.stack([data[i] for i in range(len(data))]).float() / 255.0
    return BlindFaceDegradation(grey=0.0)(images, generator=derive_generator("bundled test", 0))


def sharpness(x):
    """Mean magnitude of the differences of neighbouring pixels, (B,)."""
    return (x.diff(dim=-1).abs().mean((1, 2, 3)) + x.diff(dim=-2).abs().mean((1, 2, 3))) / 2


def test_weights_are_small_and_described(bundled):
    files = list(BUNDLED.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in files) <= 40e6
    card = (BUNDLED / "README.md").read_text()
    for word in ("Data", "Licence", "Recipe", "Steps", "Hours", "Hardware", "PSNR", "MMD"):
        assert word.lower() in card.lower()
    provenance = json.loads((BUNDLED / "provenance.json").read_text())
    assert set(provenance["stages"]) == {"autoencoder", "mean", "estimator", "decoder", "teacher", "flow", "pixel"}
    assert all(stage["steps"] >= 500 for stage in provenance["stages"].values())
    assert isinstance(bundled, LatentPMRF)
    assert isinstance(load_restorer("bundled-pixel"), PMRF)


def face_of_the_astronaut(size):
    """Without development data: the photograph that scikit-image ships, (1, 3, size, size)."""
    from skimage.data import astronaut

    from pmrf_blocks.commands.demo import LEFT, SIDE, TOP
    from pmrf_blocks.restoration.aligned import resize_shorter

    crop = torch.from_numpy(astronaut()[TOP : TOP + SIDE, LEFT : LEFT + SIDE].copy()).permute(2, 0, 1).float() / 255.0
    return resize_shorter(crop, size)[None]


def test_what_it_makes_of_a_photograph_stays(bundled):
    """Every 16th pixel as it was when the model was released, plain and optimized (whose bits were these)."""
    expected = torch.from_numpy(np.load(Path(__file__).with_name("restored_astronaut.npy")))
    photograph = face_of_the_astronaut(bundled.size)
    for restorer in (bundled, load_restorer("bundled", optimize=True)):
        image = restorer.restore(photograph, seed=0).image
        torch.testing.assert_close(image[0, :, ::16, ::16], expected, rtol=0, atol=2e-5)  # kinds of CPU differ


def test_the_demo_photograph_improves(bundled):
    original = face_of_the_astronaut(bundled.size).repeat(4, 1, 1, 1)
    degraded, target = BlindFaceDegradation(grey=0.0)(original, generator=derive_generator("astronaut", 0))
    restored = bundled.restore(degraded)
    assert float(psnr(restored.posterior_mean, target).mean()) > float(psnr(degraded, target).mean()) + 0.5
    assert float(psnr(restored.image, target).mean()) > float(psnr(restored.posterior_mean, target).mean()) - 2.0
    assert float(sharpness(restored.image).mean()) > 1.1 * float(sharpness(restored.posterior_mean).mean())


def test_held_out_faces_improve(bundled, faces):
    degraded, target = faces
    restored = bundled.restore(degraded)
    scores = [float(psnr(x, target).mean()) for x in (restored.posterior_mean, restored.image, degraded)]
    assert scores[0] > scores[1] > scores[0] - 2.0
    assert scores[0] > scores[2] + 1.0


def test_the_flow_sharpens(bundled, synthetic_faces):
    """Of synthetic faces: in photographs the posterior mean keeps some of the noise, which the flow takes away."""
    degraded, target = synthetic_faces
    restored = bundled.restore(degraded)
    mean, image, true = (float(sharpness(x).mean()) for x in (restored.posterior_mean, restored.image, target))
    assert 1.05 * mean < image < true


def test_restoring_does_not_depend_on_the_batch(bundled, generator):
    images = torch.rand(3, 3, 128, 128, generator=generator)
    together = bundled.restore(images, steps=3, seed=[5, 6, 7]).image
    for i in range(3):
        alone = bundled.restore(images[i : i + 1], steps=3, seed=[5 + i]).image
        torch.testing.assert_close(alone, together[i : i + 1], rtol=0, atol=1e-4)


def test_the_autoencoder_reconstructs(bundled, faces):
    _, target = faces
    with torch.no_grad():
        through = (0.5 * (bundled.autoencoder(2.0 * target - 1.0) + 1.0)).clamp(0, 1)
        z = bundled.autoencoder.normalize(bundled.autoencoder.encode(2.0 * target - 1.0).mode())
    assert float(psnr(through, target).mean()) > 31.0
    assert 0.7 < float(z.std()) < 1.4


def test_saving_keeps_the_weights_bit_for_bit(bundled, tmp_path, generator):
    bundled.save_pretrained(tmp_path)
    again = LatentPMRF.from_pretrained(tmp_path)
    image = torch.rand(1, 3, 128, 128, generator=generator)
    assert torch.equal(bundled.restore(image, steps=2).image, again.restore(image, steps=2).image)
