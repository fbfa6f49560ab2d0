"""Helpers to make traces: by hand, of simulated runs, of events; durations are in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hocket.core.errors import Fault
from hocket.core.events import AnyEvent, Recorded, Usage, Wait
from hocket.core.run import RunMachine
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.values import SECOND, Json
from hocket.insight.account import Account, account
from hocket.insight.fold import trace_of
from hocket.insight.fold_trace import Until
from hocket.insight.trace import START, Activity, Trace
from hocket.simulator.agents import Act, Asked, Cast, People, Player, SimulatedAgents
from hocket.simulator.play import AT_ONCE, Played, play
from hocket.workflows.check import complete
from hocket.workflows.plan import fates_of, make_plan

MODEL = AgentSpec(kind="scripted")
TOOL = AgentSpec(kind="function")


def new_machine() -> RunMachine:
    return RunMachine({"plan": make_plan})


def recorded(events: Iterable[AnyEvent]) -> list[Recorded]:
    """Events in their places."""
    return [Recorded(seq, event) for seq, event in enumerate(events, 1)]


def folded(events: Iterable[AnyEvent], until: float = 0, *, driven: bool = True) -> Trace:
    """The trace of a run's events, with what became of the calls of its teams."""
    return trace_of(recorded(events), new_machine(), fates_of, Until(ns(until), driven))


class Timed(Cast):
    """Agents whose calls take as long as a table says.

    Args:
        seconds: How long calls take: by ``path#attempt``, by path, or by agent; 1 s otherwise.
        faults: How calls fail, by the same names; what isn't named succeeds.
        players: What agents give; an echo otherwise.
    """

    def __init__(
        self,
        seconds: Mapping[str, float],
        faults: Mapping[str, Fault] | None = None,
        players: Mapping[str, Player] | None = None,
    ) -> None:
        super().__init__({})
        self.seconds, self.faults, self.given = seconds, faults or {}, players or {}

    def act(self, asked: Asked) -> Act:
        names = (f"{asked.path}#{asked.attempt}", asked.path, asked.agent)
        lasts = next((self.seconds[name] for name in names if name in self.seconds), 1.0)
        fault = next((self.faults[name] for name in names if name in self.faults), None)
        gives = self.given.get(asked.agent, Player()).gives
        usage = None if fault is not None else Usage(tokens_in=10, tokens_out=5, cost=7)
        return Act(
            lasts=round(lasts * SECOND),
            gives=gives(asked) if fault is None else fault,
            usage=usage,
        )


def run(
    *steps: StepSpec | PlanSpec,
    agents: Mapping[str, AgentSpec] | None = None,
    seconds: Mapping[str, float] | None = None,
    faults: Mapping[str, Fault] | None = None,
    players: Mapping[str, Player] | None = None,
    cast: SimulatedAgents | None = None,
    people: People = AT_ONCE,
    inputs: Mapping[str, Json] | None = None,
    seed: int = 0,
    **spec: Any,
) -> Played:
    """Play a run of some steps, done by the scripted agent ``a`` and the function ``f``."""
    first = steps[0]
    plan = first if isinstance(first, PlanSpec) else PlanSpec(name="p", steps=steps)  # type: ignore[arg-type]
    who = dict(agents or {"a": MODEL, "f": TOOL})
    whole = complete(RunSpec(workflow=plan, agents=who, **spec))
    who_plays = cast or Timed(seconds or {}, faults, players)
    return play(whole, inputs or {}, who_plays, seed, people=people)


def traced(*steps: StepSpec | PlanSpec, **fields: Any) -> Trace:
    """The trace of a simulated run; see `run`."""
    return folded(run(*steps, **fields).events)


def shares(found: Account | Trace) -> dict[str, float]:
    """The seconds of each cause, written ``kind`` or ``kind:detail``."""
    account_ = account(found) if isinstance(found, Trace) else found
    return {":".join(filter(None, cause)): ns / SECOND for cause, ns in account_.shares.items()}


def chain(trace: Trace) -> list[str]:
    """The names of what was waited for, first to last."""
    activities = trace.activities
    return [
        activities[i].name if activities[i].agent else f"{activities[i].work} {activities[i].path}"
        for i in account(trace).chain
    ]


def named(trace: Trace, name: str) -> Activity:
    """The activity of a name, ``path#attempt``."""
    return next(activity for activity in trace.activities if activity.name == name)


def doing(
    path: str,
    asked: float,
    began: float,
    ended: float | None,
    after: int = START,
    *waits: tuple[str, float, float],
    **fields: Any,
) -> Activity:
    """An activity by hand: of agent ``a`` and useful unless told otherwise."""
    fields = {"agent": "a", "step": path, "fate": "useful" if ended is not None else ""} | fields
    fields.setdefault("needs", () if after < 0 else (after,))
    return Activity(
        path=path,
        asked=ns(asked),
        began=ns(began),
        ended=None if ended is None else ns(ended),
        after=after,
        waits=tuple(Wait(cause, ns(since), ns(until)) for cause, since, until in waits),
        **fields,
    )


def trace(*activities: Activity, ended: float | None = None, **fields: Any) -> Trace:
    """A trace by hand, from 0 to the end of its last activity, which let the run end."""
    last = max((one.ended or 0 for one in activities), default=0)
    fields = {
        "run": "r",
        "name": "p",
        "status": "succeeded",
        "finish": len(activities) - 1,
    } | fields
    return Trace(activities=list(activities), ended=last if ended is None else ns(ended), **fields)


def ns(seconds: float) -> int:
    """Seconds as nanoseconds."""
    return round(seconds * SECOND)
