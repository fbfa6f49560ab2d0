"""Those who watch a run: told of an event once it is on disk, and never in the run's way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from hocket.core.events import Recorded
from hocket.core.values import Call


class Observer(Protocol):
    """Whoever watches a run. It is called in the loop and must return at once."""

    def recorded(self, events: Sequence[Recorded]) -> None:
        """These events are on disk."""

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """A call in flight has said something."""


class Audience:
    """The observers of one run, and the events that they have not been shown.

    An observer that raises is reported to the loop and told nothing more: the run goes on.

    Args:
        loop: Whom to report to.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._observers: list[Observer] = []
        self._unshown: deque[Recorded] = deque()

    @property
    def unshown(self) -> int:
        """The number of the last event that is not known to be on disk yet; 0 if all are."""
        return self._unshown[-1].seq if self._unshown else 0

    def admit(self, observers: Iterable[Observer], opening: Iterable[Recorded] = ()) -> None:
        """Let observers in, who are to see these events first."""
        self._observers.extend(observers)
        for recorded in opening:
            self.note(recorded)

    def note(self, recorded: Recorded) -> None:
        """Keep an event until it is on disk."""
        if self._observers:
            self._unshown.append(recorded)

    def show(self, seq: int) -> None:
        """Show every event up to this number: they are on disk."""
        unshown = self._unshown
        if not unshown or unshown[0].seq > seq:
            return
        shown: list[Recorded] = []
        while unshown and unshown[0].seq <= seq:
            shown.append(unshown.popleft())
        for observer in list(self._observers):
            try:
                observer.recorded(shown)
            except Exception as error:
                self._failed(observer, error)

    def emit(self, call: Call, stream: str, text: str) -> None:
        """Show what a call in flight says."""
        for observer in list(self._observers):
            try:
                observer.emitted(call, stream, text)
            except Exception as error:
                self._failed(observer, error)

    def dismiss(self, observer: Observer) -> None:
        """Show an observer nothing more."""
        if observer in self._observers:
            self._observers.remove(observer)

    def _failed(self, observer: Observer, error: Exception) -> None:
        self.dismiss(observer)
        message = f"{observer!r} has failed and watches the run no more"
        self._loop.call_exception_handler({"message": message, "exception": error})
