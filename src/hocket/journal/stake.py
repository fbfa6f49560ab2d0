"""What a loop of this process has at stake in the ledger of shared limits, as the writer sees it.

All of it happens in the writer's thread.
What a transaction finds out counts only once it is committed: it works on a copy of the view.
As long as no other process has to do with the same limits, nothing is asked that only others could
have changed: the tick tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from hocket.journal import ledger, store
from hocket.journal.backend import Backend
from hocket.journal.ledger import Other
from hocket.journal.owner import is_gone, myself
from hocket.journal.schema import Database
from hocket.journal.sharing import Told
from hocket.limits.claim import Entry, Key
from hocket.limits.turns import Want

PURGE_EVERY: Final = ledger.GRACE


class Sent(NamedTuple):
    """A call was sent."""

    key: Key
    at: int


class Settled(NamedTuple):
    """Calls have ended."""

    entries: Sequence[Entry]
    now: int


class Released(NamedTuple):
    """Calls hold nothing any more."""

    keys: Sequence[Key]


class Found(NamedTuple):
    """A limit has a new adaptive state."""

    limit: str
    state: bytes
    version: int


class Lost(NamedTuple):
    """The process of a call is gone."""

    key: Key
    now: int


class Wanted(NamedTuple):
    """Other runs wait for limits than before."""

    wants: Sequence[Want]
    now: int


class Left(NamedTuple):
    """The ledger was closed."""


Note: TypeAlias = Sent | Settled | Released | Found | Lost | Wanted | Left


class Answer(NamedTuple):
    """What a request to the ledger gives.

    Fields:
        granted: Whether each key was granted, in the order in which the keys first come.
        told: What others have changed.
        tick: The tick up to which that tells of the limits.
        whole: The limits of which it tells all there is, because older changes are forgotten.
    """

    granted: list[bool]
    told: Told
    tick: int
    whole: frozenset[str]


class _View(msgspec.Struct):
    """What is known of the file.

    Fields:
        owner: This ledger's key among the owners, or 0 before it has one.
        lease_until: Until when its lease runs.
        tick: The tick of the last change that was seen.
        foreign: The tick up to which others have made changes, as far as is known.
        looked: The tick up to which changes of others were told of or rung for.
        listening: The limits whose changes are to be told.
        others: Who else has to do with these limits.
        purge_at: When to drop again what matters no more.
        now: The instant that was given last.
        wants: Whether others have been told that its calls wait.
        wrote: Whether this transaction changes something.
    """

    owner: int = 0
    lease_until: int = 0
    tick: int = -1
    foreign: int = 0
    looked: int = 0
    listening: frozenset[str] = frozenset()
    others: tuple[Other, ...] = ()
    purge_at: int = 0
    now: int = 0
    wants: bool = False
    wrote: bool = False


class Stake:
    """One ledger's part in the journal.

    Args:
        changed: Is called in the loop when another process has changed something.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.closed = False
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._me = myself()
        self._bell = ""
        self._lease = 0
        self._ring: Callable[..., None] = _nobody
        self._wall: Callable[[], int] = _never
        self._lapsed_before: Callable[[], int] = _never
        self._rung = False
        self._view = _View()
        self._next: _View | None = None

    @property
    def company(self) -> bool:
        """Whether others may be waiting for what this one changes."""
        return bool(self._view.others)

    def settle_in(self, bell: str, lease: int, backend: Backend) -> None:
        """Learn of bells, this process's and how to ring others, of leases and time; begin anew.

        What was held before was given up, as if by another process.
        """
        self._bell, self._lease = bell, lease
        self._ring, self._wall = backend.ring, backend.wall
        self._lapsed_before = backend.lapsed_before
        self._view, self._next, self._rung = _View(), None, False

    @property
    def known(self) -> bool:
        """Whether it has a key among the owners, under which it may hold something."""
        return self._view.lease_until >= self._wall()

    # -- within a transaction ---------------------------------------------------------------

    def arrive(self, db: Database) -> None:
        """Get a key, and nothing else; this may be done anew if it was undone.

        So all that follows can be done twice, if nobody knows whether it was done: what the first
        time gave to this ledger does not look like another's the second time.
        """
        self.undo()
        self._begin(db, 0)

    def reserve(
        self,
        db: Database,
        entries: Sequence[Entry],
        seen: Mapping[str, int],
        now: int,
        keep: Mapping[str, int],
    ) -> Answer:
        """Reserve what no news forbids."""
        view = self._begin(db, now)
        self._advance(db, view)
        told, fresh, whole = self._ask(db, view, seen)
        refused = {entry.key for entry in entries if entry.limit in fresh}
        granted = [entry for entry in entries if entry.key not in refused]
        ledger.reserve(db, view.owner, view.tick, granted, keep)
        if view.wants and view.others:
            ledger.serve(db, view.owner, granted)
        keys = dict.fromkeys(entry.key for entry in entries)
        told = _wanted(db, view, seen, told)
        return Answer([key not in refused for key in keys], told, view.tick, whole)

    def sync(self, db: Database, seen: Mapping[str, int], now: int) -> Answer:
        """Give what others have changed."""
        view = self._begin(db, now)
        if not view.wrote:
            _notice(view, ledger.tick(db), 0)
        told, _, whole = self._ask(db, view, seen)
        return Answer([], _wanted(db, view, seen, told), view.tick, whole)

    def apply(self, db: Database, notes: Sequence[Note]) -> None:
        """Write notes, in an order that means the same as theirs."""
        now = max(
            (note.now for note in notes if isinstance(note, Settled | Lost | Wanted)), default=0
        )
        view = self._begin(db, now)
        if self._advance(db, view):
            self._meet(db, view)
        owner, tick = view.owner, view.tick
        calls = [note for note in notes if isinstance(note, Sent)]
        if calls:
            ledger.sent(db, owner, tick, calls)
        settled = [note for note in notes if isinstance(note, Settled)]
        if settled:
            over = [(entry, note.now) for note in settled for entry in note.entries]
            ledger.settle(db, owner, tick, over)
        for note in notes:
            if isinstance(note, Found):
                ledger.set_state(db, owner, tick, note.limit, note.state, note.version)
        wanted = [note for note in notes if isinstance(note, Wanted)]
        if wanted:
            ledger.want(db, owner, tick, wanted[-1].wants, wanted[-1].now)
            view.wants = True
        released = [key for note in notes if isinstance(note, Released) for key in note.keys]
        if released:
            ledger.release(db, owner, tick, released, view.now)
        lost = [note.key for note in notes if isinstance(note, Lost)]
        if lost:
            ledger.bury_calls(db, lost, tick, now)
        if any(isinstance(note, Left) for note in notes):
            self.leave(db)

    def renew(self, db: Database) -> None:
        """Give a sign of life."""
        if self._view.owner:
            self._enrol(db, self._begin(db, 0))

    def leave(self, db: Database) -> None:
        """Take this ledger for gone."""
        if not self._view.owner and self._next is None:
            return
        view = self._begin(db, 0)
        if self._advance(db, view):
            self._meet(db, view)
        ledger.leave(db, view.owner, view.tick)

    # -- after it ---------------------------------------------------------------------------

    def commit(self) -> None:
        """Believe what the transaction has found out, and wake those who wait for its changes."""
        view, self._next = self._next, None
        if view is None:
            return
        self._view = view
        if view.wrote:
            self._ring(*{other.bell: None for other in view.others})

    def undo(self) -> None:
        """Forget what the transaction has found out."""
        self._next = None

    def look(self, db: Database) -> None:
        """See whether others have changed something, or are gone, and tell the loop."""
        view = self._view
        if not view.owner or self.closed:
            return
        gone: set[int] = set()
        moved = _notice(view, ledger.tick(db), 0)
        news = view.foreign > view.looked and ledger.is_news(db, view.owner, view.looked)
        view.looked = max(view.looked, view.foreign)
        if not news and (moved or view.others):
            # Who is told of news asks for them, and sees then who is there.
            gone = self._meet(db, view)
        if (news or gone) and not self._rung:
            self._rung = True
            self._tell()

    # -- within -----------------------------------------------------------------------------

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._changed)
        except RuntimeError:
            # The loop was closed under its ledger: nobody is left who could be told.
            self.closed = True

    def _begin(self, db: Database, now: int) -> _View:
        """Give the view that this transaction works on."""
        view = self._next
        if view is None:
            view = self._next = msgspec.structs.replace(self._view, wrote=False)
        view.now = now or view.now
        if view.lease_until < self._wall():
            self._enrol(db, view)
        return view

    def _enrol(self, db: Database, view: _View) -> None:
        now = self._wall()
        key = store.enrol(db, view.owner, self._me, self._bell, now, self._lease)
        if view.listening and (key != view.owner or view.lease_until < now):
            # Others may have taken this process for gone.
            ledger.listen(db, key, sorted(view.listening))
        view.owner, view.lease_until = key, now + self._lease

    def _advance(self, db: Database, view: _View) -> bool:
        """Give this transaction a tick, unless it has one; tells whether others had some before."""
        if view.wrote:
            return False
        view.wrote = True
        return _notice(view, ledger.advance(db), 1)

    def _meet(self, db: Database, view: _View) -> set[int]:
        """See who else has to do with these limits; gives the keys of those who are gone."""
        view.others = tuple(ledger.others(db, view.owner))
        before = self._lapsed_before()
        return {
            other.key
            for other in view.others
            if is_gone(other.owner, other.lease_until, before, self._me)
        }

    def _ask(
        self, db: Database, view: _View, seen: Mapping[str, int]
    ) -> tuple[Told, set[str], frozenset[str]]:
        """Give the news of limits, those with new entries, and those told as a whole."""
        self._rung = False
        unknown = seen.keys() - view.listening
        if unknown:
            self._advance(db, view)
            ledger.listen(db, view.owner, sorted(unknown))
            view.listening |= unknown
        if view.now >= view.purge_at:
            view.purge_at = view.now + PURGE_EVERY
            ledger.purge(db, view.now)
        quiet = not unknown and not view.others and view.foreign <= min(seen.values(), default=0)
        told, fresh, whole = Told(), set[str](), frozenset[str]()
        if not quiet:
            self._bury(db, view)
            told, fresh, whole = _news(db, view, seen)
        if view.listening <= seen.keys():
            view.looked = view.tick
        return told, fresh, whole

    def _bury(self, db: Database, view: _View) -> None:
        """See to what others have left behind that are gone."""
        gone = self._meet(db, view)
        for key in sorted(gone):
            self._advance(db, view)
            ledger.bury_owner(db, key, view.tick, view.now)
            ledger.unlisten(db, key)
            ledger.unwant(db, key, view.tick)
        view.others = tuple(other for other in view.others if other.key not in gone)


def _notice(view: _View, tick: ledger.Tick, ours: int) -> bool:
    """Take in the present tick; tells whether others have made changes since the last one."""
    before = tick.tick - ours
    moved = before != view.tick
    if moved:
        view.foreign = before
    view.tick = tick.tick
    return moved


def _news(
    db: Database, view: _View, seen: Mapping[str, int]
) -> tuple[Told, set[str], frozenset[str]]:
    whole, since = frozenset[str](), dict(seen)
    while True:
        purged, rows = ledger.news(db, view.owner, since)
        missed = frozenset(limit for limit, tick in seen.items() if tick < purged)
        if missed <= whole:
            break
        whole = missed
        since = {limit: 0 if limit in whole else tick for limit, tick in seen.items()}
    fresh = {r.entry.limit for r in rows if not r.gone and r.born > seen[r.entry.limit]}
    told = Told(
        tuple(
            r.entry for r in rows if r.matters(view.now) or (since[r.entry.limit] and not r.gone)
        ),
        tuple((r.entry.limit, r.entry.key) for r in rows if r.gone and seen[r.entry.limit]),
        ledger.states(db, view.owner, seen),
    )
    return told, fresh, whole


def _wanted(db: Database, view: _View, seen: Mapping[str, int], told: Told) -> Told:
    """Add who waits, as it is at the end of the transaction."""
    if not view.others:
        return told
    wants = ledger.wants(db, view.owner, seen.keys())
    return msgspec.structs.replace(told, wants=wants) if wants else told


def _nobody(*names: str) -> None:
    """No bell is there to be rung before the writer says how."""


def _never() -> int:
    return 0
