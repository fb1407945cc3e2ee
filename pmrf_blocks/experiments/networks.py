"""A network as a configuration writes it down: a class and all arguments of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pmrf_blocks.pretrained import CONFIG, WEIGHTS, check_keys, read_json, read_safetensors
from pmrf_blocks.seeding import derive_seed

LEARNT = ("scaling_factor", "shift_factor")  # arguments that training finds out, and not the configuration


@dataclass(frozen=True, init=False)
class Net:
    """Net(SimVAE, latent_channels=32): a class, any importable one, with its arguments, defaults included.

    Arguments are bound to the constructor's signature here: TypeError where one is misspelt or missing, and for a
    constructor that takes any keyword (**kwargs), whose misspelt ones would go unnoticed. A degradation or a source
    of one's own is written down in the same way.

    Examples:
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> Net(SimVAE, latent_channels=4).changed(norm="group").arguments["norm"]
        'group'
    """

    kind: Callable[..., Any]
    arguments: Mapping[str, Any]

    def __init__(self, kind: Callable[..., Any], /, *positional: Any, **arguments: Any) -> None:
        signature = inspect.signature(kind)
        if any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in signature.parameters.values()):
            raise TypeError(f"{kind.__name__} takes any argument, so none can be checked: name the class it builds")
        try:
            bound = signature.bind(*positional, **arguments)
        except TypeError as error:
            known = ", ".join(signature.parameters)
            raise TypeError(f"{kind.__name__}: {error}; its arguments are {known}") from None
        bound.apply_defaults()
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "arguments", dict(bound.arguments))

    def build(self, seed: int) -> Any:
        """The network with the random start that `seed` gives; the global generator stays as it was."""
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(derive_seed(seed, "init"))
            return self.kind(**self.arguments)

    def load(self, folder: Path) -> Any:
        """The network with the weights that export() left in `folder`, in eval mode; WeightsError where they do not
        fit. What training found out about it is read from its config.json."""
        saved = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
        network = self.changed(**{name: saved[name] for name in LEARNT if name in self.arguments and name in saved})
        model, weights = network.build(0), read_safetensors(folder / WEIGHTS)
        check_keys(model, weights, str(folder / WEIGHTS))
        model.load_state_dict(weights)
        return model.eval()

    def changed(self, **arguments: Any) -> Net:
        """The same network with other arguments: an ablation. TypeError for a name that the constructor has not."""
        return Net(self.kind, **{**self.arguments, **arguments})
