"""Published inputs: a set's own degraded images are restored, by name, and pages say so."""

from dataclasses import replace

import pytest
from PIL import Image

from pmrf_blocks.commands.arguments.recipe import TableArguments
from pmrf_blocks.data import DataError
from pmrf_blocks.experiments import CELEBA_TEST, Images, Place, describe
from pmrf_blocks.experiments.evaluation import FaceSet
from pmrf_blocks.experiments.launch import faces_of, make_table, only
from recipes import table4_methods

FACES = replace(CELEBA_TEST, size=32)


@pytest.fixture
def place(image_folders, tmp_path):
    """Originals 0 to 3, each of one tone; their inputs of another, in another format and order."""
    for side, suffix, tones in (("hq", "png", (10, 20, 30, 40)), ("lq", "bmp", (110, 120, 130, 140))):
        (tmp_path / "celeba-test" / side).mkdir(parents=True)
        for number in (2, 0, 3, 1):
            tone = (tones[number],) * 3
            Image.new("RGB", (32, 32), tone).save(tmp_path / "celeba-test" / side / f"{number}.{suffix}")
    for name in ("faces256", "photos"):
        (tmp_path / name).symlink_to(image_folders / name)
    return Place(tmp_path, tmp_path / "runs", device="cpu")


def tones(images):
    return [round(255 * float(image.mean())) for image in images]


def test_inputs_are_the_published_ones_of_the_same_names(place):
    faces = FaceSet(place, FACES, limit=3)
    for written in ("blind-face", table4_methods.paper().rows[-1].stage.degradation):
        ((first, degraded, target),) = faces.degraded(written)
        assert first == 0
        assert (tones(degraded), tones(target)) == ([110, 120, 130], [10, 20, 30])
    assert faces.inputs == "restored from the published inputs in celeba-test/lq"
    assert tones(next(faces.degraded("colourisation"))[1]) != [110, 120, 130]
    assert faces.name == "celeba-test-hq-3x1-published"


def test_what_has_no_published_inputs_is_degraded_here(place):
    again = FaceSet(place, replace(FACES, degraded=None), limit=3, degradation_seeds=2)
    assert (again.inputs, again.name) == ("2 degradation(s) each, made here", "celeba-test-hq-3x2")
    assert len(next(again.degraded("blind-face"))[1]) == 6
    plain = Place(place.data / "photos", place.runs, device="cpu")
    assert FaceSet(plain, FACES).published is None
    arguments = TableArguments(place.data, on="celeba-test/hq", device="cpu", limit=2)
    table = replace(table4_methods.debug(), faces=FACES)
    assert faces_of(arguments, place, table).published is None
    assert faces_of(replace(arguments, on=None), place, table).published is not None


def test_what_is_missing_or_asked_twice_is_said_in_a_line(place):
    with pytest.raises(ValueError, match="has one input of each image; --on celeba-test/hq degrades the originals"):
        FaceSet(place, FACES, degradation_seeds=2)
    (place.data / "celeba-test/lq/2.bmp").unlink()
    with pytest.raises(DataError, match=r"celeba-test/lq lacks the inputs of 1 of 4 images, .*2.png first"):
        FaceSet(place, FACES)
    assert FaceSet(place, replace(FACES, first=2)).published is not None


def test_a_page_says_which_it_used(place, tmp_path):
    arguments = TableArguments(
        place.data, place.runs, scale="debug", device="cpu", output=tmp_path / "pages", seeds=(0,), allow_dirty=True,
        rows=("posterior mean",),
    )  # fmt: skip
    table = only(replace(table4_methods.debug(), faces=FACES), arguments)
    page = make_table(table, arguments, "table4_methods")
    assert "4 images of celeba-test/hq, restored from the published inputs in celeba-test/lq." in page.read_text()
    (told,) = place.runs.glob("results/restoration-*-celeba-test-hq-4x1-published.json")
    assert told.with_suffix(".safetensors").is_file()
    page = make_table(table, replace(arguments, on="celeba-test/hq"), "table4_methods")
    assert "4 images of celeba-test/hq, 1 degradation(s) each, made here." in page.read_text()


def test_a_setting_that_came_later_changes_no_hash_of_before():
    assert "degraded" not in describe(Images("faces", 32))
    assert describe(FACES)["degraded"] == "celeba-test/lq"
