"""Parameter counts against the published ones, the page that tells them, and names of weights that stay."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.make.models_page import PAGE, PRESETS, build_all, count, markdown, weight_names
from docs.make.weight_names import compact, expand

NAMES = json.loads((Path(__file__).parents[1] / "weight_names.json").read_text())
PUBLISHED = [(room, name) for room, presets in PRESETS.items() for name in presets if presets[name].published]


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == markdown(), "run python -m docs.make.models_page"


def test_names_of_the_weights_stay():
    """A change here breaks the files of users; where it is meant, the loaders must still read the old names."""
    now = weight_names()
    assert set(now) == set(NAMES)
    for preset, patterns in NAMES.items():
        old, new = set(expand(patterns)), set(expand(now[preset]))
        assert old == new, f"{preset}: gone {compact(sorted(old - new))}, new {compact(sorted(new - old))}"


@pytest.mark.parametrize(("room", "name"), PUBLISHED)
def test_counts_are_the_published_ones(room, name):
    preset = PRESETS[room][name]
    parameters = count(build_all()[room][name])
    tolerance = 0.006 if preset.published % 1000 == 0 else 0.0  # printed with one digit, or counted
    assert abs(parameters / preset.published - 1.0) <= tolerance


PARTS = st.sampled_from(["a", "b", "norm", "0", "1", "2", "5", "10"])


@given(st.sets(st.lists(PARTS, min_size=1, max_size=4).map(".".join), max_size=30))
def test_compact_names_lose_nothing(names):
    patterns = compact(sorted(names))
    assert sorted(expand(patterns)) == sorted(names)
    assert len(patterns) <= len(names)


def test_compact_names_read_well():
    names = [f"a.{i}.{kind}" for i in (0, 1, 2, 10) for kind in ("weight", "bias")] + ["b.7.c"]
    assert compact(names) == ["a.{0,1,2,10}.{bias,weight}", "b.7.c"]
    assert compact(f"level.{i}" for i in range(12)) == ["level.{0-11}"]
