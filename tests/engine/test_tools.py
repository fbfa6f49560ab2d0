"""Agents with tools as the engine runs them: journalled, limited, approved, resumed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.engine.kit import Doer, engine, only, starts, step, virtual, waits

from hocket.agents.base import Context, Estimate, Reply, Request
from hocket.agents.function import FunctionAgent
from hocket.agents.scripted import ScriptedAgent
from hocket.core.errors import AgentError, Fault, JournalError
from hocket.core.events import ApprovalAsked, CallFailed, CallFinished, CallLost, Usage
from hocket.core.requests import Approve
from hocket.core.specs import AgentSpec, LimitSpec, PlanSpec, Rate, RunSpec, StepSpec
from hocket.core.teams import ToolSpec
from hocket.core.values import SECOND, Json
from hocket.engine.engine import Run
from hocket.journal.memory import MemoryJournal

LOOK = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}


def spec(*steps: StepSpec, limits: dict[str, LimitSpec] | None = None, **tool: Any) -> RunSpec:
    """A run whose model may look things up; `limits` bound the agents of their names."""
    limits = limits or {}
    look = ToolSpec(agent="look", about="Look it up", schema=LOOK, **tool)
    agents = {
        "m": AgentSpec(kind="scripted", tools={"look": look}, max_turns=4),
        "look": AgentSpec(kind="function", options={"ref": "x:look"}),
    }
    agents = {
        name: AgentSpec(
            kind=agent.kind,
            options=agent.options,
            tools=agent.tools,
            max_turns=agent.max_turns,
            limits=(name,) if name in limits else (),
        )
        for name, agent in agents.items()
    }
    steps = steps or (step("s", agent="m", input="Find it"),)
    return RunSpec(workflow=PlanSpec(name="p", steps=steps), agents=agents, limits=limits)


def calls(*whats: str) -> Json:
    """A scripted reply that looks these up, side by side."""
    return {"calls": [{"name": "look", "args": {"what": what}} for what in whats], "after": "1s"}


class Scripted(Doer):
    """A scripted agent that remembers what it was asked."""

    def __init__(self, *replies: Json, by: Json = None) -> None:
        options = {"replies": list(replies), "by": by or {}}
        made = AgentSpec(kind="scripted", options=options)
        self.agent = ScriptedAgent("m", made, state=Path(), live={})
        self.requests: list[Request] = []
        super().__init__(self._do)

    async def _do(self, request: Request, context: Context) -> Json:
        self.requests.append(request)
        return await self.agent.call(request, context)

    def estimate(self, request: Request) -> Estimate:
        self.requests.append(request)
        return self.agent.estimate(request)


def looks(duration: float = 2.0) -> Doer:
    """A function that takes its time, with the arguments that it gets."""

    async def look(what: str) -> str:
        await asyncio.sleep(duration)
        return f"{what} is here"

    return function(look)


def function(does: Any) -> Doer:
    """A Python function as the engine calls it."""
    made = AgentSpec(kind="function", options={"ref": "x:f"})
    return Doer(FunctionAgent("f", made, state=Path(), live={"x:f": does}).call)


async def runs(journal: MemoryJournal, agents: dict[str, Any], asked: RunSpec) -> Run:
    run = await engine(journal, agents).start(asked, {}, run="r", seed=1, stay=False)
    await run.settled()
    return run


def test_turns_and_calls_of_tools_are_calls_of_the_run() -> None:
    journal = MemoryJournal()
    model, look = Scripted(calls("a", "b"), {"output": "It: {prompt}"}), looks()
    run = virtual(lambda: runs(journal, {"m": model, "look": look}, spec()))
    assert run.machine.said == "succeeded"
    assert run.machine.end is not None
    assert run.machine.end.output == "It: Find it\n\na is here\n\nb is here"
    # The two calls of the first turn go side by side.
    assert starts(journal) == {
        "s/turn#1": 0.0,
        "s/look/0#1": 1.0,
        "s/look/1#1": 1.0,
        "s/turn~2#1": 3.0,
    }
    assert [tool.name for tool in model.requests[0].tools] == ["look"]
    outputs = {str(event.call): event.output for event in only(journal, CallFinished)}
    assert outputs["s/look/1#1"] == "b is here"


def test_the_last_turn_is_said_to_be_the_last() -> None:
    journal = MemoryJournal()
    model = Scripted(calls("a"))
    run = virtual(lambda: runs(journal, {"m": model, "look": looks()}, spec()))
    assert [request.input.get("last", False) for request in model.requests] == [False] * 3 + [True]
    assert run.machine.end is not None
    assert "no answer within 4 turns" in run.machine.end.reason


def test_arguments_that_do_not_fit_are_no_call_and_what_a_tool_raises_is_told() -> None:
    journal = MemoryJournal()

    async def broken(what: str) -> str:
        raise ValueError(f"no {what}")

    model = Scripted(
        {"calls": [{"name": "look", "args": {"wat": 1}}, {"name": "look", "args": {"what": "a"}}]},
        {"output": "{prompt}"},
    )
    run = virtual(lambda: runs(journal, {"m": model, "look": function(broken)}, spec()))
    assert run.machine.end is not None
    said = run.machine.end.output.split("\n\n")
    assert said == ["Find it", "the arguments lack 'what'", "ValueError: no a"]
    assert [str(event.call) for event in only(journal, CallFailed)] == ["s/look/1#1"]


def test_each_call_waits_for_the_limits_of_its_own_agent() -> None:
    journal = MemoryJournal()
    limits = {
        "m": LimitSpec(requests=(Rate(1, 10 * SECOND),), margin=0),
        "look": LimitSpec(concurrency=1),
    }
    model = Scripted(calls("a", "b", "c"), "it")
    virtual(lambda: runs(journal, {"m": model, "look": looks()}, spec(limits=limits)))
    begun = starts(journal)
    assert [begun[f"s/look/{i}#1"] for i in range(3)] == pytest.approx([1, 3, 5], abs=0.1)
    assert begun["s/turn~2#1"] == pytest.approx(10, abs=0.1)
    assert "rate:m" in [cause for cause, _, _ in waits(journal)["s/turn~2#1"]]


def test_estimates_know_of_the_tools_and_of_all_that_was_said() -> None:
    journal = MemoryJournal()
    limits = {"m": LimitSpec(tokens=(Rate(10_000, 60 * SECOND),))}
    model = Scripted({**calls("a"), "tokens_in": 10}, {"output": "it", "tokens_in": 20})
    virtual(lambda: runs(journal, {"m": model, "look": looks()}, spec(limits=limits)))
    assert all(request.tools for request in model.requests)
    estimated = [r.input["messages"] for r in model.requests if r.call.path == "s/turn~2"]
    assert len(estimated) >= 2
    assert all(said[-1]["output"] == "a is here" for said in estimated)


def test_a_refusal_in_the_middle_repeats_that_turn_alone() -> None:
    journal = MemoryJournal()
    model = Scripted(calls("a"), "it")
    refused = Fault(kind="rate_limited", message="429", retry_after=5 * SECOND)

    async def do(request: Request, context: Context) -> Json:
        if str(request.call) == "s/turn~2#1":
            raise AgentError(refused)
        if str(request.call) == "s/turn~2#2":
            return Reply(output={"$": "turn", "answer": "it"}, usage=Usage(tokens_in=7))
        return await model.agent.call(request, context)

    doer, look = Doer(do), looks()
    run = virtual(lambda: runs(journal, {"m": doer, "look": look}, spec()))
    assert run.machine.said == "succeeded"
    assert [call for _, call in doer.calls] == ["s/turn#1", "s/turn~2#1", "s/turn~2#2"]
    assert [call for _, call in look.calls] == ["s/look/0#1"]
    assert starts(journal)["s/turn~2#2"] >= 8
    spent = {str(e.call): e.usage for e in only(journal, CallFinished)}
    assert spent["s/turn~2#2"] == Usage(tokens_in=7)


@pytest.mark.parametrize("second", [0.5, 1.5, 2.5, 2.99])
def test_after_a_kill_nothing_that_was_on_disk_is_done_again(second: float) -> None:
    journal = MemoryJournal(latency=0.01)
    # By what it has heard, since a call that was lost counts as one, too.
    told = {"output": "{prompt}", "after": "1s"}
    model, look = Scripted(by={"is here": [told], "Find": [calls("a", "b")]}), looks(1)
    agents = {"m": model, "look": look}

    async def main() -> MemoryJournal:
        run = await engine(journal, agents).start(spec(), {}, run="r", seed=1)
        await asyncio.sleep(second)
        before = {event.call.path for event in only(journal, CallFinished)}
        twin = journal.crash()
        with pytest.raises(JournalError, match="crashed"):
            await run.settled()
        resumed = await engine(twin, agents).resume("r")
        assert (await resumed.settled()).said == "succeeded"
        assert resumed.machine.end is not None
        assert resumed.machine.end.output == "Find it\n\na is here\n\nb is here"
        made = [event.call.path for event in only(twin, CallLost)]
        assert before.isdisjoint(made), "what was finished is repeated"
        return twin

    twin = virtual(main)
    finished = [event.call.path for event in only(twin, CallFinished)]
    assert sorted(finished) == ["s/look/0", "s/look/1", "s/turn", "s/turn~2"]
    lost = len(only(twin, CallLost))
    assert len(model.calls) + len(look.calls) == 4 + lost, "at most what was in flight is repeated"


@pytest.mark.parametrize("approved", [True, False])
def test_a_tool_that_needs_approval_waits_for_a_person(approved: bool) -> None:
    journal = MemoryJournal()
    model, look = Scripted(calls("a"), {"output": "{prompt}"}), looks()

    async def main() -> Run:
        asked = spec(approve=True)
        run = await engine(journal, {"m": model, "look": look}).start(asked, {}, run="r", seed=1)
        await asyncio.sleep(5)
        assert (run.machine.waits_for_people, look.calls) == (True, [])
        (question,) = only(journal, ApprovalAsked)
        assert question.shown.startswith('look {"what":"a"}\nsettings ')
        run.ask(
            Approve(path="s/look/0", approved=approved, digest=question.digest, by="ann", note="so")
        )
        await run.settled()
        return run

    run = virtual(main)
    assert run.machine.end is not None
    assert run.machine.end.output.endswith("a is here" if approved else "rejected by ann: so")
    assert len(look.calls) == approved


def test_what_cannot_have_tools_says_so() -> None:
    journal = MemoryJournal()
    asked = spec(step("s", agent="m", input="Find it", fallback=("look",)))
    model = Scripted({"error": {"kind": "permanent", "message": "no key"}})
    run = virtual(lambda: runs(journal, {"m": model, "look": looks()}, asked))
    assert run.machine.end is not None
    assert "a function cannot call tools" in run.machine.end.reason
