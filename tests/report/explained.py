"""Runs made by hand, and what is to be told of them."""

from __future__ import annotations

from typing import Literal

from tests.simulator.policies import Incident, consensus, spec_of

from hocket.app.adapters import KINDS
from hocket.core.events import Recorded, Usage, Wait
from hocket.core.run import RunMachine
from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import MINUTE, MS, SECOND
from hocket.insight.explain import Explanation, explain
from hocket.insight.fold import trace_of
from hocket.insight.trace import Activity, Stop, Trace
from hocket.simulator.outcome import Gain, Row, Spread
from hocket.simulator.play import play
from hocket.workflows.plan import fates_of

BEGAN = 1_790_000_000 * SECOND
PICO = 10**12
NASTY = "</script><img src=x onerror=alert(1)>&\"'\x00\u2028"


def call(path: str, asked: float, began: float, ended: float | None, **more: object) -> Activity:
    """A call at instants in seconds from the beginning of the run."""
    fields: dict[str, object] = {
        "path": path,
        "step": path.split("/", maxsplit=1)[0],
        "agent": "coder",
        "model": "flash",
        "asked": BEGAN + round(asked * SECOND),
        "began": BEGAN + round(began * SECOND),
        "ended": None if ended is None else BEGAN + round(ended * SECOND),
        "fate": "useful",
        "usage": Usage(tokens_in=1_000, tokens_out=200, cost=PICO // 500),
    }
    return Activity(**(fields | more))  # type: ignore[arg-type]


def wait(cause: str, since: float, until: float) -> Wait:
    return Wait(cause, BEGAN + round(since * SECOND), BEGAN + round(until * SECOND))


def trace(**changes: object) -> Trace:
    """Two answers, one of which waited for its limit; a stale vote; an approval; a pause."""
    fields: dict[str, object] = {
        "run": "01RUN",
        "name": f"release {NASTY}",
        "began": BEGAN,
        "ended": BEGAN + 100 * SECOND,
        "status": "succeeded",
        "activities": [
            call("ask/coder", 0, 0, 20, events=(3, 5), claims=("flash",)),
            call(
                "ask/pro",
                0,
                30,
                50,
                agent="pro",
                model=NASTY,
                waits=(wait("rate:flash", 0, 30),),
                events=(4, 6, 7),
                claims=("flash",),
            ),
            call(
                "vote/coder",
                20,
                22,
                49,
                fate="stale",
                after=0,
                needs=(0,),
                waits=(wait("slot:run", 20, 22),),
                events=(8, 9),
            ),
            call(
                "sign",
                50,
                50,
                80,
                agent="",
                model="",
                work="approval",
                usage=None,
                after=1,
                needs=(0, 1),
                events=(10, 11),
            ),
            call("publish", 90, 90, 100, after=3, needs=(3,), work="tool", events=(12, 14)),
        ],
        "finish": 4,
        "stops": [Stop("pause", BEGAN + 82 * SECOND, BEGAN + 88 * SECOND, (15, 16))],
        "limits": {"flash": LimitSpec(requests=(Rate(2, MINUTE),))},
        "max_parallel": 2,
    }
    return Trace(**(fields | changes))  # type: ignore[arg-type]


def explained(**changes: object) -> Explanation:
    return explain(trace(**changes))


def many(count: int, width: int = 12) -> Trace:
    """Calls in chains side by side, whose lengths and waits vary but never by chance."""
    activities: list[Activity] = []
    free = [0] * width
    for number in range(count):
        lane = number % width
        asked = free[lane]
        held = (number * 7_919) % 4_000 if number % 3 == 0 else 0
        long = 500 + (number * 104_729) % 9_000
        fate = ("useful", "useful", "useful", "stale", "failed", "useful")[
            (number * 7 + number // 11) % 6
        ]
        cause = ("rate:flash", "slot:agent:coder", "backoff")[number // 3 % 3]
        began, ended = asked + held, asked + held + long
        free[lane] = ended + 20
        activities.append(
            Activity(
                path=f"work{lane}/item-{number}/answer",
                step=f"work{lane}",
                agent=f"agent-{lane % 7}",
                model=("gemini-2.5-pro", "claude-opus", "gpt")[lane % 3],
                asked=BEGAN + asked * MS,
                began=BEGAN + began * MS,
                ended=BEGAN + ended * MS,
                waits=(Wait(cause, BEGAN + asked * MS, BEGAN + began * MS),) if held else (),
                fate=fate,  # type: ignore[arg-type]
                usage=Usage(
                    tokens_in=900 + number % 700,
                    tokens_out=number % 333,
                    cost=number % 997 * 10**7 + 1_234_567,
                ),
                after=number - width if number >= width else -1,
                needs=(number - width,) if number >= width else (),
                claims=("flash",),
                events=(3 * number + 2, 3 * number + 3, 3 * number + 4),
            )
        )
    last = max(range(count), key=lambda number: activities[number].ended or 0)
    return Trace(
        run="01MANY",
        name="many",
        began=BEGAN,
        ended=(activities[last].ended or 0) + 5 * MS,
        status="succeeded",
        activities=activities,
        finish=last,
        limits={"flash": LimitSpec(requests=(Rate(100, MINUTE),), concurrency=width)},
        max_parallel=width,
    )


def seven() -> Explanation:
    """Seven agents who restart each other and wait for their limits, played by the simulator."""
    played = play(spec_of(consensus("restart_all"), True), {}, Incident(), 3)
    events = [Recorded(seq, event) for seq, event in enumerate(played.events, start=1)]
    machine = RunMachine({tag: kind.make for tag, kind in KINDS.items()})
    return explain(trace_of(events, machine, fates_of))


def gain(
    finding: int = 0,
    verdict: Literal["good", "rough", "bad"] = "good",
    baseline: Row | None = None,
    unknown: str = "",
    **changes: object,
) -> Gain:
    """What a change gains by simulation: 41 s, unless it is said otherwise."""
    fields: dict[str, object] = {
        "name": "limits.flash.requests=4/min",
        "settings": ("limits.flash.requests=4/min",),
        "runs": 200,
        "pairs": 200,
        "seconds": Spread(59.0, 56.0, 62.0),
        "success": 1.0,
        "faster": Spread(41.0, 38.0, 44.0),
        "certain": (40.5, 41.5),
    }
    row = Row(**(fields | changes))  # type: ignore[arg-type]
    before = Row(name="baseline", runs=200, success=1.0, binds="room in the windows of flash")
    return Gain(finding, row, verdict, before if baseline is None else baseline, unknown)
