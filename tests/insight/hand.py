"""Traces made by hand, in seconds, and traces of runs that were simulated."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

from tests.simulated.plans import random_run
from tests.simulator.policies import Incident, consensus, drawn, spec_of

from hocket.core.errors import Fault
from hocket.core.events import Recorded, Usage, Wait
from hocket.core.run import RunMachine
from hocket.core.values import SECOND, Json
from hocket.insight.fold import trace_of
from hocket.insight.trace import START, Activity, Stop, Trace
from hocket.simulator.agents import Asked, Cast, Latency, People, Player
from hocket.simulator.parts import Played
from hocket.simulator.play import play
from hocket.workflows.plan import fates_of, make_plan

S = SECOND


def call(
    path: str,
    began: float,
    ended: float | None,
    *,
    asked: float | None = None,
    waits: tuple[tuple[str, float, float], ...] = (),
    tokens: int | None = None,
    **fields: Any,
) -> Activity:
    """Make an activity that counted; instants in seconds."""
    held = tuple([Wait(cause, round(a * S), round(b * S)) for cause, a, b in waits])
    defaults = {"agent": "a", "step": path.partition("/")[0], "fate": "useful"}
    if tokens is not None:
        defaults["usage"] = Usage(tokens_in=tokens - 1, tokens_out=1, cost=10 * tokens)  # type: ignore[assignment]
    return Activity(
        path=path,
        asked=round((began if asked is None else asked) * S),
        began=round(began * S),
        ended=None if ended is None else round(ended * S),
        waits=held,
        **{**defaults, **fields},
    )


def trace(*activities: Activity, ended: float, finish: int = START, **fields: Any) -> Trace:
    """Make a trace that begins at 0."""
    stops = [Stop(kind, round(a * S), round(b * S)) for kind, a, b in fields.pop("stops", ())]
    return Trace(
        run="r",
        name="n",
        ended=round(ended * S),
        activities=list(activities),
        finish=finish,
        stops=stops,
        **fields,
    )


def folded(played: Played) -> Trace:
    """Fold what was played."""
    events = [Recorded(seq, event) for seq, event in enumerate(played.events, 1)]
    return trace_of(events, RunMachine({"plan": make_plan}), fates_of)


@cache
def team_trace(policy: str, seed: int, *, limited: bool, incident: bool = False) -> Trace:
    """Let the seven agents find a consensus; nobody changes what this gives."""
    spec = spec_of(consensus(policy), limited)
    return folded(play(spec, {}, Incident() if incident else drawn(), seed))


@cache
def plan_trace(seed: int) -> Trace:
    """Let a random plan be done by agents who fail at times; nobody changes what this gives."""
    spec, inputs = random_run(seed)
    return folded(play(spec, inputs, _players(seed), seed, people=People(3 * S), budget=3_000))


def _players(seed: int) -> Cast:
    draw = Random(f"{seed}/players")
    player = Player(
        latency=Latency(draw.choice((S // 5, S, 3 * S)), 0.8),
        gives=_given,
        failing=draw.choice((0.0, 0.1, 0.3)),
        fault=Fault(kind="unavailable", message="a simulated failure"),
        tokens_out=draw.choice((1, 20, 200)),
        price=(0, 0),
    )
    return Cast({}, player)


def _given(asked: Asked) -> Json:
    return {"n": int(asked.draw("n") * 4), "text": asked.path}
