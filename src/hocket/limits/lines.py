"""Who waits for a limit: the classes of waiting calls, and the lines in which their heads stand.

A class goes through one by one, the higher rank first, then whoever came first; only its head is
judged.
A head that does not fit stands in a line at the limit that it does not fit, and is looked at again
only when something happens to that limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Final, Self, TypeAlias

import msgspec

from hocket.core.specs import LimitSpec
from hocket.core.values import Call
from hocket.limits.claim import Block, Claim
from hocket.limits.classes import Waiting
from hocket.limits.fair import Share
from hocket.limits.limit import Limit
from hocket.limits.waits import Log, note

Tier: TypeAlias = tuple[int, int]
"""(-priority, deadline) of a run: the lower goes first, and only equals share."""
LineKey: TypeAlias = tuple[object, ...]

NO_DEADLINE: Final = 1 << 63


class Group:
    """A class of waiting calls.

    It is empty, or awake: its head is to be judged, or its head stands in a line.

    Attributes:
        room: Its run.
        kind: Its place among the classes of the run.
        claims: The limits that it claims, and how many units of each.
        shared: The names of the shared ones.
        shares: The run's shares of those.
        heap: Who waits; withdrawn calls stay until they surface, so the head always waits.
        count: How many of them were not withdrawn.
        log: What has held them up.
        awake: Whether its head is to be judged.
        line: Where its head stands, if it does.
        came: The line that it was called from, while nobody knows whether the others may follow.
        contends: The share for which it stands in line.
        overtaken: (number, since): the head that others have overtaken, and since when.
        turn: Where it reserves limits: its reservation's number; the lower one prevails.
        kept: The limits that it reserves.
        fitted: The last pass in which its head fitted before anybody was let through.
    """

    __slots__ = (
        "awake",
        "came",
        "claims",
        "contends",
        "count",
        "fitted",
        "heap",
        "kept",
        "kind",
        "line",
        "log",
        "overtaken",
        "room",
        "shared",
        "shares",
        "turn",
    )

    def __init__(self, room: Room, kind: int, claims: tuple[tuple[Gate, int], ...]) -> None:
        self.room = room
        self.kind = kind
        self.claims = claims
        self.shared = tuple([gate.name for gate, _ in claims if gate.shared])
        self.shares: tuple[Share, ...] = ()
        self.heap: list[Waiting] = []
        self.count = 0
        self.log: Log = []
        self.awake = False
        self.line: Line | None = None
        self.came: Line | None = None
        self.contends: Share | None = None
        self.overtaken: tuple[int, int] | None = None
        self.turn = 0
        self.kept: list[Gate] = []
        self.fitted = 0

    @property
    def head(self) -> Waiting:
        """Who goes first."""
        return self.heap[0]

    def tidy(self) -> None:
        """Let go of withdrawn calls, as far as they are in the way or too many."""
        heap, queued = self.heap, self.room.queued
        while heap and queued.get(heap[0].call) is not heap[0]:
            heappop(heap)
        if len(heap) > 2 * self.count + 8:
            self.heap = [item for item in heap if queued.get(item.call) is item]
            heapify(self.heap)

    def contend(self, share: Share | None) -> None:
        """Stand in line for a share, or for none."""
        if share is not self.contends:
            if self.contends is not None:
                self.contends.leave(self.room.name)
            if share is not None:
                share.join(self.room.name)
            self.contends = share

    def fork(self, room: Room, gates: Mapping[Gate, Gate]) -> Self:
        """Copy it for the copy of its run; `gates` are the copies of the limits."""
        copy = type(self).__new__(type(self))
        copy.room = room
        copy.kind = self.kind
        copy.claims = tuple([(gates[gate], units) for gate, units in self.claims])
        copy.shared = self.shared
        copy.shares = room.shares_of(copy.claims)
        copy.heap = self.heap.copy()
        copy.count = self.count
        copy.log = self.log.copy()
        copy.awake = self.awake
        copy.line = None
        copy.came = None
        copy.contends = None
        if self.contends is not None:
            copy.contends = copy.shares[self.shares.index(self.contends)]
        copy.overtaken = self.overtaken
        copy.turn = self.turn
        copy.kept = [gates[gate] for gate in self.kept]
        copy.fitted = self.fitted
        return copy


class Room:
    """The waiting calls of one run.

    Attributes:
        name: The run.
        tier: Its priority and deadline.
        weight: Its share beside others of its tier.
        gates: The limits that its calls may claim besides shared ones of other runs, by name.
        groups: Its classes.
        kinds: The places of the classes, by the name of what they claim.
        claim: The claim that was offered last, if there is any.
        place: The place of its class.
        queued: All that wait.
        heads: A heap of the heads that are to be judged; old ones stay until they surface.
        held: What holds all of them up, or "".
        since: Since when.
        stirred: Whether it is noted down as having heads to judge.
    """

    __slots__ = (
        "claim",
        "gates",
        "groups",
        "heads",
        "held",
        "kinds",
        "name",
        "place",
        "queued",
        "since",
        "stirred",
        "tier",
        "weight",
    )

    def __init__(self, name: str, tier: Tier, weight: float) -> None:
        self.name = name
        self.tier = tier
        self.weight = weight
        self.gates: dict[str, Gate] = {}
        self.groups: list[Group] = []
        self.kinds: dict[tuple[object, ...], int] = {}
        self.claim: Claim | None = None
        self.place = 0
        self.queued: dict[Call, Waiting] = {}
        self.heads: list[Waiting] = []
        self.held = ""
        self.since = 0
        self.stirred = False

    def shares_of(self, claims: Iterable[tuple[Gate, int]]) -> tuple[Share, ...]:
        """Give the run's shares of limits."""
        return tuple([gate.share(self.tier) for gate, _ in claims if gate.shared])

    def group(self, kind: tuple[object, ...], claims: tuple[tuple[Gate, int], ...]) -> Group:
        """Begin a class."""
        group = Group(self, len(self.groups), claims)
        group.shares = self.shares_of(claims)
        self.groups.append(group)
        self.kinds[kind] = group.kind
        return group

    def next(self) -> Group | None:
        """Give the first class whose head is to be judged; None while the run is held."""
        if self.held:
            return None
        heads = self.heads
        while heads:
            group = self.groups[heads[0].kind]
            if group.awake and group.heap[0] is heads[0]:
                return group
            heappop(heads)
        return None

    def wake(self, group: Group) -> None:
        """Have the head of a class judged."""
        group.awake = True
        heappush(self.heads, group.heap[0])

    def rerank(self, rank: Callable[[Call], int]) -> None:
        """Give all that wait another rank; the classes are to be woken then."""
        for group in self.groups:
            heap = []
            for item in group.heap:
                if self.queued.get(item.call) is item:
                    again = msgspec.structs.replace(item, behind=-rank(item.call))
                    self.queued[item.call] = again
                    heap.append(again)
            heapify(heap)
            group.heap = heap

    def fork(self, gates: Mapping[Gate, Gate]) -> Self:
        """Copy it; `gates` are the copies of the limits."""
        copy = type(self)(self.name, self.tier, self.weight)
        copy.gates = {name: gates[gate] for name, gate in self.gates.items()}
        copy.groups = [group.fork(copy, gates) for group in self.groups]
        copy.kinds = self.kinds.copy()
        copy.claim = self.claim
        copy.place = self.place
        copy.queued = self.queued.copy()
        copy.heads = self.heads.copy()
        copy.held = self.held
        copy.since = self.since
        copy.stirred = self.stirred
        return copy


class Line:
    """The classes whose heads want the same of a limit that has not got it.

    If it does not fit one of them it fits none: whether it has come to fit is asked once for all,
    and then only the first is called, and the next one when that one has gone.

    Attributes:
        gate: The limit.
        key: Its name among the lines of the limit.
        units: How many units they want.
        claim: What the first of them wants besides, and so all.
        each: Whether they do not stand for one another, so that all are called at once.
        heads: A heap of their heads for each run; those who left stay until they surface.
        live: How many stand in it.
        cause: What holds them up.
        until: Until when, if that is known.
        due: The instant for which it is noted down to be called.
    """

    __slots__ = (
        "cause",
        "claim",
        "due",
        "each",
        "gate",
        "heads",
        "key",
        "live",
        "units",
        "until",
    )

    def __init__(self, gate: Gate, key: LineKey, units: int, claim: Claim, each: bool) -> None:
        self.gate = gate
        self.key = key
        self.units = units
        self.claim = claim
        self.each = each
        self.heads: dict[Room, list[Waiting]] = {}
        self.live = 0
        self.cause = ""
        self.until: int | None = None
        self.due: int | None = None

    @property
    def large(self) -> bool:
        """Whether others may fit where these do not."""
        return self.units > 1 or self.gate.weighs

    def learn(self, block: Block, at: int) -> None:
        """Note what holds them up now."""
        if block.cause != self.cause:
            for group in self.groups():
                note(group.log, block.cause, at)
            self.cause = block.cause
        self.until = block.until

    def enter(self, group: Group, block: Block, at: int) -> None:
        """Let the head of a class stand in it."""
        if self.live:
            self.learn(block, at)
        else:
            self.cause, self.until = block.cause, block.until
        group.line = self
        self.live += 1
        self.gate.parked += 1
        heads = self.heads.get(group.room)
        if heads is None:
            self.heads[group.room] = [group.heap[0]]
            return
        heappush(heads, group.heap[0])
        if len(heads) > 2 * self.live + 8:
            heads[:] = [member.heap[0] for member in self.groups() if member.room is group.room]
            heapify(heads)

    def leave(self, group: Group) -> None:
        """Let the head of a class go."""
        gate = self.gate
        group.line = None
        self.live -= 1
        gate.parked -= 1
        if gate.first is group:
            gate.first = None
        if not self.live:
            self.heads.clear()
            if gate.weighs:
                # There are as many such lines as there are sums of tokens.
                gate.lines.pop(self.key, None)

    def first(self) -> Group | None:
        """Give whoever is first."""
        best: Group | None = None
        place: tuple[Tier, float, Waiting] | None = None
        gone: list[Room] = []
        shares = self.gate.shares
        for room, heads in self.heads.items():
            group = None
            while heads:
                head = heads[0]
                group = room.groups[head.kind]
                if group.line is self and group.heap[0] is head:
                    break
                heappop(heads)
            if group is None or not heads:
                gone.append(room)
                continue
            if len(self.heads) == 1:
                return group
            share = shares.get(room.tier)
            mine = (room.tier, 0.0 if share is None else share.tag(room.name), heads[0])
            if place is None or mine < place:
                best, place = group, mine
        for room in gone:
            del self.heads[room]
        return best

    def groups(self) -> list[Group]:
        """Give the classes that stand in it."""
        found: dict[Group, None] = {}
        for room, heads in self.heads.items():
            for head in heads:
                group = room.groups[head.kind]
                if group.line is self and group.heap[0] is head:
                    found[group] = None
        return list(found)

    def fork(self, gate: Gate, rooms: Mapping[Room, Room]) -> Self:
        """Copy it, for the copies of its limit and of the runs."""
        copy = type(self)(gate, self.key, self.units, self.claim, self.each)
        for room, heads in self.heads.items():
            if room in rooms:
                copy.heads[rooms[room]] = heads.copy()
        copy.live = self.live
        copy.cause = self.cause
        copy.until = self.until
        copy.due = self.due
        for group in self.groups():
            rooms[group.room].groups[group.kind].line = copy
        return copy


class Gate:
    """A limit and who waits for it.

    Attributes:
        limit: The limit.
        name: Its name.
        shared: Whether runs share it.
        lines: Who waits for it.
        parked: How many classes stand in the lines.
        first: The class that would be next if it fitted, as far as anybody stands in a line.
        keeper: The class that reserves it.
        shares: The shares of the runs, by tier.
        taker: The run whose calls took of it in the last pass, or "*" for several.
        taken: The number of that pass.
        weighs: Whether it depends on tokens or cost how much a call takes.
        slots: How many units it has, if nothing but units in use bounds it.
    """

    __slots__ = (
        "first",
        "keeper",
        "limit",
        "lines",
        "name",
        "parked",
        "shared",
        "shares",
        "slots",
        "taken",
        "taker",
        "weighs",
    )

    def __init__(self, limit: Limit, shared: bool) -> None:
        self.limit = limit
        self.name = limit.name
        self.shared = shared
        self.lines: dict[LineKey, Line] = {}
        self.parked = 0
        self.first: Group | None = None
        self.keeper: Group | None = None
        self.shares: dict[Tier, Share] = {}
        self.taker = ""
        self.taken = 0
        self.measure(limit.spec)

    def measure(self, spec: LimitSpec) -> None:
        """Note what kinds of bounds it has."""
        self.weighs = bool(spec.tokens or spec.tokens_in or spec.tokens_out or spec.cost)
        timed = self.weighs or spec.requests or spec.spacing
        self.slots = None if timed else spec.concurrency

    def share(self, tier: Tier) -> Share:
        """Give the shares of the runs of one tier."""
        share = self.shares.get(tier)
        if share is None:
            share = self.shares[tier] = Share()
        return share

    def line(self, units: int, claim: Claim, each: bool) -> Line:
        """Give the line for those who want so much."""
        key: LineKey = (units, each)
        if self.weighs:
            amounts = claim.tokens_in, claim.tokens_out, claim.most_tokens, claim.most_cost
            key = (units, each, *amounts)
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line(self, key, units, claim, each)
        return line

    def before(self, one: Group, two: Group) -> bool:
        """Tell whether one class goes before another here, if both fit."""
        room, other = one.room, two.room
        if room is not other:
            if room.tier != other.tier:
                return room.tier < other.tier
            if self.shared:
                share = self.share(room.tier)
                tag, tag_of_other = share.tag(room.name), share.tag(other.name)
                if tag != tag_of_other:
                    return tag < tag_of_other
        return one.heap[0] < two.heap[0]

    def fork(self) -> Self:
        """Copy it, but for its lines, its first one and its keeper."""
        copy = type(self)(self.limit.fork(), self.shared)
        copy.shares = {tier: share.fork() for tier, share in self.shares.items()}
        copy.taker = self.taker
        copy.taken = self.taken
        copy.parked = self.parked
        return copy
