"""What is wrong with a set of others, or with its use, ends a training in one line."""

import re

import numpy as np
import pytest
from source_toys import SETS, SETTINGS, Labelled, Pipeline, Restoring, Stateful, picture
from training_toys import run

from pmrf_blocks.data import DataError, IterableImages, MapImages
from pmrf_blocks.training import TrainingError


@pytest.mark.parametrize("workers", [0, 1])
def test_a_wrong_item_that_was_not_looked_at_ends_it_in_one_line(tmp_path, workers):
    data = MapImages([*[picture(0)] * 7, 3, *[picture(0)] * 9], size=8)
    assert not data.problems(range(17))
    with pytest.raises(DataError, match=r"^item 7 of list: no image but 3, a int; [^\n]*$"):
        run(tmp_path, Restoring(), data, **SETTINGS | {"steps": 9}, workers=workers)


def test_a_wrong_item_ends_it_before_the_first_step(tmp_path):
    class Spoilt(Labelled):
        def __getitem__(self, index):
            return 3, index

    with pytest.raises(DataError, match=r"^1 image in Spoilt cannot be used: item 0: no image but 3, a int; [^\n]*$"):
        run(tmp_path, Restoring(), MapImages(Spoilt(), size=8), **SETTINGS)


def broken(source, **options):
    return lambda: IterableImages(source, **{"size": 8, **options})


class Refusing(Stateful):
    def load_state_dict(self, state):
        raise KeyError("shard 3 is gone")


class Opaque(Stateful):
    def state_dict(self):
        return {"buffer": [np.arange(3)]}


def failing():
    yield from map(picture, range(6))
    raise OSError("the server has gone")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (broken([picture(0)] * 4 + [(3,)]), "image 4 of list: no image but 3, a int; .*"),
        (
            broken([picture(0)] * 4 + [picture(0, side=6)], size=None, crop=8),
            "image 4 of list is 6x6, smaller than .* 8",
        ),
        (broken([picture(0), picture(0, side=6)], size=None), "squares of list are 6 and 12 pixels wide, for one .*"),
        (broken(failing), "failing failed after 6 images: OSError: the server has gone"),
        (broken([]), "list gave 0 images"),
        (lambda: broken(map(picture, range(6)))(), "map gave 6 images and none when it is begun again: it must be .*"),
        (broken(Opaque()), r"the state_dict\(\) of Opaque holds a numpy.ndarray; a checkpoint takes plain .*"),
    ],
)
def test_what_is_wrong_with_a_stream_is_one_line(tmp_path, make, message, workers):
    with pytest.raises(DataError) as error:
        run(tmp_path, Restoring(), make(), **SETTINGS, workers=workers)
    assert re.fullmatch(message, str(error.value))


def test_what_is_wrong_with_its_use_is_one_line(tmp_path):
    with pytest.raises(DataError, match="training needs a map-style set, and Pipeline is none; wrap it"):
        run(tmp_path / "bare", Restoring(), Pipeline(), **SETTINGS)
    with pytest.raises(DataError, match="validation needs a map-style set, and IterableImages is none"):
        run(tmp_path / "validated", Restoring(), SETS["rows"](), **SETTINGS, validation=SETS["stateful"]())
    with pytest.raises(DataError, match="int is neither an iterable nor a function that makes one"):
        IterableImages(3)
    run(tmp_path, Restoring(), IterableImages(Refusing(), size=8), **SETTINGS, stop=2)
    with pytest.raises(DataError, match=r"^Refusing cannot be taken back to its image 8: KeyError: 'shard 3 is gone'$"):
        run(tmp_path, Restoring(), IterableImages(Refusing(), size=8), **SETTINGS)
    with pytest.raises(TrainingError, match="dataset source was 'Refusing' and is 'Stateful'"):
        run(tmp_path, Restoring(), SETS["stateful"](), **SETTINGS)
