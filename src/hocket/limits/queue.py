"""The queue before the limits: runs, the calls that they offer, and what these wait for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heappush

import msgspec

from hocket.core.events import Wait
from hocket.core.specs import LimitSpec
from hocket.core.values import Call
from hocket.limits.claim import Claim
from hocket.limits.classes import Waiting, kind_of
from hocket.limits.limit import Limit
from hocket.limits.lines import NO_DEADLINE, Gate, Group, Room
from hocket.limits.roster import PATIENCE, Roster
from hocket.limits.turns import Want
from hocket.limits.waits import bounded, cut, note


class Queue(msgspec.Struct, frozen=True, gc=False):
    """What a number of waiting calls wait for.

    Fields:
        cause: As in `hocket.core.events.Wait`.
        until: Until when at least, if that is known.
        count: How many calls.
    """

    cause: str
    until: int | None
    count: int


class Queues(Roster):
    """The calls of all runs that wait for limits.

    Args:
        seed: Where the jitter of limits comes from.
        max_overtake: For how long a call may be overtaken by calls that want less of a limit
            before it reserves that limit.
    """

    def __init__(self, seed: int = 0, max_overtake: int = PATIENCE) -> None:
        super().__init__(seed, max_overtake)
        self._offered = 0

    def __len__(self) -> int:
        """How many calls wait."""
        return sum([len(room.queued) for room in self._rooms.values()])

    def open(
        self,
        run: str,
        limits: Mapping[str, LimitSpec],
        at: int,
        *,
        priority: int = 0,
        weight: float = 1.0,
        deadline: int | None = None,
    ) -> None:
        """Let a run offer calls, or give an open one other numbers.

        A shared limit is one for all runs that name it; the latest numbers hold.

        Args:
            run: The run.
            limits: What its calls may claim, by name.
            at: When.
            priority: Runs of a higher one go first.
            weight: Its share beside runs of the same priority and deadline.
            deadline: The instant at which it should be over; nearer ones go first.

        Raises:
            ValueError: The weight is not above 0.
        """
        if not weight > 0:
            raise ValueError(f"run {run!r} has the weight {weight}; a weight is above 0")
        tier = (-priority, NO_DEADLINE if deadline is None else deadline)
        room = self._rooms.get(run)
        if room is None:
            room = self._rooms[run] = Room(run, tier, weight)
        else:
            self._rouse(room, at)
            old, room.tier, room.weight = room.tier, tier, weight
            self._forget_shares(room, old)
        for name, spec in limits.items():
            home = self._gates if spec.shared else room.gates
            gate = home.get(name)
            if gate is None or gate.shared != spec.shared:
                gate = Gate(Limit(name, spec, self._seed), spec.shared)
                if spec.shared:
                    self._gates[name] = gate
            elif gate.limit.spec != spec:
                gate.limit.restate(spec)
                gate.measure(spec)
                self._change(gate)
            if room.gates.setdefault(name, gate) is not gate:
                # Classes that were begun with the other one are not gone on with.
                room.gates[name] = gate
                room.kinds.clear()
                room.claim = None
        for group in room.groups:
            group.shares = room.shares_of(group.claims)

    def close(self, run: str) -> None:
        """Forget a run's waiting calls; what it has in flight stays until it is settled."""
        room = self._rooms.pop(run)
        for group in room.groups:
            self._leave(group)
            group.contend(None)
            group.awake = False
            group.heap.clear()
            group.count = 0
        room.queued.clear()
        self._forget_shares(room, room.tier)

    def hold(self, run: str, cause: str, at: int) -> None:
        """Let none of a run's calls start, for a cause."""
        room = self._rooms[run]
        if room.held == cause:
            return
        if not room.held:
            room.since = at
        room.held = cause
        self._rouse(room, at)
        for group in room.groups:
            if group.count:
                note(group.log, cause, at)

    def free(self, run: str, at: int) -> None:
        """Let a run's calls start again."""
        room = self._rooms[run]
        if not room.held:
            return
        room.held = ""
        for group in room.groups:
            if group.overtaken is not None:
                # While it was held nobody overtook it.
                number, since = group.overtaken
                group.overtaken = number, since + at - room.since
        self._stir(room)

    def offer(
        self,
        run: str,
        call: Call,
        claim: Claim,
        at: int,
        *,
        rank: int = 0,
        lasts: int | None = None,
    ) -> None:
        """Let a call wait for what it claims.

        Args:
            run: Its run.
            call: Its name.
            claim: What it takes of its limits.
            at: Since when it waits.
            rank: Within a run the higher goes first.
            lasts: How long it is expected to last, if that is known.

        Raises:
            ValueError: The run isn't open, the call waits already, or the claim names a limit
                that neither the run nor any other one has named.
        """
        room = self._rooms.get(run)
        if room is None or call in room.queued:
            what = "is not open" if room is None else f"has offered {call} already"
            raise ValueError(f"run {run!r} {what}")
        # Most calls come with the claim of the one before.
        place = room.place if claim is room.claim else self._place(room, claim)
        self._offered += 1
        item = Waiting(-rank, self._offered, place, at, call, claim, lasts, ())
        self._enter(room.groups[place], item)

    def withdraw(self, run: str, call: Call) -> bool:
        """Take a call out of the queue; tells whether it was there."""
        room = self._rooms.get(run)
        item = None if room is None else room.queued.pop(call, None)
        if room is None or item is None:
            return False
        group = room.groups[item.kind]
        group.count -= 1
        was_head = group.heap[0] is item
        group.tidy()
        if was_head:
            self._leave(group)
            group.awake = False
            if group.heap:
                self._wake(group)
            else:
                group.contend(None)
        return True

    def rerank(self, run: str, rank: Callable[[Call], int]) -> None:
        """Give all waiting calls of a run another rank."""
        room = self._rooms[run]
        for group in room.groups:
            self._leave(group)
            group.awake = False
        room.rerank(rank)
        for group in room.groups:
            if group.heap:
                self._wake(group)

    def limit(self, name: str, run: str = "") -> Limit:
        """Give a shared limit, or one of a run."""
        return self._gate(self._rooms[run] if run else None, name).limit

    def waiting(self, run: str = "") -> list[Queue]:
        """Count the waiting calls of a run, or of all, by what they wait for.

        A class counts for what its head waits for; one that was not judged yet does not count.
        """
        found: dict[str, Queue] = {}
        for room in [self._rooms[run]] if run else self._rooms.values():
            for group in room.groups:
                line = group.line
                if not group.count or not (room.held or line):
                    continue
                cause, until = room.held, None
                if line is not None and not cause:
                    cause, until = line.cause, line.until
                count = group.count
                if (other := found.get(cause)) is not None:
                    count += other.count
                    known = [item for item in (until, other.until) if item is not None]
                    until = min(known, default=None)
                found[cause] = Queue(cause, until, count)
        return list(found.values())

    def waits_of(self, run: str, call: Call) -> Queue | None:
        """Say what one call waits for; None if it does not wait or was not judged yet."""
        room = self._rooms.get(run)
        item = None if room is None else room.queued.get(call)
        if room is None or item is None:
            return None
        line = room.groups[item.kind].line
        if room.held:
            return Queue(room.held, None, 1)
        return None if line is None else Queue(line.cause, line.until, 1)

    def waited(self, run: str, call: Call, at: int) -> tuple[Wait, ...] | None:
        """Tell what a call has waited for until now; None if it is not in the queue."""
        room = self._rooms.get(run)
        item = None if room is None else room.queued.get(call)
        if room is None or item is None:
            return None
        if item.since >= at:
            return item.before
        return bounded((*item.before, *cut(room.groups[item.kind].log, item.since, at)))

    def wants(self) -> list[Want]:
        """Say which runs have calls for shared limits, and what the first of them claims.

        A call that stands in line for one limit does not count for the others that it claims.
        """
        first: dict[tuple[str, str], tuple[Waiting, Want]] = {}
        for gate in self._gates.values():
            if gate.parked:
                for line in gate.lines.values():
                    for group in line.groups():
                        _add(first, gate, group)
        for room in self._stirred:
            for group in room.groups if not room.held else ():
                if group.awake:
                    for gate, _ in group.claims:
                        if gate.shared:
                            _add(first, gate, group)
        return [want for _, want in first.values()]

    def _place(self, room: Room, claim: Claim) -> int:
        """Find the class of a claim, or begin it."""
        kind = kind_of(claim)
        place = room.kinds.get(kind)
        if place is None:
            gates = tuple([(self._gate(room, name), units) for name, units in claim.units])
            place = room.group(kind, gates).kind
        room.claim, room.place = claim, place
        return place

    def _enter(self, group: Group, item: Waiting) -> None:
        room = group.room
        room.queued[item.call] = item
        if not group.count:
            # Nobody was held up until now.
            group.log.clear()
            if room.held:
                note(group.log, room.held, item.since)
        group.count += 1
        heappush(group.heap, item)
        if group.heap[0] is item:
            self._leave(group)
            self._wake(group)

    def _forget_shares(self, room: Room, tier: tuple[int, int]) -> None:
        """Let go of a run's shares in a tier that it has left, and of the tier if it is empty."""
        empty = not any(other.tier == tier for other in self._rooms.values())
        for gate in room.gates.values():
            share = gate.shares.get(tier)
            if share is not None:
                share.tags.pop(room.name, None)
                if empty:
                    del gate.shares[tier]

    def check(self) -> None:
        """Assert what must hold between calls.

        Raises:
            AssertionError: It does not.
        """
        for gate in self._all_gates():
            gate.limit.check()
            stand = [group for line in gate.lines.values() for group in line.groups()]
            assert gate.parked == len(stand) == sum(line.live for line in gate.lines.values())
            assert gate.first is None or gate.first in stand
            assert gate.keeper is None or gate in gate.keeper.kept
        for room in self._rooms.values():
            waiting = 0
            for group in room.groups:
                waiting += group.count
                self._check_group(group)
            assert waiting == len(room.queued)
        for line in dict.fromkeys([item[2] for item in self._due]):
            assert line.due is None or any(item[0] == line.due for item in self._due)

    def _check_group(self, group: Group) -> None:
        room, heap = group.room, group.heap
        live = [item for item in heap if room.queued.get(item.call) is item]
        assert len(live) == group.count
        assert bool(heap) == bool(live)
        assert group.came is None
        assert all(gate.keeper is group for gate in group.kept)
        if not heap:
            assert group.line is None
            assert not group.awake
            assert group.contends is None
            assert not group.kept
            return
        assert heap[0] is min(heap) is min(live)
        assert (group.line is None) == group.awake
        if group.awake:
            assert any(item is heap[0] for item in room.heads)
            assert room.held or room.stirred
        elif group.line is not None:
            assert not room.held
            assert group.line.gate in [gate for gate, _ in group.claims]
            due = group.line.until
            assert due is None or group.line.due == due


def _add(first: dict[tuple[str, str], tuple[Waiting, Want]], gate: Gate, group: Group) -> None:
    """Count a class among those of its run that wait for a limit."""
    room, head = group.room, group.heap[0]
    place = gate.name, room.name
    known, count = first.get(place), group.count
    if known is not None:
        count += known[1].waiting
        if known[0] < head:
            first[place] = known[0], msgspec.structs.replace(known[1], waiting=count)
            return
    units = next(units for other, units in group.claims if other is gate)
    priority, deadline = room.tier
    first[place] = (
        head,
        Want(
            gate.name,
            room.name,
            units,
            msgspec.structs.replace(head.claim, units=()),
            count,
            -priority,
            None if deadline == NO_DEADLINE else deadline,
            room.weight,
        ),
    )
