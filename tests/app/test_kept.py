"""Kept answers as programs and files meet them."""

import asyncio
from pathlib import Path

import pytest

from hocket import Agent, Plan
from hocket.app.engine import Engine
from hocket.core.errors import SpecError
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.teams import CacheSpec, ToolSpec
from hocket.core.values import Json

looked: list[str] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    looked.clear()


def look(word: str) -> str:
    looked.append(word)
    return f"{word} is a word"


def run(state: Path, spec: RunSpec, times: int = 1) -> list[tuple[Json, int, int]]:
    """Run it in as many engines; gives outputs, hits and misses."""

    async def main() -> list[tuple[Json, int, int]]:
        found = []
        for _ in range(times):
            async with Engine(state) as engine:
                result = await engine.run(spec)
                found.append((result.output, result.tally.kept, result.tally.missed))
        return found

    return asyncio.run(main())


def test_the_same_call_of_a_tool_is_made_once_whoever_makes_it_and_when(tmp_path: Path) -> None:
    """A tool's calls are told apart by nothing but what is asked: not by turn, place or member."""
    replies: list[Json] = [
        {"calls": [{"name": "look", "args": {"word": "rain"}}] * 2},
        {"calls": [{"name": "look", "args": {"word": "rain"}}]},
        {"calls": [{"name": "look", "args": {"word": "snow"}}]},
        "done",
    ]
    ref = f"{look.__module__}:{look.__qualname__}"
    schema = {"type": "object", "properties": {"word": {"type": "string"}}}
    agents = {
        "m": AgentSpec(
            kind="scripted",
            options={"replies": replies},
            tools={"look": ToolSpec(agent="look", schema=schema)},
        ),
        "look": AgentSpec(kind="function", options={"ref": ref}, cache=CacheSpec()),
    }
    steps = (StepSpec(name="s", agent="m", input="go"), StepSpec(name="t", agent="m", input="go"))
    spec = RunSpec(workflow=PlanSpec(name="p", steps=steps), agents=agents)
    first, second = run(tmp_path / "state", spec, 2)
    assert looked in (["rain", "snow"], ["snow", "rain"])
    assert first == ({"s": "done", "t": "done"}, 6, 2)
    assert second[1:] == (8, 0)


def test_a_python_program_says_it_in_a_word(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(tmp_path / "state") as engine:
            writer = Agent("writer", scripted={"replies": ["a story"]}, cache="1h")
            plan = Plan("write")
            plan.returns(
                [plan.step("one", writer, "Tell me."), plan.step("two", writer, "Tell me.")]
            )
            result = await engine.run(plan)
            assert result.output == ["a story", "a story"]
            assert (result.tally.made, result.tally.kept) == (1, 1)

    asyncio.run(main())


def test_an_agent_with_effects_cannot_have_its_answers_kept(tmp_path: Path) -> None:
    agent = AgentSpec(
        kind="command", options={"command": ["true"]}, effects=True, cache=CacheSpec()
    )
    steps = (StepSpec(name="s", agent="a"),)
    spec = RunSpec(workflow=PlanSpec(name="p", steps=steps), agents={"a": agent})
    with pytest.raises(SpecError, match="effects"):
        run(tmp_path / "state", spec)


def test_a_file_of_another_content_is_another_question(tmp_path: Path) -> None:
    """The maker of the file has no cache, so it may change; the reader is asked anew only then."""
    path = tmp_path / "notes.txt"
    maker = AgentSpec(
        kind="command",
        options={"command": ["cat", str(path)], "files": ["notes.txt"], "cwd": str(tmp_path)},
    )
    reader = AgentSpec(
        kind="command", options={"command": ["wc", "-c"]}, cache=CacheSpec(), effects=False
    )
    steps = (
        StepSpec(name="make", agent="maker"),
        StepSpec(
            name="read",
            agent="reader",
            needs=("make",),
            input={"stdin": "{{make.files['notes.txt']}}"},
        ),
    )
    plan = PlanSpec(name="p", steps=steps, output="{{read}}")
    spec = RunSpec(workflow=plan, agents={"maker": maker, "reader": reader})
    path.write_text("four")
    assert [hits for _, hits, _ in run(tmp_path / "state", spec, 2)] == [0, 1]
    path.write_text("other")
    ((output, hits, misses),) = run(tmp_path / "state", spec)
    assert (output.strip(), hits, misses) == ("5", 0, 1)
