"""Random runs by the ten thousand, and what must hold of the account of each.

    python -m tests.insight.random_runs SEED [COUNT]

Most seeds are played under limits, with second calls and back-offs; others live in the seeded
world, where people, crashes, pauses and changed specs go wrong at random, and some of these have
teams.
"""

from __future__ import annotations

import sys
import traceback
from random import Random
from typing import Any

import msgspec
from tests.insight.kit import folded, new_machine, recorded
from tests.simulated.plans import random_run
from tests.simulated.team_world import TeamWorld
from tests.simulated.world import World

from hocket.core.events import (
    AnyEvent,
    CallCancelled,
    CallFailed,
    CallFinished,
    CallLost,
    CallStarted,
    Usage,
    Wait,
)
from hocket.core.reports import FATES
from hocket.core.values import SECOND, Call, Json
from hocket.insight.account import Spent, account, spending
from hocket.insight.fold import Folding, trace_of
from hocket.insight.tally import Tally
from hocket.insight.trace import START, Trace
from hocket.simulator.agents import Asked, Cast, Latency, People, Player
from hocket.simulator.play import play
from hocket.workflows.plan import fates_of

_OUTCOMES = (CallFinished, CallFailed, CallCancelled)
SUMS = ("calls", "cached", "tokens_in", "tokens_out", "cost", "unpriced")


class QuickWorld(World):
    """The seeded world without its own checks."""

    def take(self, event: AnyEvent) -> None:
        self.machine.apply(event)
        self.events.append(event)

    def compare(self) -> None:
        pass

    def compare_commands(self) -> None:
        pass


class QuickTeamWorld(QuickWorld, TeamWorld):
    """The same with teams."""


def events_of(seed: int) -> list[AnyEvent]:
    """Make a run's events."""
    kind = seed % 33
    if kind < 20:
        return _played(seed)
    world: World = QuickTeamWorld(seed) if kind == 32 else QuickWorld(seed)
    return _told(world.live().events, Random(f"{seed}/told"))


def _played(seed: int) -> list[AnyEvent]:
    spec, inputs = random_run(seed)
    draw = Random(f"{seed}/players")
    player = Player(
        latency=Latency(draw.choice((SECOND // 5, SECOND, 3 * SECOND)), 0.8),
        gives=_given,
        failing=draw.choice((0.0, 0.1, 0.3)),
        tokens_out=draw.choice((1, 20)),
        price=draw.choice((None, (0, 0), (3, 7))),
    )
    people = People(draw.choice((0, 3, 30)) * SECOND)
    return play(spec, inputs, Cast({}, player), seed, people=people, budget=2_000).events


def _given(asked: Asked) -> Json:
    return {"n": int(asked.draw("n") * 4), "text": asked.path}


def _told(events: list[AnyEvent], draw: Random) -> list[AnyEvent]:
    """Let calls say what they spent and what they waited for, as those of a real run do."""
    told: list[AnyEvent] = []
    flying: dict[Call, bool] = {}
    """Calls that have started, and whether they have not ended: facts may come again."""
    for event in events:
        if isinstance(event, CallStarted):
            event = msgspec.structs.replace(event, waits=_waits(event.at, draw))
            flying.setdefault(event.call, True)
        elif isinstance(event, CallFinished | CallFailed | CallCancelled) and flying.get(
            event.call
        ):
            # A fact that comes again, or of a call that never was, has spent nothing.
            flying[event.call] = False
            event = msgspec.structs.replace(event, usage=_usage(draw))
        told.append(event)
    return told


def _waits(at: int, draw: Random) -> tuple[Wait, ...]:
    marks = sorted(at - draw.randrange(3 * SECOND) for _ in range(draw.choice((0, 2, 4))))
    pairs = zip(marks[::2], marks[1::2], strict=True)
    return tuple(Wait(draw.choice(("rate:api", "slot:run")), a, b) for a, b in pairs)


def _usage(draw: Random) -> Usage | None:
    def amount() -> int | None:
        return draw.choice((None, 0, draw.randrange(1_000)))

    if draw.random() < 0.2:
        return None
    return Usage(tokens_in=amount(), tokens_out=amount(), cost=amount())


def judge(events: list[AnyEvent], *, streaming: bool = False) -> Trace:
    """Assert what must hold of the account of a run."""
    found = folded(events)
    check_time(found)
    check_spending(found, events)
    for index, activity in enumerate(found.activities):
        assert START <= activity.after < index
        assert all(0 <= need < index for need in activity.needs)
        assert activity.asked <= activity.began <= (activity.ended or found.ended)
        assert activity.fate in FATES or (activity.fate == "" and activity.ended is None)
        assert all(1 <= seq <= len(events) for seq in activity.events)
    if streaming:
        check_streaming(events)
    return found


def check_time(found: Trace) -> None:
    """Each instant of the run has one cause."""
    told = account(found)
    now = found.began
    sums: dict[Any, int] = {}
    for segment in told.segments:
        assert segment.since == now < segment.until
        now = segment.until
        sums[segment.cause] = sums.get(segment.cause, 0) + segment.until - segment.since
    assert now == found.ended
    assert told.shares == sums and sum(told.shares.values()) == found.took


def check_spending(found: Trace, events: list[AnyEvent]) -> None:
    """Nothing is spent that is not told, nor told twice."""
    told, tally = spending(found), Tally(events)
    started = {event.call: None for event in events if isinstance(event, CallStarted)}
    # A world may tell of a loss twice.
    lost = {event.call for event in events if isinstance(event, CallLost)}
    whole = Spent(
        calls=len(started),
        lost=len(lost),
        cached=tally.kept,
        tokens_in=tally.tokens_in,
        tokens_out=tally.tokens_out,
        cost=tally.cost,
        unpriced=tally.unpriced,
    )
    assert told.total == whole
    for name in SUMS:
        assert sum(getattr(row, name) for row in told.rows) == getattr(whole, name)


def check_streaming(events: list[AnyEvent]) -> None:
    """A trace drawn under way is that of what has happened until then."""
    folding, so_far = Folding(new_machine()), recorded(events)
    for number, event in enumerate(so_far, 1):
        folding.add(event)
        if number % 9 == 0 or number == len(so_far):
            streamed = folding.trace(fates_of(folding.machine.workflow))
            assert streamed == trace_of(so_far[:number], new_machine(), fates_of)
            check_time(streamed)


def judge_seeds(first: int, count: int) -> list[str]:
    """Judge seeds in this process; gives what failed."""
    failures: list[str] = []
    for seed in range(first, first + count):
        try:
            judge(events_of(seed), streaming=seed % 40 == 0)
        except Exception:
            again = f"repeat it with: python -m tests.insight.random_runs {seed}"
            failures.append(f"{traceback.format_exc()}\n{again}")
            if len(failures) == 3:
                break
    return failures


if __name__ == "__main__":
    wrong = judge_seeds(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print("\n".join(wrong))
    sys.exit(bool(wrong))
