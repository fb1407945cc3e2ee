"""What the documentation of public names must say: shapes, ranges, errors, and where the formula comes from."""

import importlib
import inspect
import re

import pytest
from torch import nn

ROOMS = (
    "attention", "autoencoders", "transformers", "estimators", "flow", "degradations", "losses", "metrics", "analysis",
    "restoration",
)  # fmt: skip
SHAPE = re.compile(r"\((?:[A-Z]\w*|\.\.\.|\d|kernel)[^()]*,[^()]*\)|scalar|shape")
RANGE = re.compile(r"\[-?\d[^\]]*, ?-?\d[^\]]*\]|0\.\.\d+|any range|0 to \d+|of any values")
SOURCE = re.compile(
    r"section|appendix|eq\.|equation|table \d|figure \d|et al|https?://|algorithm|NATTEN|k-diffusion|OpenCV|libjpeg|"
    r"diffusers|LPIPS|torchmetrics|scikit-image|DifFace|ELIR|PMRF|GFPGAN",
    re.IGNORECASE,
)
IMAGES = ("image", "images", "degraded", "restored", "photograph")


def public():
    """(name, what it is, its documentation, its module's) of functions on tensors and of networks."""
    for room in ROOMS:
        module = importlib.import_module(f"pmrf_blocks.{room}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value):
                if issubclass(value, nn.Module):
                    yield f"{room}.{name}", value
            elif inspect.isfunction(value) and "Tensor" in str(inspect.signature(value)):
                yield f"{room}.{name}", value


def documentation(value):
    """A function's own; a class's with those of its public methods and of the classes it builds on. Without examples,
    whose numbers look like shapes and ranges."""
    if not inspect.isclass(value):
        return (value.__doc__ or "").partition("Examples:")[0]
    own = [base for base in value.__mro__ if base.__module__.startswith("pmrf_blocks")]
    methods = [m for name, m in inspect.getmembers(value, inspect.isfunction) if not name.startswith("_")]
    methods = [m for m in methods if m.__module__.startswith("pmrf_blocks")]
    return "\n".join((part.__doc__ or "").partition("Examples:")[0] for part in (*own, *methods))


def parameters(value):
    function = value.forward if inspect.isclass(value) else value
    return inspect.signature(function).parameters


CASES = dict(public())


def test_there_is_something_to_check():
    assert len(CASES) > 50


@pytest.mark.parametrize("name", CASES)
def test_documentation_has_its_sections(name):
    value = CASES[name]
    text = documentation(value)
    around = text + (inspect.getmodule(value).__doc__ or "")
    missing = []
    if not SHAPE.search(text):
        missing.append("the shape of a tensor, such as (B, C, H, W)")
    if any(argument in IMAGES for argument in parameters(value)) and not RANGE.search(around):
        missing.append("the range of pixels, such as [0, 1]")
    if re.search(r"^\s+raise \w+Error\(", inspect.getsource(value), re.MULTILINE) and not re.search(
        r"Raises|Error", text
    ):
        missing.append("what it raises")
    if not SOURCE.search(around):
        missing.append("where it comes from: a section, an equation, a paper, the code it equals")
    assert not missing, f"pmrf_blocks.{name} does not say: {'; '.join(missing)}"
