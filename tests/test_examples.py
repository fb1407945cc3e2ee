"""The examples in the documentation of public names give what they say."""

import doctest
import importlib
import inspect

import pytest
import torch

ROOMS = ("attention", "autoencoders", "transformers", "estimators", "flow", "degradations", "losses", "metrics")
# Here much needs files or a training run: those that have an example are run.
OTHERS = ("analysis", "data", "experiments", "faces", "images", "restoration", "training")
PARSER = doctest.DocTestParser()
# Bases, what others give back, and what needs files that a reader has to get: these have none.
WITHOUT = {
    "Adaptive", "ControlledDegradation", "EfficientNetLite0", "EfficientNetLiteFeatures", "Evaluation", "Evaluator",
    "FeatureNetwork", "Imbalance", "PrincipalComponents", "Score", "Statistics", "Structural", "VGG19Features",
    "efficientnet_lite0_features", "from_k_diffusion_config", "load_k_diffusion_weights", "load_swinir_weights",
}  # fmt: skip


def named(room):
    """Public classes and functions of a room."""
    values = vars(importlib.import_module(f"pmrf_blocks.{room}"))
    return {
        name: values[name]
        for name in values["__all__"]
        if inspect.isclass(values[name]) or inspect.isfunction(values[name])
    }


CASES = [(room, name) for room in ROOMS for name in named(room) if name not in WITHOUT]
CASES += [(room, name) for room in OTHERS for name, value in named(room).items() if ">>>" in (value.__doc__ or "")]


def test_there_are_many():
    assert len(CASES) > 110


@pytest.mark.parametrize(("room", "name"), CASES)
def test_the_example_gives_what_it_says(room, name, one_thread):
    """Written as a reader has them who has imported torch and the room's names."""
    names = named(room)
    examples = PARSER.get_examples(inspect.getdoc(names[name]))
    assert examples, f"pmrf_blocks.{room}.{name} has no example"
    case = doctest.DocTest(examples, {"torch": torch, **names}, name, None, None, None)
    torch.manual_seed(0)
    said = []
    doctest.DocTestRunner(verbose=False).run(case, out=said.append)
    assert not said, "".join(said)


def test_what_has_none_is_there():
    assert {name for room in ROOMS for name in named(room)} >= WITHOUT
