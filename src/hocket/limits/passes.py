"""Who may start: the decision which waiting call goes through its limits next.

Calls of a run that claim the same form a class and go through one by one.
No limit idles while the head of some class fits all that it claims, but for a reservation.
Among heads that fit, the run of the higher priority goes first, then the one with the nearer
deadline, then the one that is furthest behind its fair share of the limits for which both wait;
within a run the higher rank, then whoever came first.
A head that does not fit stands in a line at the limit that it does not fit until that changes, so
an admission costs as many judgements as classes are concerned, however many calls wait.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import TypeAlias

import msgspec

from hocket.core.events import Wait
from hocket.core.specs import OnExceed
from hocket.core.values import Call
from hocket.limits.claim import Block, Claim, Key, key_of
from hocket.limits.classes import Waiting
from hocket.limits.fair import Share
from hocket.limits.lines import Gate, Group, Room
from hocket.limits.queue import Queues
from hocket.limits.reserve import Inside, kept, overdue, overtake, reserved_by, stand_first
from hocket.limits.roster import PATIENCE
from hocket.limits.waits import SHARE, bounded, cut, note

_Verdict: TypeAlias = tuple[Gate, int, Block]
_Order: TypeAlias = tuple[int, int, float, int, int]
_Rivals: TypeAlias = dict[Share, dict[str, float]]
"""The runs that compete for a limit in one pass, and how far its share was when that began."""


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """A call that may start, and all that it waited for.

    Fields:
        run: Its run.
        call: Its name.
        key: Its name over all runs.
        claim: What it takes of its limits.
        waits: What it waited for.
        shared: The names of the shared limits that it holds.
    """

    run: str
    call: Call
    key: Key
    claim: Claim
    waits: tuple[Wait, ...]
    shared: tuple[str, ...]


class Hopeless(msgspec.Struct, frozen=True, gc=False):
    """A call that will not fit a limit by waiting for calls in flight.

    Fields:
        run: Its run.
        call: Its name.
        limit: The limit.
        cause: As in `hocket.core.events.Wait`.
        on_exceed: What is to become of it.
    """

    run: str
    call: Call
    limit: str
    cause: str
    on_exceed: OnExceed


class Passes(Queues):
    """Waiting calls, and those that were let through.

    Args:
        seed: Where the jitter of limits comes from.
        max_overtake: For how long a call may be overtaken by calls that want less of a limit
            before it reserves that limit.
    """

    def __init__(self, seed: int = 0, max_overtake: int = PATIENCE) -> None:
        super().__init__(seed, max_overtake)
        self._inside: dict[Key, Inside] = {}
        self._passes = 0
        self._turns = 0
        self._hopeless: list[Hopeless] = []

    @property
    def admitted(self) -> int:
        """How many calls hold their limits."""
        return len(self._inside)

    def admit(self, at: int) -> list[Admitted]:
        """Let through every call that fits now, in order; each holds its limits, unsent."""
        admitted: list[Admitted] = []
        if not (self._stirred or self._changed or self._left or self._due):
            return admitted
        self._passes += 1
        if self._due:
            self._call_due(at)
        if self._changed:
            self._call_changed(at)
        if self._left:
            self._call_left(at)
        rivals: _Rivals = {}
        if len(self._stirred) > 1:
            self._sift(at, rivals)
            if self._changed:
                self._call_changed(at)
        while self._stirred:
            if len(self._stirred) == 1:
                self._alone(at, admitted)
            else:
                self._together(at, rivals, admitted)
        return admitted

    def pass_by(
        self,
        run: str,
        call: Call,
        claim: Claim,
        at: int,
        since: int,
        rank: int = 0,
        lasts: int | None = None,
    ) -> Admitted | None:
        """Let a call through past the queue, if it is the only one to judge and nobody waits.

        It comes to the same as to offer it and to admit then; None leaves everything as it was,
        and it is to be offered.

        Args:
            run: Its run.
            call: Its name.
            claim: What it takes of its limits.
            at: The present instant.
            since: Since when it waits.
            rank: As it would be offered with.
            lasts: As it would be offered with.
        """
        if self._stirred or self._changed or self._left or (self._due and self._due[0][0] <= at):
            return None
        room = self._rooms.get(run)
        if room is None or room.held:
            return None
        group = room.groups[room.place if claim is room.claim else self._place(room, claim)]
        if group.count:
            return None
        for gate, units in group.claims:
            if gate.parked or gate.limit.blocked(units, claim, at) is not None:
                return None
        self._passes += 1
        self._offered += 1
        if group.log:
            group.log.clear()
        item = Waiting(-rank, self._offered, group.kind, since, call, claim, lasts, ())
        return self._let_in(group, item, (), at)

    @property
    def restless(self) -> bool:
        """Whether anything has happened, or was to, that may let somebody through."""
        return bool(self._stirred or self._changed or self._left or self._due)

    def hopeless(self) -> list[Hopeless]:
        """Give the heads that will not fit by waiting; each once until something changes."""
        if not self._hopeless:
            return []
        told, self._hopeless = self._hopeless, []
        rooms = self._rooms
        return [item for item in told if item.run in rooms and item.call in rooms[item.run].queued]

    def _sift(self, at: int, rivals: _Rivals) -> None:
        """Judge all heads before any run takes from another, so that it is known who gave way.

        Note in `rivals` which runs have calls that fit.
        """
        for room in list(self._stirred):
            if room.held:
                continue
            fit = []
            while (group := room.next()) is not None:
                verdict = self._judge(group, at)
                if verdict is None:
                    group.fitted = self._passes
                    fit.append(heappop(room.heads))
                    for share in group.shares:
                        rivals.setdefault(share, {})[room.name] = share.now
                else:
                    self._park(group, verdict, at)
            heapify(fit)
            room.heads = fit

    def _alone(self, at: int, admitted: list[Admitted]) -> None:
        """Let calls of the only run through that has any to judge, until there is another."""
        stirred = self._stirred
        room = stirred[0]
        while len(stirred) == 1:
            group = room.next()
            if group is None:
                room.stirred = False
                del stirred[0]
                return
            self._try(group, at, admitted)
            if self._changed:
                self._call_changed(at)

    def _together(self, at: int, rivals: _Rivals, admitted: list[Admitted]) -> None:
        """Let calls of several runs through, in their order."""
        order: list[tuple[_Order, Room]] = []
        stirred = self._stirred
        while stirred or order:
            while stirred:
                room = stirred.pop()
                group = room.next()
                if group is None:
                    room.stirred = False
                else:
                    heappush(order, (self._order(group, rivals), room))
            if not order:
                return
            # Each start changes the order of those that share a limit with it.
            before, room = order[0]
            group = room.next()
            if group is None:
                room.stirred = False
                heappop(order)
            elif (now := self._order(group, rivals)) != before:
                heapreplace(order, (now, room))
            else:
                self._try(group, at, admitted)
                if self._changed:
                    self._call_changed(at)

    def _order(self, group: Group, rivals: _Rivals) -> _Order:
        """Give the place of a class among those of other runs.

        Where runs compete for several limits, the one counts of which this run has had the most.
        """
        room = group.room
        most: float | None = None
        for share in group.shares:
            now = rivals.setdefault(share, {room.name: share.now})
            if len(now) > 1 or share.contested(room.name):
                lead = share.tag(room.name) - next(iter(now.values()))
                most = lead if most is None else max(most, lead)
        head = group.heap[0]
        return *room.tier, most or 0.0, head.behind, head.number

    def _try(self, group: Group, at: int, admitted: list[Admitted]) -> None:
        verdict = self._judge(group, at)
        if verdict is None:
            admitted.append(self._take(group, at))
        else:
            self._park(group, verdict, at)

    def _judge(self, group: Group, at: int) -> _Verdict | None:
        """Say which limit holds the head of a class up, if any does."""
        claim = group.heap[0].claim
        for gate, units in group.claims:
            block = gate.limit.blocked(units, claim, at)
            if block is None:
                first = gate.first
                if gate.keeper is None and first is not None and first is not group:
                    self._reserve(gate, first, group, at)
                if gate.keeper is not None:
                    block = kept(gate, group, self._inside, at)
            if block is not None:
                return gate, units, block
        return None

    def _reserve(self, gate: Gate, first: Group, group: Group, at: int) -> None:
        """Let the first one in line reserve a limit if it was overtaken for too long."""
        if overdue(first, at, self._patience) and first.room.tier <= group.room.tier:
            gate.keeper = first
            first.kept.append(gate)
            if not first.turn:
                self._turns += 1
                first.turn = self._turns

    def _park(self, group: Group, verdict: _Verdict, at: int) -> None:
        """Let the head of a class stand in line."""
        gate, units, block = verdict
        room, head = group.room, group.heap[0]
        came, group.came = group.came, None
        group.awake = False
        reserved = gate.keeper is not None and block.cause == reserved_by(gate)
        each = block.hopeless or reserved
        line = gate.line(units, head.claim, each)
        line.enter(group, block, at)
        self._note_due(line)
        taken = gate.taker if gate.taken == self._passes else room.name
        lost = group.fitted == self._passes and taken != room.name
        note(group.log, SHARE if lost else block.cause, at)
        group.contend(gate.share(room.tier) if gate.shared else None)
        if group.kept and (block.hopeless or block.until is not None):
            # It cannot begin before, so nothing is to be kept for it meanwhile.
            self._unkeep(group)
        if block.hopeless:
            on_exceed = gate.limit.spec.on_exceed
            hopeless = Hopeless(room.name, head.call, gate.name, block.cause, on_exceed)
            self._hopeless.append(hopeless)
        elif line.large and not reserved:
            stand_first(gate, group)
        if came is not None and came is not line:
            self._call(came, at)

    def _take(self, group: Group, at: int) -> Admitted:
        """Let the head of a class through."""
        room = group.room
        item = group.heap[0]
        waits = item.before
        if item.since < at:
            waits = bounded((*waits, *cut(group.log, item.since, at)))
        admitted = self._let_in(group, item, waits, at)
        del room.queued[item.call]
        heap = group.heap
        heappop(heap)
        group.count -= 1
        group.fitted = 0
        if len(heap) > group.count:
            group.tidy()
        if group.kept:
            self._unkeep(group)
        if group.heap:
            # The room is being looked at, and its first head is the one that goes.
            heapreplace(room.heads, group.heap[0])
        else:
            group.awake = False
            heappop(room.heads)
            if group.contends is not None:
                group.contend(None)
        came, group.came = group.came, None
        if came is not None:
            self._call(came, at)
        return admitted

    def _let_in(self, group: Group, item: Waiting, waits: tuple[Wait, ...], at: int) -> Admitted:
        """Let a call hold all that its class claims."""
        name = group.room.name
        key = key_of(name, item.call)
        for gate, units in group.claims:
            gate.limit.take(key, units, item.claim, at)
            if gate.first is not None:
                overtake(gate, group, at)
            if gate.shared:
                new = gate.taken != self._passes
                gate.taker = name if new or gate.taker == name else "*"
                gate.taken = self._passes
        for share in group.shares:
            share.charge(name, 1 / group.room.weight)
        self._inside[key] = Inside(group, item, waits, at)
        return Admitted(name, item.call, key, item.claim, waits, group.shared)
