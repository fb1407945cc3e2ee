"""Which classes a config.json may name: one table for all that is saved and loaded.

A file from elsewhere names classes. Imported because of it is what stands here, and code of one's own, which a file
names by its import path, where the caller says that it trusts that code's module (variants.py).
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

from pmrf_blocks.messages import short
from pmrf_blocks.pretrained import WeightsError, plain_class
from pmrf_blocks.variants import PACKAGE, from_path, import_path, is_path

# By what it is, then by the name in a config.json: the module that has it.
CLASSES: dict[str, dict[str, str]] = {
    "network": {
        "SimVAE": "pmrf_blocks.autoencoders",
        "UNet": "pmrf_blocks.estimators",
        "SwinIR": "pmrf_blocks.estimators",
        "RRDB": "pmrf_blocks.estimators",
        "HourglassTransformer": "pmrf_blocks.transformers",
        "SDVAE": "pmrf_blocks.autoencoders",
        "ForeignNetwork": "pmrf_blocks.restoration",
    },
    "pipeline": dict.fromkeys(
        ("LatentPMRF", "PMRF", "PosteriorMean", "ELIR", "ResShift", "Pipeline"), "pmrf_blocks.restoration"
    ),
    "part": dict.fromkeys(
        ("Pixels", "Latents", "PosteriorMeanSource", "LatentMeanSource", "DegradedSource", "NoiseSource"),
        "pmrf_blocks.restoration",
    ),
}
METHODS = {"network": "from_pretrained", "pipeline": "restore", "part": "forward"}  # what one's own class must have


def class_named(kind: str, name: Any, *, where: str, trusted_modules: Collection[str] = ()) -> Any:
    """The class that a config.json names.

    Arguments:
        kind: a key of CLASSES.
        name: what the file says: a name in CLASSES, or the import path of a class of one's own.
        where: file and entry, for the message.
        trusted_modules: modules or packages outside pmrf_blocks whose code may be imported.

    Raises WeightsError for a name that is not among those in CLASSES, and for an import path that is not trusted, leads
    nowhere, or to another kind of thing.
    """
    table = CLASSES[kind]
    if isinstance(name, str) and name in table:
        return getattr(import_module(table[name]), name)
    if not is_path(name) or name.startswith(f"{PACKAGE}."):  # not everything here may be built with any numbers
        raise WeightsError(f"{where} must be one of {', '.join(table)}; got {short(name)}")
    try:
        found = from_path(name, trusted_modules=trusted_modules)
    except ValueError as error:
        raise WeightsError(f"{where}: {error}") from None
    if not isinstance(found, type) or not hasattr(found, METHODS[kind]):
        raise WeightsError(f"{where}: {name!r} is no {kind}: it has no {METHODS[kind]}()")
    return found


def name_of(kind: str, thing: type, *, what: str) -> str:
    """The name by which class_named() finds the class `thing` again.

    Raises ValueError, about `what`, where none does: the class is not among CLASSES, and has no import path, or not
    what its kind must have.
    """
    thing, table = plain_class(thing), CLASSES[kind]
    name = thing.__name__
    if name in table and getattr(import_module(table[name]), name) is thing:
        return name
    if not hasattr(thing, METHODS[kind]) or thing.__module__.startswith(f"{PACKAGE}."):
        listed = ", ".join(table)
        raise ValueError(
            f"{what} must be one of {listed}, or one's own that inherits Pretrained, to be saved; got {name}"
        )
    return import_path(thing)
