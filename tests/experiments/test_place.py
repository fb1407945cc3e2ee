"""Folders of images: the recipes' own layout, train and val, and any folder at all."""

import pytest
from PIL import Image

from pmrf_blocks.data import DataError
from pmrf_blocks.data.split import find_part, layout_note, split_by_name
from pmrf_blocks.experiments import Images, Place
from pmrf_blocks.experiments.evaluation import FaceSet
from recipes import latent_pmrf, sim_vae

TRAIN, HELD_OUT = Images("faces256/train", 8), Images("faces256/test", 8, held_out=True)


def fill(folder, count, start=0):
    folder.mkdir(parents=True)
    for number in range(start, start + count):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


def names(place, images):
    return {path.name for path in find_part(place.data, images.folder, held_out=images.held_out)}


def test_a_plain_folder_is_split_by_names(tmp_path):
    folder = fill(tmp_path / "plain", 40)
    place = Place(folder, tmp_path / "runs")
    train, held_out = names(place, TRAIN), names(place, HELD_OUT)
    assert train | held_out == {f"{number}.png" for number in range(40)}
    assert not train & held_out
    assert 1 <= len(held_out) <= 8
    fill(folder / "more", 60, start=40)  # more images move none to the other side
    assert train <= names(place, TRAIN)
    assert held_out <= names(place, HELD_OUT)
    assert "a part of it held out by file names" in layout_note(folder)


def test_a_page_does_not_call_other_images_by_a_known_name(tmp_path):
    place = Place(fill(tmp_path / "album", 20), tmp_path / "runs")
    assert FaceSet(place, HELD_OUT).folder == "album-held-out"
    fill(tmp_path / "known" / "faces256" / "test", 2)
    assert FaceSet(Place(tmp_path / "known", tmp_path / "runs"), HELD_OUT).folder == "faces256/test"


def test_train_and_val_are_taken_where_they_are(tmp_path):
    for name, count in (("train", 4), ("val", 2)):
        fill(tmp_path / "data" / name, count, start=10 * count)
    place = Place(tmp_path / "data", tmp_path / "runs")
    assert names(place, TRAIN) == {"40.png", "41.png", "42.png", "43.png"}
    assert names(place, HELD_OUT) == {"20.png", "21.png"}
    fill(tmp_path / "data" / "test", 1)
    assert names(place, HELD_OUT) == {"0.png"}


def test_a_layout_with_a_part_missing_is_an_error(tmp_path):
    fill(tmp_path / "faces256" / "train", 2)
    with pytest.raises(DataError, match="no such folder"):
        names(Place(tmp_path, tmp_path / "runs"), HELD_OUT)
    with pytest.raises(DataError, match="no such folder"):
        names(Place(tmp_path / "absent", tmp_path / "runs"), TRAIN)


def test_one_image_is_held_out_of_few():
    from pathlib import Path

    train, held_out = split_by_name([Path(f"{name}.png") for name in "abc"])
    assert (len(train), len(held_out)) == (2, 1)
    with pytest.raises(ValueError, match="needs two images"):
        split_by_name([Path("a.png")])
    with pytest.raises(ValueError, match="no image of 2 is left"):
        split_by_name([Path("one/a.png"), Path("two/a.png")])


def test_images_are_flipped_only_where_a_recipe_says_so(image_folders, tmp_path):
    place = Place(image_folders, tmp_path)
    flow = latent_pmrf.small()
    assert place.images(flow.images).framing.flip
    assert not place.images(flow.validation).framing.flip
    assert not place.images(flow.autoencoder.faces).framing.flip


def test_a_batch_is_that_of_all_processes(place, monkeypatch):
    train = sim_vae.paper().train
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert place.config(train).batch_size == 8
    monkeypatch.setenv("WORLD_SIZE", "7")
    with pytest.raises(ValueError, match="a batch of 64 cannot be shared out among 7 processes"):
        place.config(train)
