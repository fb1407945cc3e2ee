"""Where an iterable source stands, as plain values for a checkpoint, and the way back there.

Whether it led back is not believed but seen: the images that come next are read ahead, and their checksum kept.
"""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pmrf_blocks.data.errors import DataError
from pmrf_blocks.data.streams import IterableImages
from pmrf_blocks.messages import first_line
from pmrf_blocks.seeding import seeded

CPU, END = torch.device("cpu"), object()
PLAIN = (type(None), bool, int, float, str, bytes, Tensor)  # what a checkpoint can hold and be trusted to
AHEAD = 4  # images that are compared: of a shuffled buffer, one could be right by chance
INEXACT = "this run does not resume exactly"


class Stream:
    """A source that is being read without end, one epoch after the other.

    Between two calls of state_dict() so many images must be taken as are compared: at most `between`.
    What the source draws from the global generators is a function of the seed and of the number of items read before.
    """

    def __init__(self, images: IterableImages, seed: int, between: int) -> None:
        self.images, self.seed, self.name, self.compared = images, seed, images.where, min(AHEAD, between)
        self.taken = self.epoch = self.within = 0  # items of all epochs, number of this one, items of this one
        self.source: Any = None
        self.iterator: Iterator[Any] | None = None
        self.ahead: deque[np.ndarray] = deque()

    @property
    def place(self) -> str:
        """The next image's, for messages."""
        return f"image {self.taken - len(self.ahead)}"

    def take(self) -> np.ndarray:
        """Pixels (H, W, 3) of the next image."""
        return self.ahead.popleft() if self.ahead else self._read()

    def pass_over(self) -> None:
        """Leave the next image out."""
        if self.ahead:
            self.ahead.popleft()
        else:
            self._item()

    def state_dict(self) -> dict[str, Any]:
        """Where it stands before the next images, which are read ahead."""
        holder = self._holder()
        place = {"taken": self.taken, "epoch": self.epoch, "within": self.within}
        state = None if holder is None else _plain(copy.deepcopy(holder.state_dict()), self.name)
        of = "" if holder is None else "iterator" if holder is self.iterator else "source"  # both: begun, then loaded
        return {**place, "of": of, "source": state, "next": self._look_ahead()}

    def start(self) -> tuple[dict[str, Any], str]:
        """(the state of the beginning, what is to be said of resuming in a sentence, or '')."""
        state = self.state_dict()
        if self.images.skip or self._holder() is not None:
            return state, ""
        return state, (
            f"{self.name} has no state_dict() and load_state_dict(): stopped, this run will not resume exactly but "
            "begin anew with its first images (skip=True passes over those that were seen)"
        )

    def resume(self, state: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Go to where `state` was taken: (the state there, what is not exact about it in a sentence, or '')."""
        number, remedy = state["taken"], "skip=True reads up to there again"
        if self.images.skip:
            self._read_again(state)
            remedy = "its order must depend on no clock and on no generator that is not seeded"
        elif state["of"]:
            self._load(state)
        else:
            word = f"{INEXACT}: {self.name} cannot go back to its image {number} and is begun anew ({remedy})"
            return self.state_dict(), word
        found = self._look_ahead()
        if all(one == before for one, before in zip(found, state["next"])):
            return dict(state), ""
        word = f"{INEXACT}: {self.name}, back at its image {number}, gives others than before ({remedy})"
        return {**state, "next": found}, word

    def _read_again(self, state: Mapping[str, Any]) -> None:
        passed = state["taken"]
        if hasattr(self.images.open(), "set_epoch"):  # the epochs before this one need not be read
            self.epoch, passed = state["epoch"], state["within"]
            self.taken = state["taken"] - passed
        for _ in range(passed):
            self._item()

    def _load(self, state: Mapping[str, Any]) -> None:
        self.taken, self.epoch, self.within = (state[name] for name in ("taken", "epoch", "within"))
        inner = copy.deepcopy(state["source"])
        try:
            iterator: Any = self._begin(None if state["of"] == "iterator" else inner)
            if state["of"] == "iterator":
                iterator.load_state_dict(inner)
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise DataError(f"{self.name} cannot be taken back to its image {self.taken}: {reason}") from error

    def _begin(self, state: Any = None) -> Iterator[Any]:
        """The source's epoch from its first item on, or from where its own `state` says."""
        with seeded(self.seed, "epoch", self.epoch, device=CPU):
            self.source = self.images.open(self.epoch)
            if state is not None:
                self.source.load_state_dict(state)
            self.iterator = iter(self.source)
        return self.iterator

    def _holder(self) -> Any:
        """Who has a state: the source, or its iterator; None where neither has."""
        if self.iterator is None:
            self._begin()
        for one in (self.source, self.iterator):
            if callable(getattr(one, "state_dict", None)) and callable(getattr(one, "load_state_dict", None)):
                return one
        return None

    def _look_ahead(self) -> list[str]:
        """Read images ahead; their checksums."""
        self.ahead.extend(self._read() for _ in range(self.compared))
        told = (repr(pixels.shape).encode() + pixels.tobytes() for pixels in self.ahead)
        return [hashlib.blake2b(one, digest_size=16).hexdigest() for one in told]

    def _read(self) -> np.ndarray:
        place = f"image {self.taken}"
        return self.images.reader.pixels(self._item(), place)

    def _item(self) -> Any:
        while True:
            iterator = self._begin() if self.iterator is None else self.iterator
            try:
                with seeded(self.seed, "item", self.taken, device=CPU):
                    item = next(iterator, END)
            except Exception as error:
                reason = f"{type(error).__name__}: {first_line(error)}"
                raise DataError(f"{self.name} failed after {self.taken} images: {reason}") from error
            if item is not END:
                self.taken, self.within = self.taken + 1, self.within + 1
                return item
            if self.within == 0:
                again = " and none when it is begun again: it must be an iterable that can be" if self.taken else ""
                raise DataError(f"{self.name} gave {self.taken} images{again}")
            self.iterator, self.epoch, self.within = None, self.epoch + 1, 0


def _plain(state: Any, name: str) -> Any:
    """A source's state with numbers of NumPy's as Python's; DataError for what a checkpoint cannot hold."""
    if isinstance(state, np.generic):
        return state.item()
    if type(state) in (dict, OrderedDict):
        return type(state)((_plain(key, name), _plain(value, name)) for key, value in state.items())
    if type(state) in (list, tuple):
        return type(state)(_plain(value, name) for value in state)
    if type(state) not in PLAIN:
        kind = f"{type(state).__module__}.{type(state).__name__}"
        raise DataError(f"the state_dict() of {name} holds a {kind}; a checkpoint takes plain values and tensors")
    return state
