"""Ctrl-C between two steps, never within one: what is saved then is the state of a whole step."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

ECHO = 2.0  # seconds in which a repeated signal is the first one's echo: launchers pass on what each process got


class Interruption:
    """Within `with Interruption() as asked:` Ctrl-C and SIGTERM set asked.requested; a later one raises at once.

    Signals reach the main thread alone; in any other this does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._first = 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._first = True, time.monotonic()
        elif time.monotonic() - self._first > ECHO:
            raise KeyboardInterrupt


def leave_signals_to_parent(worker: int) -> None:
    """For processes that read data: Ctrl-C is the training process's affair, and they end when it tells them to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
