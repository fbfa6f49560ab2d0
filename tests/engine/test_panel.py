"""Panels on the engine, in virtual time: nothing stands between what is there and what follows."""

import asyncio
from typing import Any

import pytest
from tests.engine.kit import Do, Doer, engine, events, only, seconds, starts, virtual

from hocket.agents.base import Context, Request
from hocket.core.events import CallCancelled, CallFailed, CallFinished, CallStarted, RunEnded
from hocket.core.specs import AgentSpec, RunSpec, StepSpec
from hocket.core.values import MS, SECOND, Json
from hocket.engine.crew import MOST_PREPARED
from hocket.journal.memory import MemoryJournal
from hocket.simulator.agents import Cast, Latency, Player
from hocket.simulator.play import play
from hocket.workflows.panel import Panel, panel_plan

QUESTION: dict[str, Json] = {"question": "why?"}


def step(name: str, **more: Any) -> StepSpec:
    return StepSpec(name=name, agent=name, **more)


def panel(*contributors: StepSpec, kind: Any = "function", **more: Any) -> RunSpec:
    fields = {"synthesis": step("reporter"), **more}
    described = Panel(question="{{inputs.question}}", contributors=contributors, **fields)
    agents = [c.agent for c in contributors] + ["reporter", "router"]
    specs = {name: AgentSpec(kind=kind, options={"ref": f"x:{name}"}) for name in agents}
    return RunSpec(workflow=panel_plan(described), agents=specs)


def team(**durations: float) -> dict[str, Doer | Exception]:
    """Agents that take so long; below zero they fail then."""

    def doing(lasts: float) -> Do:
        async def do(request: Request, context: Context) -> Json:
            await asyncio.sleep(abs(lasts))
            if lasts < 0:
                raise ValueError("broken")
            return "so"

        return do

    agents: dict[str, Doer | Exception] = {
        name: Doer(doing(lasts)) for name, lasts in durations.items()
    }
    agents.setdefault("reporter", Doer(doing(0)))
    return agents


def took(spec: RunSpec, agents: dict[str, Doer | Exception], journal: MemoryJournal) -> float:
    """Run a panel to its end; gives the virtual seconds that it took."""

    async def main() -> None:
        async with await engine(journal, agents).start(spec, QUESTION, run="r", seed=0) as run:
            await run.settled()

    virtual(main)
    end = only(journal, RunEnded)[0]
    assert end.status == "succeeded", end
    return round(seconds(end.at) - seconds(events(journal)[0].at), 9)


THREE = {"memory": 0.5, "mcp": 0.3, "personal": 0.4}


@pytest.mark.parametrize(
    ("durations", "reporter", "expected"),
    [
        (THREE, 0.0, 0.5),
        (THREE, 1.0, 1.5),
        ({**THREE, "memory": 5.0}, 0.0, 1.0),
        ({**THREE, "mcp": -0.3}, 0.0, 0.5),
    ],
)
def test_the_rows_of_the_seed_take_what_they_take_at_best(
    durations: dict[str, float], reporter: float, expected: float
) -> None:
    steps = [step(name, timeout=SECOND) for name in durations]
    journal = MemoryJournal()
    assert took(panel(*steps), team(**durations, reporter=reporter), journal) == expected
    lost = len(only(journal, CallFailed)) + len(only(journal, CallCancelled))
    assert lost == sum(not 0 <= lasts <= 1 for lasts in durations.values())


def test_the_synthesis_leaves_with_the_quorum_and_late_ones_go_on_until_the_reply() -> None:
    journal = MemoryJournal()
    agents = team(memory=0.5, mcp=0.3, personal=9.0, reporter=0.2)
    spec = panel(step("memory"), step("mcp"), step("personal"), quorum=2)
    assert took(spec, agents, journal) == 0.7
    assert starts(journal)["synthesis#1"] == 0.5
    kinds = [type(event) for event in events(journal)]
    finished = [n for n, kind in enumerate(kinds) if kind is CallFinished]
    # Between the second contribution and the synthesis nothing else happens.
    assert kinds[finished[1] + 1] is CallStarted
    assert [c.call.path for c in only(journal, CallCancelled)] == ["personal"]


def test_each_begins_when_its_inputs_are_there_and_phases_would_take_longer() -> None:
    durations = {"a1": 0.1, "a2": 0.7, "b1": 0.7, "b2": 0.1}

    def of(**needs: tuple[str, ...]) -> float:
        steps = [step(name, needs=needs.get(name, ())) for name in ("a1", "b1", "a2", "b2")]
        return took(panel(*steps), team(**durations), MemoryJournal())

    at_once = of(a2=("a1",), b2=("b1",))
    phases = of(a2=("a1", "b1"), b2=("a1", "b1"))
    assert (at_once, phases) == (0.8, 1.4)


def test_those_who_are_selected_begin_the_moment_the_router_is_done() -> None:
    async def route(request: Request, context: Context) -> Json:
        await asyncio.sleep(0.25)
        return ["mcp"]

    journal = MemoryJournal()
    spec = panel(step("memory"), step("mcp"), select=step("router"))
    assert took(spec, {**team(memory=9, mcp=0.5), "router": Doer(route)}, journal) == 0.75
    assert starts(journal) == {"select#1": 0.0, "mcp#1": 0.25, "synthesis#1": 0.75}


def test_what_was_contributed_before_a_stop_is_not_asked_for_again() -> None:
    journal = MemoryJournal()
    spec = panel(step("memory"), step("mcp"), step("personal"), within=2 * SECOND)
    agents = team(memory=0.5, mcp=0.3, personal=1.0)

    async def main() -> None:
        async with await engine(journal, agents).start(spec, QUESTION, run="r", seed=0):
            await asyncio.sleep(0.7)
        async with await engine(journal, agents).resume("r") as run:
            await run.settled()

    virtual(main)
    called = [str(event.call) for event in only(journal, CallStarted)]
    assert called == ["memory#1", "mcp#1", "personal#1", "personal#2", "synthesis#1"]
    output = only(journal, RunEnded)[0].output
    assert isinstance(output, dict)
    assert sorted(output["contributions"]) == ["mcp", "memory", "personal"]


# -- models are made ready ------------------------------------------------------------------


class Model(Doer):
    """A model that notes when it was made ready."""

    def __init__(self, log: list[str], name: str) -> None:
        async def do(request: Request, context: Context) -> Json:
            log.append(f"{name} is called")
            await asyncio.sleep(1)
            return "so"

        super().__init__(do)
        self._log, self._name = log, name

    def prepare(self) -> None:
        self._log.append(f"{self._name} is made ready")


def test_models_are_made_ready_while_others_are_waited_for() -> None:
    log: list[str] = []
    names = ("memory", "mcp", "reporter")
    agents: dict[str, Doer | Exception] = {name: Model(log, name) for name in names}
    agents["router"] = ValueError("its options make no sense")
    took(panel(step("memory"), step("mcp"), kind="model"), agents, MemoryJournal())
    assert log.index("reporter is made ready") < log.index("memory is called")
    assert log.count("reporter is made ready") == 1


def test_only_so_many_models_are_made_ready_and_nothing_else() -> None:
    log: list[str] = []
    names = [f"m{n}" for n in range(MOST_PREPARED + 9)]
    for kind, count in (("model", MOST_PREPARED), ("function", 0)):
        log.clear()
        agents: dict[str, Doer | Exception] = {name: Model(log, name) for name in names}
        agents |= {"reporter": Model(log, "r"), "router": Model(log, "s")}
        took(panel(*map(step, names), kind=kind), agents, MemoryJournal())
        assert sum(entry.endswith("ready") for entry in log) == count


# -- a voice panel --------------------------------------------------------------------------


def test_a_voice_panel_replies_within_three_seconds_nearly_always() -> None:
    """One after the other the same calls take longer; `bench/panel.py` has the table."""
    lasts = {"router": 250, "memory": 400, "mcp": 350, "personal": 500, "reporter": 900}
    players = {
        name: Player(latency=Latency(median * MS, 0.5), gives=lambda asked: "so")
        for name, median in lasts.items()
    }
    players["router"] = Player(latency=Latency(250 * MS, 0.5), gives=lambda asked: list(THREE))
    steps = [step(name) for name in THREE]
    spec = panel(*steps, select=step("router"), within=SECOND, quorum=2)
    ends = []
    for seed in range(200):
        played = play(spec, QUESTION, Cast(players), seed)
        assert played.status == "succeeded"
        assert len(played.output["contributions"]) <= 3
        ends.append(played.took)
    assert sorted(ends)[190] < 3 * SECOND
