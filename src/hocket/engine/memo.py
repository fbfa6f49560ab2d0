"""Answers that are given again: those kept from earlier calls, and those about to be given.

Whoever asks what is being asked already waits for that call, whatever run it is of; nobody waits
for a call that has not left, since that one may have to wait for long.
An answer counts for others of this process once its run has recorded it, and for all once that is
on disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Final, Protocol

from hocket.agents.embeddings import Meaning
from hocket.core.values import Json
from hocket.journal.base import Answered, Answers


class Meanings(Protocol):
    """Finds out what texts mean."""

    def __call__(self, embed: Mapping[str, Json], text: str) -> Awaitable[Meaning]:
        """Find out what a text means, by a model.

        Raises:
            AgentError: It cannot be found out.
        """


class Waiter(Protocol):
    """A call of some run, as far as others have to do with it."""

    def call_off(self) -> None:
        """What it is to ask is being asked: it need not stand in line for its limits."""

    def look_again(self) -> None:
        """What it waited for is there, or will not come."""


class Place:
    """All calls of this process that ask the same.

    Attributes:
        flying: Those in flight.
        following: Those that wait for one in flight.
        queued: Those that wait for their limits.
    """

    __slots__ = ("flying", "following", "queued")

    def __init__(self) -> None:
        self.flying: dict[Waiter, None] = {}
        self.following: dict[Waiter, None] = {}
        self.queued: dict[Waiter, None] = {}


class Memo:
    """What the runs of one process know of each other's questions.

    Args:
        answers: Kept answers.
        meanings: Finds out what prompts mean; without it nothing is found to be similar.
        journal: Where the answers are kept; if that is `Far`, it is not waited for in the loop.
    """

    def __init__(
        self, answers: Answers, meanings: Meanings | None = None, journal: object = None
    ) -> None:
        self.answers: Final = answers
        self.meanings: Final = meanings
        self.journal: Final = journal
        self.far: Final = bool(getattr(journal, "far", False))
        self._places: dict[str, Place] = {}
        self._fresh: dict[str, Answered] = {}
        self._looking: dict[str, dict[Waiter, Answered | None]] = {}

    def find(self, key: str, ttl: int | None, now: int) -> Answered | None:
        """Give the answer to a question, unless it is too old.

        Raises:
            JournalError: It cannot be read.
        """
        return self.young(key, self._fresh.get(key) or self.answers.find(key), ttl, now)

    def young(self, key: str, kept: Answered | None, ttl: int | None, now: int) -> Answered | None:
        """Give the answer to a question of which it is known what is kept, as `find` does."""
        found = self._fresh.get(key) or kept
        if found is None or not counts(found.at, found.until, ttl, now):
            return None
        return found

    # -- who asks -----------------------------------------------------------------------------

    def queue(self, key: str, waiter: Waiter) -> None:
        """A call is going to ask this, once its limits let it."""
        self._place(key).queued[waiter] = None

    def follow(self, key: str, waiter: Waiter) -> bool:
        """Let a call wait for one that is in flight; tells whether there is one."""
        place = self._places.get(key)
        if place is None or not place.flying:
            return False
        place.following[waiter] = None
        return True

    def fly(self, key: str, waiter: Waiter) -> None:
        """A call leaves and asks this: whoever stands in line for the same need not."""
        place = self._place(key)
        place.flying[waiter] = None
        for other in list(place.queued):
            other.call_off()

    def leave(self, key: str, waiter: Waiter) -> None:
        """A call asks this no more."""
        place = self._places.get(key)
        if place is None:
            return
        for part in (place.flying, place.following, place.queued):
            part.pop(waiter, None)
        if not (place.flying or place.following or place.queued):
            del self._places[key]

    def stir(self, key: str) -> None:
        """Have those who wait for a call in flight look again."""
        place = self._places.get(key)
        if place is not None:
            following, place.following = place.following, {}
            for waiter in following:
                waiter.look_again()

    def _place(self, key: str) -> Place:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place()
        return place

    # -- answers that are not on disk yet -----------------------------------------------------

    def tell(self, answer: Answered) -> None:
        """Let others of this process have an answer before it is on disk."""
        self._fresh[answer.key] = answer

    def told(self, answer: Answered) -> None:
        """An answer is on disk, or never will be."""
        if self._fresh.get(answer.key) is answer:
            del self._fresh[answer.key]
        looking = self._looking.get(answer.key, {})
        looking.update(dict.fromkeys(looking, answer))

    # -- while a journal is asked beside the loop ---------------------------------------------

    def looks(self, key: str, waiter: Waiter) -> None:
        """A call begins to look for an answer in the journal."""
        self._looking.setdefault(key, {})[waiter] = None

    def looked(self, key: str, waiter: Waiter) -> Answered | None:
        """A call has looked; gives the answer that was told meanwhile, which it may not know."""
        looking = self._looking[key]
        heard = looking.pop(waiter)
        if not looking:
            del self._looking[key]
        return heard


def counts(at: int, until: int | None, ttl: int | None, now: int) -> bool:
    """Tell whether an answer of some instant is not too old for whoever asks, nor for its giver."""
    return (until is None or now < until) and (ttl is None or now < at + ttl)
