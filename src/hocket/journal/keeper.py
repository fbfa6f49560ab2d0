"""The runs that this process owns: their claims, their lease, their requests.

All of it happens in the writer's thread, within work that the writer does or when it looks around.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from hocket.core.errors import JournalError, OwnershipLost
from hocket.journal import store
from hocket.journal.backend import Backend, Connection
from hocket.journal.base import Posted
from hocket.journal.codec import decode_request
from hocket.journal.owner import myself
from hocket.journal.progress import Progress
from hocket.journal.schema import Database, in_transaction
from hocket.journal.stake import Stake
from hocket.journal.store import Claim, New

POLL_SECONDS: Final = 0.5
"""How often the inbox is looked at when no bell rings."""

HEARTBEATS: Final = 5
"""How often a lease is renewed before it would lapse."""


class Port:
    """An owned run as the writer sees it; what it tells goes to the run's loop.

    Attributes:
        told: The last request that the owner was told of; only the writer thread uses it.
        looked: Whether the owner was told of its inbox since it asked for that.
        dead: Whether its writing has ended; what is still queued for it is dropped.
    """

    def __init__(self, run: str, claim: Claim, loop: asyncio.AbstractEventLoop) -> None:
        self.run = run
        self.key = claim.run
        self.epoch = claim.epoch
        self.progress = Progress(claim.seq)
        self.told = 0
        self.looked = False
        self.dead = False
        self._loop = loop

    def tell(self, callback: Callable[..., None], *arguments: object) -> None:
        """Have the run's loop call this."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop was closed under its run: nobody is left who could be told.
            self.dead = True

    def fail(self, failure: JournalError | OwnershipLost) -> None:
        """Tell that nothing more will be written."""
        if not self.dead:
            self.dead = True
            self.tell(self.progress.fail, failure)


class Keeper:
    """The owned runs of one writer.

    Attributes:
        ports: The runs by key.
        stakes: What the process has at stake in the ledger of shared limits.
        bell: The name of this process's bell, or "".
        pause: Seconds between two looks at the inbox when no bell rings.
    """

    def __init__(self, lease: float, backend: Backend) -> None:
        self.ports: Final[dict[int, Port]] = {}
        self.stakes: Final[list[Stake]] = []
        self.bell = ""
        self.pause = min(POLL_SECONDS, lease / HEARTBEATS)
        self._me = myself()
        self._backend = backend
        self._lease = round(lease * 1e9)
        self._owner = 0
        self._next_look = 0.0
        self._next_heartbeat = 0.0

    def create(self, new: New) -> Callable[[Database], Claim]:
        """Give the work that creates a run owned by this process."""

        def work(db: Database) -> Claim:
            with self._enrolled(db) as owner:
                return store.create_run(db, new, owner)

        return work

    def claim(self, id: str) -> Callable[[Database], Claim]:
        """Give the work that takes a run over."""

        def work(db: Database) -> Claim:
            before = self._backend.lapsed_before()
            with self._enrolled(db) as owner:
                return store.claim_run(db, id, owner, self._me, before)

        return work

    def adopt(self, port: Port) -> None:
        """Keep a claimed run's lease and inbox from now on; called by a job, in the thread."""
        self.ports[port.key] = port
        self._next_look = 0.0

    def release(self, port: Port) -> Callable[[Database], None]:
        """Give the work that gives a run up."""

        def work(db: Database) -> None:
            port.dead = True
            if self.ports.get(port.key) is port:
                del self.ports[port.key]
            store.release_run(db, port.key, port.epoch)

        return work

    def release_all(self, db: Database) -> None:
        """Give all runs up, and what their calls hold."""
        for port in self.ports.values():
            store.release_run(db, port.key, port.epoch)
        self._drop_closed()
        for stake in self.stakes:
            # This is done anew if it was undone.
            stake.undo()
            stake.leave(db)

    def join(self, stake: Stake) -> None:
        """Take care of a stake from now on."""
        if stake not in self.stakes:
            stake.settle_in(self.bell, self._lease, self._backend)
            self.stakes.append(stake)

    def lose(self, port: Port) -> None:
        """Take note that another process owns a run now."""
        self.ports.pop(port.key, None)
        port.fail(
            OwnershipLost(
                f"run {port.run} was taken over by another process while this one did not answer; "
                "this one has stopped working on it"
            )
        )

    def end(self, failure: JournalError) -> None:
        """Tell all owned runs that nothing more is written."""
        for port in self.ports.values():
            port.fail(failure)

    def begin_anew(self) -> None:
        """Forget what was owned: after a failure it was given up."""
        self.ports.clear()
        self.stakes.clear()
        self._owner = 0

    def look_soon(self) -> None:
        """Have the next `look` look at once."""
        self._next_look = 0.0

    def until_look(self) -> float | None:
        """Give the seconds until the next look is due, or None for never."""
        return max(0.0, self._next_look - time.monotonic()) if self.ports else None

    def look(self, db: Connection) -> None:
        """Renew the lease and hand out requests, if it is time to."""
        if self.ports and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + self.pause
            self._renew(db)
            self._deliver(db)
            for stake in self.stakes:
                stake.look(db)

    @contextmanager
    def _enrolled(self, db: Database) -> Iterator[int]:
        """Renew the lease for some work, and give the key that it is known by.

        A key of work that fails is undone with it, and may be another journal's of this process
        soon: whoever went by it would take that one's runs for its own.
        Where it is the commit that fails, `begin_anew` forgets the key.
        """
        now = self._backend.wall()
        owner = store.enrol(db, self._owner, self._me, self.bell, now, self._lease)
        yield owner
        self._owner = owner

    def _drop_closed(self) -> None:
        self.stakes[:] = [stake for stake in self.stakes if not stake.closed]

    def _give_signs(self, db: Database) -> None:
        with self._enrolled(db):
            self._drop_closed()
            for stake in self.stakes:
                stake.renew(db)

    def _renew(self, db: Connection) -> None:
        if time.monotonic() < self._next_heartbeat:
            return
        self._backend.beat(db)
        try:
            in_transaction(db, self._give_signs)
        except BaseException:
            for stake in self.stakes:
                stake.undo()
            raise
        # Not where a run is claimed: that may be undone, and renews no stake.
        self._next_heartbeat = time.monotonic() + self._lease / 1e9 / HEARTBEATS
        for stake in self.stakes:
            stake.commit()
        owned = store.owned_by(db, self._owner)
        for port in list(self.ports.values()):
            if owned.get(port.key) != port.epoch:
                self.lose(port)
        for run in owned.keys() - self.ports.keys():
            # Whoever had asked for it was told that it could not be had: the connection was cut.
            store.release_run(db, run, owned[run])

    def _deliver(self, db: Database) -> None:
        """Tell each owner of the requests that it has not been told of."""
        listening = [port for port in self.ports.values() if port.progress.on_posted is not None]
        if not listening:
            return
        fresh: dict[int, list[Posted]] = {}
        runs, told = [port.key for port in listening], min(port.told for port in listening)
        for id, run, request, at in store.unanswered(db, runs, told):
            port = self.ports.get(run)
            if port is None or id <= port.told or port.progress.on_posted is None:
                continue
            port.told = id
            try:
                fresh.setdefault(run, []).append(Posted(id, decode_request(request, id), at))
            except JournalError as error:
                db.execute(store.ANSWER, (str(error), id, run))
        for port in listening:
            posts = fresh.get(port.key, [])
            # An owner is told once that there is nothing, so that it need not wait for more.
            if posts or not port.looked:
                port.looked = True
                port.tell(port.progress.posted, tuple(posts))
