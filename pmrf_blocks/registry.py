"""Which classes a config.json may name: one table for all that is saved and loaded.

A file from elsewhere names classes; nothing is imported because of it but what stands here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pmrf_blocks.pretrained import WeightsError, plain_class

# By what it is, then by the name in a config.json: the module that has it.
CLASSES: dict[str, dict[str, str]] = {
    "network": {
        "SimVAE": "pmrf_blocks.autoencoders",
        "UNet": "pmrf_blocks.estimators",
        "SwinIR": "pmrf_blocks.estimators",
        "RRDB": "pmrf_blocks.estimators",
        "HourglassTransformer": "pmrf_blocks.transformers",
        "SDVAE": "pmrf_blocks.autoencoders",
    },
    "pipeline": dict.fromkeys(("LatentPMRF", "PMRF", "PosteriorMean", "ELIR", "Pipeline"), "pmrf_blocks.restoration"),
    "part": {
        **dict.fromkeys(("Pixels", "Latents"), "pmrf_blocks.restoration.spaces"),
        **dict.fromkeys(
            ("PosteriorMeanSource", "LatentMeanSource", "DegradedSource", "NoiseSource"),
            "pmrf_blocks.restoration.sources",
        ),
    },
}


def class_named(kind: str, name: Any, *, where: str) -> Any:
    """The class that a config.json names.

    Arguments:
        kind: a key of CLASSES.
        name: what the file says.
        where: file and entry, for the message.

    Raises WeightsError, listing the names, for one that is not among them.
    """
    table = CLASSES[kind]
    if not isinstance(name, str) or name not in table:
        raise WeightsError(f"{where} must be one of {', '.join(table)}; got {name!r}")
    return getattr(import_module(table[name]), name)


def name_of(kind: str, thing: type, *, what: str) -> str:
    """The name by which class_named() finds the class `thing` again; ValueError, about `what`, where none does."""
    thing, table = plain_class(thing), CLASSES[kind]
    name = thing.__name__
    if name not in table or getattr(import_module(table[name]), name) is not thing:
        raise ValueError(f"{what} must be one of {', '.join(table)} to be saved; got {name}")
    return name
