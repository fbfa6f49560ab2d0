"""Virtual worlds around one limit: calls that come, leave late, arrive later still, and end."""

import heapq
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import MS, SECOND
from hocket.limits.claim import Block, Claim, Ending, EndingKind, News, Spent
from hocket.limits.limit import Limit

START = 1_700_000_000 * SECOND
NOTHING = Claim()


def worst(stamps: Iterable[tuple[int, int]], per: int) -> int:
    """The most that any window (t, t + per] holds; per 0 means all."""
    log: deque[tuple[int, int]] = deque()
    total = most = 0
    for at, amount in sorted(stamps):
        while per and log and log[0][0] <= at - per:
            total -= log.popleft()[1]
        log.append((at, amount))
        total += amount
        most = max(most, total)
    return most


@dataclass
class Job:
    """One call: when it comes, and what will become of it."""

    key: str
    offered: int
    claim: Claim = NOTHING
    units: int = 1
    spent: Spent | None = None
    commit: int = 0
    way: int = 0
    takes: int = 0
    leaves: bool = True
    kind: EndingKind = "done"
    tells_trip: bool = True
    heads: int | None = None
    retry: int | None = None
    taken: int | None = None
    sent: int | None = None
    over: int | None = None
    counted: int | None = None


@dataclass
class Server:
    """Refuses what exceeds its own sliding log; what it refuses does not count."""

    amount: int
    per: int
    told: bool = True
    grain: int = 1
    log: deque[int] = field(default_factory=deque)
    accepted: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def arrive(self, at: int) -> tuple[bool, int | None]:
        while self.log and self.log[0] <= at - self.per:
            self.log.popleft()
        if len(self.log) >= self.amount:
            self.refused.append(at)
            wait = self.log[0] + self.per - at
            return False, -(-wait // self.grain) * self.grain if self.told else None
        self.log.append(at)
        self.accepted.append(at)
        return True, None


class World:
    """Runs jobs through one limit, first come first served."""

    def __init__(self, limit: Limit, jobs: list[Job], server: Server | None = None) -> None:
        self.limit = limit
        self.jobs = jobs
        self.server = server
        self.queue: deque[Job] = deque()
        self.heap: list[tuple[int, int, str, Job | None]] = []
        self.number = 0
        self.news: list[tuple[int, News]] = []
        self.woken: set[int] = set()
        self.at = START
        for job in jobs:
            self.push(job.offered, "offer", job)

    def push(self, at: int, what: str, job: Job | None) -> None:
        self.number += 1
        heapq.heappush(self.heap, (at, self.number, what, job))

    def run(self, until: int | None = None) -> None:
        while self.heap and (until is None or self.heap[0][0] <= until):
            at, _, what, job = heapq.heappop(self.heap)
            self.at = at
            if job is not None:
                getattr(self, what)(job, at)
            if not self.heap or self.heap[0][0] > at:
                self.pump(at)

    def offer(self, job: Job, at: int) -> None:
        self.queue.append(job)

    def leave(self, job: Job, at: int) -> None:
        if not job.leaves:
            self.limit.release(job.key)
            job.over = at
            return
        self.limit.sent(job.key, at)
        job.sent = at
        self.push(at + job.way, "arrive", job)

    def arrive(self, job: Job, at: int) -> None:
        job.counted = at
        retry: int | None = None
        if self.server is not None:
            good, retry = self.server.arrive(at)
            if not good:
                job.kind = "refused"
        job.retry = retry
        self.push(at + (job.way if job.kind == "refused" else job.takes), "end", job)

    def end(self, job: Job, at: int) -> None:
        assert job.sent is not None and job.counted is not None
        # The head of an answer may come long before its end.
        heard = at if job.heads is None or job.kind == "refused" else job.counted + job.heads
        trip = heard - job.sent if job.tells_trip else None
        ending = Ending(job.kind, job.spent, retry_after=job.retry, round_trip=trip)
        self.news += [(at, item) for item in self.limit.settle(job.key, ending, at)]
        job.over = at
        if job.kind == "refused":
            job.kind = "done"
            job.taken = job.sent = job.counted = job.over = None
            job.key += "+"
            self.queue.appendleft(job)

    def pump(self, at: int) -> None:
        while self.queue:
            job = self.queue[0]
            block = self.limit.blocked(job.units, job.claim, at)
            self.judge(job, block, at)
            if block is not None:
                if block.until is not None and block.until not in self.woken:
                    self.woken.add(block.until)
                    self.push(block.until, "wake", None)
                return
            self.queue.popleft()
            self.limit.take(job.key, job.units, job.claim, at)
            job.taken = at
            self.push(at + job.commit, "leave", job)

    def judge(self, job: Job, block: Block | None, at: int) -> None:
        """For tests that know better."""


def amounts(kind: str, job: Job, strict: bool) -> int:
    """What a job counts in a window of that kind now, written anew from what windows promise."""
    spent = job.spent if job.over is not None else None
    if kind in ("requests", "spacing"):
        return 1
    if kind == "cost":
        return job.claim.most_cost if spent is None or spent.cost is None else spent.cost
    read, written = job.claim.tokens_in, job.claim.tokens_out
    if spent is not None:
        read = read if spent.tokens_in is None else spent.tokens_in
        written = written if spent.tokens_out is None else spent.tokens_out
    elif strict and job.claim.most_tokens:
        return job.claim.most_tokens
    return {"tokens": read + written, "tokens_in": read, "tokens_out": written}[kind]


def bounds(spec: LimitSpec) -> list[tuple[str, Rate]]:
    kinds = ("requests", "tokens", "tokens_in", "tokens_out", "cost")
    found = [(kind, rate) for kind in kinds for rate in getattr(spec, kind)]
    if spec.spacing:
        found.append(("spacing", Rate(1, spec.spacing)))
    return found


class JudgedWorld(World):
    """Asks a brute-force model, before each decision, whether it is right."""

    def judge(self, job: Job, block: Block | None, at: int) -> None:
        assert (block is None) == self.fits(job, at), (job, block)
        self.limit.check()
        if block is not None and block.until is not None:
            assert self.limit.fork().blocked(job.units, job.claim, block.until) is None
            early = self.limit.fork().blocked(job.units, job.claim, block.until - 1)
            assert early is not None, "it would have fitted sooner"

    def fits(self, job: Job, at: int) -> bool:
        spec = self.limit.spec
        assert spec.margin is not None
        strict = spec.on_exceed != "wait"
        taken = [j for j in self.jobs if j.taken is not None and (j.leaves or j.over is None)]
        for kind, rate in bounds(spec):
            need = amounts(kind, job, strict)
            if kind.startswith("tokens") and not strict:
                need = min(need, rate.amount)
            used = 0
            for other in taken:
                if not rate.per or other.sent is None:
                    inside = True
                else:
                    inside = other.sent + spec.margin + rate.per > at
                if inside:
                    amount = amounts(kind, other, strict)
                    if kind.startswith("tokens") and not strict and other.over is None:
                        amount = min(amount, rate.amount)
                    used += amount
            if used + need > rate.amount:
                return False
        slots = spec.concurrency
        running = sum(other.units for other in taken if other.over is None)
        return slots is None or running + job.units <= slots


PATTERNS = ("burst", "boundary", "trickle", "random")


def arrivals(pattern: str, count: int, per: int, rng: random.Random) -> list[int]:
    """When calls come, by one of the patterns that break limiters."""
    if pattern == "burst":
        return [START] * count
    if pattern == "boundary":
        edge = START + per * 4 // 5
        return sorted(edge + rng.randrange(per * 2 // 5 + 1) for _ in range(count))
    if pattern == "trickle":
        late = START + per * 93 // 100
        return [START] + [late + rng.choice((0, 0, rng.randrange(per))) for _ in range(count - 1)]
    return sorted(START + rng.randrange(per * 3 + 1) for _ in range(count))


def saturated(
    limit: Limit, server: Server, windows: int, rng: random.Random, way: int, heads: int = 20 * MS
) -> World:
    """Offer more calls than the limit lets through, for so many windows."""
    rate = limit.spec.requests[0]
    jobs = [
        Job(
            f"r/s#{i}",
            START,
            way=rng.randrange(way + 1),
            takes=heads + rng.randrange(500) * MS,
            heads=heads,
        )
        for i in range(rate.amount * windows)
    ]
    world = World(limit, jobs, server)
    world.run(START + windows * rate.per)
    return world
