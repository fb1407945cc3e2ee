"""Evaluation in constant memory: how many images are held does not grow with how many there are."""

import gc

import pytest
import torch

from pmrf_blocks.analysis.measurement import OnDemand, Reference
from pmrf_blocks.experiments import Images, evaluation

SIDE = 24


class Most:
    """The most images of SIDE pixels that tensors hold at any of the times it is asked to look."""

    def __init__(self):
        self.images = 0

    def look(self):
        held = {}
        for x in gc.get_objects():
            if issubclass(type(x), torch.Tensor) and x.ndim == 4 and x.shape[-2:] == (SIDE, SIDE):
                held[x.untyped_storage()._cdata] = x.untyped_storage().nbytes() / (4 * 3 * SIDE * SIDE)
        self.images = max(self.images, sum(held.values()))


class Noise:
    """A set of uint8 images that are made when asked for."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        return torch.randint(256, (3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(number))


def features(images):
    return images.mean((2, 3))


@pytest.fixture
def faces_of(place, monkeypatch):
    def make(count):
        monkeypatch.setattr(type(place), "images", lambda *_: Noise(count))
        monkeypatch.setattr(type(place), "inputs", lambda *_: None)
        faces = evaluation.FaceSet(place, Images("noise", SIDE), degradation_seeds=2)
        faces.features = faces.reference.extractor = features
        return faces

    return make


def measured(faces, most):
    def pairs():
        for _, degraded, target in faces.degraded("denoising"):
            most.look()
            yield degraded, target

    return faces.reference.measure(pairs())


def test_as_many_images_are_held_of_many_as_of_few(faces_of, monkeypatch):
    monkeypatch.setattr(evaluation, "KEPT", 0)
    held = []
    for count in (32, 96):
        most = Most()
        measured(faces_of(count), most)
        held.append(most.images)
    assert 32 <= held[0] <= 8 * evaluation.BATCH
    assert held[1] == pytest.approx(held[0])


def test_the_numbers_are_those_of_all_at_once(faces_of):
    """Batches, and degraded images that stay in memory, against whole tensors."""
    faces, most = faces_of(20), Most()
    own, again = measured(faces, most), measured(faces, most)
    clean = faces.clean[:]
    degraded, target = (torch.cat(parts) for parts in list(zip(*faces.degraded("denoising")))[1:])
    assert degraded.shape == (40, 3, SIDE, SIDE)
    whole = Reference(clean, features).measure([(degraded, target)])
    for other in (own, again):
        assert other.scores == pytest.approx(whole.scores, rel=1e-6)
        for name, values in whole.per_image.items():
            torch.testing.assert_close(other.per_image[name], values, rtol=1e-6, atol=1e-6)
        assert torch.equal(other.features, whole.features)
        assert torch.equal(other.pictures, whole.pictures)


def test_images_on_demand_are_as_a_tensor():
    images = torch.rand(5, 3, 4, 4)
    lazy = OnDemand(5, lambda numbers: images[list(numbers)])
    assert lazy.shape == images.shape
    assert torch.equal(lazy[1:3], images[1:3])
    assert [len(part) for part in lazy.split(2)] == [2, 2, 1]
