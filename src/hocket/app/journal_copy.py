"""Copies runs from one journal into another, and moves them.

A run is copied whole or not at all, so a copy that was broken off goes on with the next run when it
is asked for again.
What its calls have said follows the run, and what is missing of that is brought the next time.
A run that was moved is removed where it was only after what is in the other journal was read back
and compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice, zip_longest
from typing import Final, Literal, TypeAlias

import msgspec

from hocket.core.values import Call
from hocket.journal.blobs import PART
from hocket.journal.moves import Damaged, Moves, Parcel, SqlMoves, damaged
from hocket.journal.sql import SqlJournal

Did: TypeAlias = Literal["copied", "moved", "already there", "refused"]

_ANSWERS: Final = 64


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run that was to be copied.

    Fields:
        run: Its id.
        did: What was done.
        events: How many events it has.
        why: Why it was refused, and what to do; else "".
    """

    run: str
    did: Did
    events: int = 0
    why: str = ""


class Kept(msgspec.Struct, frozen=True):
    """What was copied beside runs.

    Fields:
        answers: How many kept answers.
        steps: Of how many steps the durations of calls.
    """

    answers: int = 0
    steps: int = 0


class _Refusal(Exception):
    """A run is not copied, and why."""


class Copier:
    """Copies runs one by one.

    Args:
        source: From where.
        target: To where.
        move: Remove a run from where it was once its copy is durable and compared.
    """

    def __init__(self, source: SqlJournal, target: SqlJournal, *, move: bool = False) -> None:
        self._from, self._to = source, target
        self._out: Moves = SqlMoves(source)
        self._in: Moves = SqlMoves(target)
        self._move = move

    def copy(self, runs: Sequence[str], told: Callable[[Outcome], None]) -> list[Outcome]:
        """Copy runs in this order; what became of each is told at once, and given at the end.

        Raises:
            JournalError: One of the journals cannot be read or written.
        """
        outcomes = []
        for run in runs:
            outcome = self._copy(run)
            told(outcome)
            outcomes.append(outcome)
        return outcomes

    def keep(self) -> Kept:
        """Copy the kept answers and the duration book.

        Of two answers to the same the later one stays, of two pages of the book the longer one.

        Raises:
            JournalError: One of the journals cannot be read or written.
        """
        answers = 0
        rest = self._out.answers()
        while some := list(islice(rest, _ANSWERS)):
            self._files([digest for item in some for digest in item.files])
            answers += self._in.take_answers(some)
        return Kept(answers, self._in.take_book(self._out.book()))

    def _copy(self, run: str) -> Outcome:
        try:
            return self._one(run)
        except (_Refusal, Damaged) as error:
            return Outcome(run=run, did="refused", why=str(error))

    def _one(self, run: str) -> Outcome:
        parcel = self._out.parcel(run)
        if parcel is None:
            raise _Refusal("it is there no more")
        if parcel.alive:
            raise _Refusal(
                f"it is owned by {parcel.owner}, which is alive: pause it, or let it end"
            )
        known = self._in.parcel(run)
        if known is None:
            self._files(parcel.files)
            # A copy that servers were to drive would do everything twice.
            taken = msgspec.structs.replace(parcel, hosted=False)
            self._in.take(taken, partial(self._out.rows, run))
        self._compare(parcel)
        # Not before: those of another run of this id are not to be touched.
        self._logs(run)
        if self._move:
            self._remove(parcel, known)
        did: Did = "moved" if self._move else "already there" if known else "copied"
        return Outcome(run=run, did=did, events=parcel.events)

    def _files(self, digests: Sequence[str]) -> None:
        """Copy the bytes that are not there yet."""
        for digest in self._in.missing(dict.fromkeys(digests)):
            self._in.take_file(digest, self._parts(self._from, digest))

    @staticmethod
    def _parts(journal: SqlJournal, digest: str) -> Iterator[bytes]:
        start = 0
        while data := journal.blobs.read(digest, start, PART):
            yield data
            start += len(data)

    def _logs(self, run: str) -> None:
        """Bring what calls have said and is not there, also of a run that came before.

        Raises:
            _Refusal: The run is to be removed, and not all of it has come.
        """
        logs = self._from.logs
        for call in logs.calls(run):
            said = logs.read(run, call, 0, logs.size(run, call) or 0)
            if self._has(run, call, said):
                continue
            self._to.logs.put(run, call, said)
            if self._move and not self._has(run, call, said):
                raise _Refusal(f"what {call} has said is not all there: copy it again")

    def _has(self, run: str, call: Call, said: bytes) -> bool:
        """Tell whether the other journal has it; a copy that went on there may have said more."""
        return self._to.logs.read(run, call, 0, len(said)) == said

    def _compare(self, parcel: Parcel) -> None:
        """See that the other journal has the very same run, byte for byte.

        Raises:
            _Refusal: It has another one.
            JournalError: It cannot be read.
        """
        copy = self._in.parcel(parcel.id)
        pairs = zip_longest(self._out.rows(parcel.id), self._in.rows(parcel.id))
        if copy is None or any(here != there for here, there in pairs):
            raise _Refusal(
                "a run of this id is there with other events: remove one of them with hocket prune"
            )
        if copy.files != parcel.files:
            raise _Refusal("its copy there has not all of its files: remove that, and copy again")
        if not self._move:
            return
        for digest in parcel.files:
            found = hashlib.sha256()
            for part in self._parts(self._to, digest):
                found.update(part)
            if found.hexdigest() != digest:
                raise damaged(digest)

    def _remove(self, parcel: Parcel, known: Parcel | None) -> None:
        """Remove a run where it was; servers drive it on where it is now.

        Raises:
            _Refusal: It has gone on meanwhile.
        """
        if not self._out.drop(parcel):
            copy = self._in.parcel(parcel.id)
            if known is None and copy is not None and self._in.drop(copy):
                self._to.logs.remove([parcel.id])
            raise _Refusal("it has gone on while it was copied, and stays where it was")
        self._from.logs.remove([parcel.id])
        if parcel.hosted:
            self._in.host(parcel.id)
            self._to.announce()


def refusals(outcomes: Sequence[Outcome]) -> int:
    """Count the runs that were not copied."""
    return sum(outcome.did == "refused" for outcome in outcomes)
