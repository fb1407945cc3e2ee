"""The examples in the documentation of public names give what they say."""

import doctest
import importlib
import inspect

import pytest
import torch

from tests.test_api import PUBLIC


def named(room):
    """Public classes and functions of a room."""
    values = vars(importlib.import_module(f"pmrf_blocks.{room}"))
    return {name: values[name] for name in values["__all__"] if callable(values[name])}


CASES = [(room, name) for room in PUBLIC for name, value in named(room).items() if ">>>" in (value.__doc__ or "")]


def test_there_are_many():
    assert len(CASES) > 260


@pytest.mark.parametrize(("room", "name"), CASES)
def test_the_example_gives_what_it_says(room, name, one_thread):
    """Written as a reader has them who has imported torch and the room's names."""
    names = named(room)
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(names[name]))
    case = doctest.DocTest(examples, {"torch": torch, **names}, name, None, None, None)
    torch.manual_seed(0)
    said = []
    doctest.DocTestRunner(verbose=False).run(case, out=said.append)
    assert not said, "".join(said)
