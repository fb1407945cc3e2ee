"""optimize(): a model's layers become faster equals of themselves; restore_plain() is the way back.

A fast class derives from the class whose place it takes, which it names in `plain_class`, and changes forward() alone:
an instance changes its class, so that its parameters, the keys of its state dict, what it shares with other modules
and the hooks that come later stay as they were. The classes are listed as `RULES` in the modules named in RULE_MODULES.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from pmrf_blocks.kernels.choice import why_missing
from pmrf_blocks.pretrained import plain_class

if TYPE_CHECKING:
    from collections.abc import Sequence

RULE_MODULES = ("linear", "transformers", "autoencoders")  # of this package; imported by the first optimize()


def always(module: nn.Module) -> str | None:
    """The condition of a rule that suits every module of its class."""
    return None


@dataclass(frozen=True)
class Rule:
    """One replacement.

    Arguments:
        fast: a class that derives from `fast.plain_class`, the class whose instances it replaces, and that computes the
            same up to rounding, whatever happens to the instance afterwards (see kernels/reuse.py for hooks).
        triton: whether it needs Triton; such rules are taken only where they are asked for, and go first there.
        unfit: says why a certain module is better left alone, or None.
    """

    fast: type[nn.Module]
    triton: bool = False
    unfit: Callable[[nn.Module], str | None] = always


@dataclass(frozen=True)
class Swap:
    """A module that was replaced: its name in the model, and the names of the two classes."""

    name: str
    plain: str
    fast: str


@dataclass(frozen=True)
class LeftAlone:
    """A module that has a faster equal and was not replaced, and why."""

    name: str
    plain: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What one call of optimize() replaced and what it left alone. str() is meant for people.

    Examples:
        >>> print(optimize(torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.GELU())))
        1 Linear became FastLinear
    """

    swapped: tuple[Swap, ...] = ()
    left: tuple[LeftAlone, ...] = ()

    def __str__(self) -> str:
        kinds = Counter((swap.plain, swap.fast) for swap in self.swapped)
        lines = [f"{count} {plain} became {fast}" for (plain, fast), count in sorted(kinds.items())]
        lines += [f"{item.name or 'the model'} ({item.plain}) stays as it is: {item.reason}" for item in self.left]
        return "\n".join(lines) or "nothing to replace"


def optimize(model: nn.Module, *, triton: bool = False) -> Report:
    """Replace, in place, the layers of a model by faster equals; what it computes stays the same up to rounding.

    A layer is replaced where its class, exactly, has a rule and nobody has changed what calling it means: layers that
    are hooked, parametrised or wrapped are left alone. Calling it again replaces what is new. Hooks that are registered
    later see what they would have seen. Training is right, but not faster: the gains are those of inference.

    Arguments:
        triton: take the Triton kernels too, for models on CUDA. They passed their tests on one kind of GPU (H200),
            untuned: compare speed and results before you rely on them.

    Returns what was replaced and what was left alone. ImportError where `triton` is asked for and cannot be had.

    Examples:
        >>> from pmrf_blocks.autoencoders import SimVAE
        >>> vae = SimVAE(latent_channels=4, channels=(8, 16), blocks_per_level=1).eval()
        >>> x = torch.rand(1, 3, 32, 32)
        >>> with torch.no_grad():
        ...     plain = vae(x)
        ...     report = optimize(vae)
        ...     torch.allclose(vae(x), plain, atol=1e-5), len(report.swapped) > 0
        (True, True)
    """
    if triton and (reason := why_missing()) is not None:
        raise ImportError(f"optimize(triton=True): {reason}")
    rules = {plain_class(rule.fast): rule for rule in _rules() if not rule.triton}
    if triton:
        rules |= {plain_class(rule.fast): rule for rule in _rules() if rule.triton}
    swapped, left = [], []
    for name, module in model.named_modules():
        plain = plain_class(type(module))
        rule = rules.get(plain)
        if rule is None or type(module) is rule.fast:
            continue
        reason = why_not(module) or rule.unfit(module)
        if reason is None:
            module.__class__ = rule.fast
            swapped.append(Swap(name, plain.__name__, rule.fast.__name__))
        else:
            left.append(LeftAlone(name, plain.__name__, reason))
    return Report(tuple(swapped), tuple(left))


def restore_plain(model: nn.Module) -> None:
    """Undo optimize(): every module is of its plain class again.

    Examples:
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 8))
        >>> report = optimize(model)
        >>> restore_plain(model)
        >>> type(model[0]) is torch.nn.Linear
        True
    """
    for module in model.modules():
        module.__class__ = plain_class(type(module))


def why_not(module: nn.Module) -> str | None:
    """Why a module may not be replaced, whatever its rule: calling it does more than its class says. None where it
    may. (A parametrised module has a class of its own, which has no rule.)"""
    hooks = (
        module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks
    )  # fmt: skip
    if any(hooks):
        return "it is hooked"
    if "forward" in vars(module):
        return "its forward() is wrapped"
    return None


def _rules() -> Iterator[Rule]:
    for name in RULE_MODULES:
        rules: Sequence[Rule] = importlib.import_module(f"pmrf_blocks.kernels.{name}").RULES
        yield from rules
