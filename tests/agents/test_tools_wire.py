"""Conversations with tools over HTTP, with the engine or without: what leaves, when, and how often.

These run by the real clock, since sockets do; nothing waits longer than the loopback takes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.agents import provider_server as wire
from tests.agents.context import FakeContext, request
from tests.agents.provider_server import Answer, ProviderServer, Seen
from tests.agents.tool_streams import openai_calls
from tests.engine.kit import engine, only

from hocket.agents.function import FunctionAgent
from hocket.agents.model import ModelAgent
from hocket.core.events import CallFailed, CallFinished, CallStarted, Recorded, Usage
from hocket.core.machine import Departure, Do, JobSpec, Landing
from hocket.core.specs import AgentSpec, LimitSpec, PlanSpec, Retry, RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec, Member, Tool, ToolSpec
from hocket.core.values import HOUR, MS, Call, Json
from hocket.engine.engine import Run
from hocket.journal.memory import MemoryJournal
from hocket.workflows.conversation import Conversation

pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")

LOOK = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}
TOOLS = (Tool("look", "Look it up", LOOK),)
LOOKS = openai_calls(("look", '{"what": "x"}'))


def model(server: ProviderServer, name: str = "m") -> ModelAgent:
    options = {"model": "openai:tiny", "base_url": server.url}
    return ModelAgent(name, AgentSpec(kind="model", options=options), state=Path(), live={})


def function(does: Callable[[str], Awaitable[Json]]) -> FunctionAgent:
    spec = AgentSpec(kind="function", options={"ref": "x:f"})
    return FunctionAgent("look", spec, state=Path(), live={"x:f": does})


def agents(*names: str, **limits: LimitSpec) -> dict[str, AgentSpec]:
    """Models by name, the first of which may look things up; `limits` are those of agents."""
    look = ToolSpec(agent="look", about="Look it up", schema=LOOK)
    made = {
        name: AgentSpec(
            kind="model",
            tools={"look": look} if name == names[0] else {},
            limits=(name,) if name in limits else (),
        )
        for name in names
    }
    return {**made, "look": AgentSpec(kind="function", options={"ref": "x:f"})}


class Landed:
    """An observer that lets others wait until a call of a path has given something."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.there = asyncio.Event()

    def recorded(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            event = recorded.event
            if isinstance(event, CallFinished) and event.call.path == self.path:
                self.there.set()

    def emitted(self, call: Call, stream: str, text: str) -> None:
        """Text is not waited for."""


async def finish(
    journal: MemoryJournal, known: dict[str, Any], spec: RunSpec, *observers: Landed
) -> Run:
    started = engine(journal, known, clock=time.time_ns)
    run = await started.start(spec, {}, run="r", seed=1, stay=False, observers=list(observers))
    await asyncio.wait_for(run.settled(), 30)
    return run


def said(seen: Seen) -> list[tuple[str, str]]:
    return [(message["role"], message.get("content") or "") for message in seen.body["messages"]]


def test_what_is_told_is_in_the_request_at_the_next_boundary_of_a_tool() -> None:
    job = JobSpec(
        agents=("m",), effects=(False,), retry=Retry(), timeout=HOUR, output=None, options={}
    )
    known = agents("m")
    talk = Conversation(job, known["m"].tools, known, 4)

    async def turn(server: ProviderServer, agent: ModelAgent, path: str) -> None:
        asked = request(talk.request(path, "Find it"), path=path)
        if not talk.opened:
            talk.open("Find it")
        talk.heard_of(path, Departure(1))
        reply = await agent.call(msgspec.structs.replace(asked, tools=TOOLS), FakeContext())
        talk.heard_of(path, Landing(attempt=1, agent="m", how="finished"))
        talk.ended(path, reply.output, None, 0)

    async def main() -> list[Seen]:
        async with ProviderServer(LOOKS, wire.stream(["It is y"])) as server:
            agent = model(server)
            talk.start()
            talk.moves.clear()
            await turn(server, agent, "turn")
            # The others answer while its tool is at work.
            talk.tell("B says y", {"b": 1})
            talk.ended("look/0", "x is here", None, 0)
            assert [move.path for move in talk.moves if isinstance(move, Do)][-1] == "turn~2"
            await turn(server, agent, "turn~2")
            await agent.close()
            return server.seen

    first, second = asyncio.run(main())
    assert said(first) == [("user", "Find it")]
    assert said(second) == [
        ("user", "Find it"),
        ("assistant", ""),
        ("tool", "x is here"),
        ("user", "B says y"),
    ]
    assert talk.told == [{"b": 1}]


def test_under_inject_a_new_answer_is_in_the_next_request_of_who_is_at_work() -> None:
    team = ConsensusSpec(
        members=(Member(name="a", agent="a"), Member(name="b", agent="b")), policy="inject"
    )
    step = StepSpec(name="q", kind="consensus", input="What is it?", team=team)
    spec = RunSpec(workflow=PlanSpec(name="p", steps=(step,)), agents=agents("a", "b"))

    async def main() -> list[Seen]:
        landed = Landed("q/b/answer")

        async def look(what: str) -> str:
            await landed.there.wait()
            return f"{what} is here"

        async with (
            ProviderServer(LOOKS, wire.stream(["It is x"])) as at_a,
            ProviderServer(wire.stream(["Surely it is y"])) as at_b,
        ):
            known = {"a": model(at_a, "a"), "b": model(at_b, "b"), "look": function(look)}
            await finish(MemoryJournal(), known, spec, landed)
            for agent in known.values():
                await agent.close()
            return at_a.seen

    first, second, *_ = asyncio.run(main())
    assert "Surely it is y" not in str(first.body)
    assert second.body["messages"][: len(first.body["messages"])] == first.body["messages"]
    told = said(second)[len(first.body["messages"]) :]
    assert [role for role, _ in told] == ["assistant", "tool", "user"]
    assert told[1][1] == "x is here"
    assert "Surely it is y" in told[2][1]


@pytest.mark.parametrize("limited", [False, True])
def test_a_refusal_in_the_middle_repeats_that_turn_alone(limited: bool) -> None:
    limits = {"m": LimitSpec(concurrency=4)} if limited else {}
    step = StepSpec(name="s", agent="m", input="Find it", retry=Retry(first=MS))
    spec = RunSpec(
        workflow=PlanSpec(name="p", steps=(step,)), agents=agents("m", **limits), limits=limits
    )
    journal = MemoryJournal()
    looked: list[str] = []

    async def look(what: str) -> str:
        looked.append(what)
        return f"{what} is here"

    async def main() -> tuple[Run, list[Seen]]:
        answers: list[Answer] = [
            openai_calls(("look", '{"what": "x"}'), used=wire.usage(100, 10)),
            wire.error("429 Too Many Requests", headers={"retry-after": "0"}),
            wire.stream(["It is x"], used=wire.usage(150, 20)),
        ]
        async with ProviderServer(*answers) as server:
            agent = model(server)
            run = await finish(journal, {"m": agent, "look": function(look)}, spec)
            await agent.close()
            return run, server.seen

    run, seen = asyncio.run(main())
    assert run.machine.end is not None
    assert run.machine.end.output == "It is x"
    assert [str(event.call) for event in only(journal, CallStarted)] == [
        "s/turn#1",
        "s/look/0#1",
        "s/turn~2#1",
        "s/turn~2#2",
    ]
    assert [event.fault.kind for event in only(journal, CallFailed)] == ["rate_limited"]
    assert looked == ["x"]
    assert len(seen) == 3
    assert seen[1].body == seen[2].body, "the same turn again, and nothing else"
    # Each turn has spent what its own request took, and no more.
    assert {event.call.path: event.usage for event in only(journal, CallFinished)} == {
        "s/turn": Usage(tokens_in=100, tokens_out=10),
        "s/look/0": None,
        "s/turn~2": Usage(tokens_in=150, tokens_out=20),
    }
    useful = run.machine.workflow.reports()["s"].fates["useful"]
    assert (useful.calls, useful.tokens_in, useful.tokens_out) == (3, 250, 30)
