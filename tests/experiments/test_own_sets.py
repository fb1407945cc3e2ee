"""A recipe's images out of any set: Net(...) in the place of a folder's name."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from pmrf_blocks.data import DataError, IterableImages, MapImages, SampleKey
from pmrf_blocks.experiments import Images, Net, describe, stage_name, trained
from pmrf_blocks.experiments.evaluation import FaceSet
from recipes import bundled, posterior_mean


def rows(count, key="photo"):
    return [{key: Image.new("RGB", (40, 36), (9 * number, 0, 0)), "label": number} for number in range(count)]


def labelled(count=5):
    return [(row["photo"], row["label"]) for row in rows(count)]


def keyed(count=5):
    return MapImages(rows(count), key="photo", flip=True, name="rows")


class Endless:
    """As webdataset's pipelines: no length."""

    def __iter__(self):
        yield from labelled(7)


def stream():
    return IterableImages(Endless(), skip=True)


SET = Images(Net(labelled), 33, crop=32, flip=True)


@pytest.mark.parametrize("make", [labelled, keyed])
def test_a_map_style_set_stands_where_a_folder_does(place, make):
    data = place.images(Images(Net(make, count=4), 33, crop=32, first=3))
    assert len(data) == 3
    assert data[SampleKey(1, 5)].shape == (3, 32, 32)
    assert torch.equal(data[2], place.images(Images(Net(keyed), 33, crop=32))[2])
    assert not data.framing.flip
    faces = FaceSet(place, Images(Net(make), 16), limit=2)
    assert faces.clean.shape == (2, 3, 16, 16)
    assert faces.name == f"{make.__name__}-2x1"


def test_what_makes_the_set_is_part_of_the_configuration():
    stage = replace(posterior_mean.debug(), images=SET)
    assert describe(stage)["images"]["folder"]["count"] == 5
    assert stage_name(stage) != stage_name(replace(stage, images=replace(SET, folder=Net(labelled, count=4))))


def test_recipes_train_on_sets_and_on_iterables(place):
    held_out = Images(Net(labelled, count=2), 32, held_out=True)
    for made in (labelled, Endless, stream):
        stage = replace(posterior_mean.debug(), images=replace(SET, folder=Net(made)), validation=held_out)
        trained(stage, place)
        log = (place.folder(stage) / "log.txt").read_text()
        assert ("exactly" in log) == (made is Endless)
    vae = replace(bundled.debug().flow.autoencoder, images=(replace(SET, folder=Net(stream)),), validation=held_out)
    trained(replace(vae, faces=SET), place)


def test_an_iterable_is_refused_where_images_are_counted(place):
    refused = pytest.raises(DataError, match=r"^stream makes an iterable, which can be trained on alone [^\n]*$")
    with refused:
        place.images(Images(Net(stream), 32))
    with refused:
        place.images(Images(Net(stream), 32, first=3), counted=False)
