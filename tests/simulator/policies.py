"""Every policy of a consensus, played: how many calls, how many in vain, when it is decided.

Seven agents, five of a fast model and two of a slow one; everybody agrees which answer is best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

from hocket.core.reports import Report
from hocket.core.specs import AgentSpec, LimitSpec, PlanSpec, Rate, RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec, Member, ToolSpec
from hocket.core.values import MINUTE, SECOND, Json
from hocket.simulator.agents import Act, Asked, Cast, Latency, Player
from hocket.simulator.parts import Played
from hocket.simulator.play import play
from hocket.simulator.teams import member_of, voter, with_tools

MEMBERS = (
    *(Member(name=f"flash-{i}", agent="flash") for i in range(1, 6)),
    *(Member(name=f"pro-{i}", agent="pro") for i in (1, 2)),
)
WINDOWS = {"flash": 9, "pro": 2}
TURNS = 3

POLICIES: dict[str, dict[str, Any]] = {
    "once": {},
    "rounds": {"policy": "rounds", "rounds": 1},
    "restart_all": {"policy": "restart_all"},
    "restart_unanswered": {"policy": "restart_unanswered"},
    "cancel": {"policy": "cancel"},
    "inject": {"policy": "inject"},
    "batch, 5 s": {"policy": "batch", "batch": 5 * SECOND},
    "sequential": {"policy": "sequential"},
}
RULES: dict[str, dict[str, Any]] = {
    "plurality of all votes": {"rule": "plurality", "early": False},
    "majority, early stop": {"rule": "majority", "early": True},
}

INCIDENT = (2.78, 2.84, 3.62, 4.41, 9.0)
INCIDENT_PRO = (12.0, 14.0)
"""When the first answers came, in seconds; the last three are assumed."""


def spec_of(consensus: ConsensusSpec, limited: bool, turns: int = 1) -> RunSpec:
    """Make a run of one consensus, whose members use a tool if they take several turns."""
    limits = {name: LimitSpec(requests=(Rate(amount, MINUTE),)) for name, amount in WINDOWS.items()}
    look = ToolSpec(agent="look", about="Looks things up", schema={"type": "object"})
    tools = {"look": look} if turns > 1 else {}
    agents = {
        name: AgentSpec(kind="scripted", limits=(name,) if limited else (), tools=tools)
        for name in WINDOWS
    }
    agents["look"] = AgentSpec(kind="function")
    step = StepSpec(name="q", kind="consensus", input="Why?", team=consensus)
    return RunSpec(
        workflow=PlanSpec(name="p", steps=(step,)),
        agents=agents,
        limits=limits if limited else {},
    )


def consensus(policy: str, rule: str = "plurality of all votes", **fields: Any) -> ConsensusSpec:
    return ConsensusSpec(members=MEMBERS, **{**POLICIES[policy], **RULES[rule], **fields})


class Incident:
    """The agents of the incident: first answers at known times, and votes by chance."""

    def __init__(self, flash: float = 3.3, pro: float = 9.0, sigma: float = 0.3) -> None:
        self._latency = {
            "flash": Latency(round(flash * SECOND), sigma),
            "pro": Latency(round(pro * SECOND), sigma),
        }
        self._give = voter()

    def act(self, asked: Asked) -> Act:
        first = asked.path.endswith("/answer") and asked.attempt == 1
        if first:
            name, _, number = member_of(asked.path).partition("-")
            times = INCIDENT if name == "flash" else INCIDENT_PRO
            lasts = round(times[int(number) - 1] * SECOND)
        else:
            lasts = self._latency[asked.agent].at(asked.draw("latency"))
        return Act(lasts, self._give(asked))

    def estimate(self, asked: Asked) -> Any:
        raise AssertionError("no limit counts tokens here")


def drawn(turns: int = 1) -> Cast:
    """Make agents whose every call takes a time drawn about 3.3 s, or 8 s."""
    gives = with_tools(voter(), turns)
    flash = Player(latency=Latency(round(3.3 * SECOND), 0.3), gives=gives)
    pro = Player(latency=Latency(8 * SECOND, 0.3), gives=gives)
    return Cast({"flash": flash, "pro": pro, "look": Player(latency=Latency(SECOND // 2))})


def drawn_with_tools() -> Cast:
    """Make the same, who take three turns whenever they are asked, and a tool after two."""
    return drawn(TURNS)


LATENCIES: dict[str, Callable[[], Any]] = {
    "drawn": drawn,
    "the incident's": Incident,
    "drawn, three turns": drawn_with_tools,
}


# ---- what came of it ----


class Sample(NamedTuple):
    """What one run came to; tools are no calls here."""

    calls: int
    wasted: int
    cancelled: int
    seconds: float


class Spread(NamedTuple):
    """The median of some figures, and the interval in which 95 % of them lie."""

    low: float
    median: float
    high: float


def report_of(played: Played) -> Report:
    return played.machine.workflow.reports()["q"]


def sample(played: Played) -> Sample:
    """Count a run, and see to it that nothing was decided before all first answers were in."""
    assert played.status == "succeeded", played.events[-1]
    report = report_of(played)
    assert report.ended is not None
    fates = {fate: known.calls for fate, known in report.fates.items()}
    assert sum(fates.values()) == len(played.calls)
    asked = [made for made in played.calls if made.agent in WINDOWS]
    answers = [made for made in asked if "/answer" in made.call.path]
    assert len({member_of(made.call.path) for made in answers}) == len(MEMBERS)
    assert max(made.ended for made in answers) <= report.ended
    wasted = fates.get("stale", 0) + fates.get("discarded", 0)
    seconds = (report.ended - report.began) / SECOND
    return Sample(len(asked), wasted, fates.get("cancelled", 0), seconds)


def samples(team: ConsensusSpec, latency: str, limited: bool, seeds: int) -> list[Sample]:
    """Play a consensus under so many seeds."""
    spec = spec_of(team, limited, TURNS if "turns" in latency else 1)
    return [sample(play(spec, {}, LATENCIES[latency](), seed)) for seed in range(seeds)]


def spread(values: Sequence[float]) -> Spread:
    ordered = sorted(values)
    last = len(ordered) - 1
    return Spread(ordered[round(0.025 * last)], median(ordered), ordered[round(0.975 * last)])


def better(other: Sequence[Sample], once: Sequence[Sample]) -> list[str]:
    """Name the columns in which the median of a policy is below all of the interval of `once`."""
    return [
        column
        for column in ("calls", "seconds")
        if spread(of(other, column)).median < spread(of(once, column)).low
    ]


def of(many: Sequence[Sample], column: str) -> list[float]:
    return [getattr(one, column) for one in many]


def output_of(played: Played) -> Json:
    return report_of(played).output
