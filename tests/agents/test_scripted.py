"""The scripted agent says what it was told to, and nothing else."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.agents.context import FakeContext, request

from hocket.agents.scripted import ScriptedAgent
from hocket.core.errors import AgentError, SpecError
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec


def scripted(**options: Any) -> ScriptedAgent:
    spec = AgentSpec(kind="scripted", options=options)
    return ScriptedAgent("s", spec, state=Path(), live={})


def say(agent: ScriptedAgent, input: Any = "hi", **more: Any) -> Any:
    return asyncio.run(agent.call(request(input, **more), FakeContext())).output


def test_without_replies_it_gives_the_prompt_back() -> None:
    assert say(scripted()) == "hi"
    assert say(scripted(), {"prompt": "x", "system": "y"}) == "x"
    assert say(scripted(), {"a": 1}) == '{"a":1}'
    assert say(scripted(), None) == ""


def test_replies_come_in_turn_by_attempt_and_round_and_the_last_one_stays() -> None:
    agent = scripted(replies=["a", {"output": {"said": ["{prompt}", 1]}}, "c"])
    assert say(agent) == "a"
    assert say(agent) == "a"
    assert say(agent, attempt=2) == {"said": ["hi", 1]}
    assert say(agent, attempt=9) == "c"
    assert say(agent, path="poll~2") == {"said": ["hi", 1]}
    assert say(agent, path="poll~2", attempt=2) == "c"


def test_the_prompt_chooses() -> None:
    agent = scripted(replies=["other"], by={"^rev": ["review"], "hi": ["first", "second"]})
    assert say(agent, "review this") == "review"
    assert say(agent, attempt=2) == "second"
    assert say(agent, "bye") == "other"


def test_it_fails_on_demand() -> None:
    error = {"kind": "rate_limited", "message": "slow down", "retry_after": "30s"}
    agent = scripted(replies=[{"error": error, "tokens_in": 7}, "ok"])
    context = FakeContext()
    with pytest.raises(AgentError) as caught:
        asyncio.run(agent.call(request("x"), context))
    assert caught.value.fault.kind == "rate_limited"
    assert caught.value.fault.message == "slow down"
    assert caught.value.fault.retry_after == 30_000_000_000
    assert caught.value.usage == Usage(tokens_in=7, cost=0)
    assert say(agent, attempt=2) == "ok"


def test_it_streams_word_by_word_and_counts_tokens() -> None:
    agent = scripted(
        replies=[{"output": "one two  three", "stream": True, "tokens_in": 3, "tokens_out": 4}]
    )
    context = FakeContext()
    reply = asyncio.run(agent.call(request("x"), context))
    assert [text for _, text in context.shown] == ["one", " two", "  three"]
    assert reply.usage == Usage(tokens_in=3, tokens_out=4, cost=0)
    assert context.spent == [Usage(tokens_in=3, cost=0)]


def test_time_passes_by_the_loop_alone() -> None:
    async def main() -> list[float]:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "sleep", sleep)
            await scripted(replies=[{"after": "2h"}]).call(request("x"), FakeContext())
        return slept

    assert asyncio.run(main()) == [7200.0]


def test_an_output_must_fit_the_schema_of_its_step() -> None:
    agent = scripted(replies=[{"output": {"n": "x"}}, {"output": {"n": 1}}])
    schema = {"properties": {"n": {"type": "integer"}}}
    with pytest.raises(AgentError, match=r"invalid_output: output\.n"):
        say(agent, output=schema)
    assert say(agent, output=schema, attempt=2) == {"n": 1}


def test_a_step_may_have_replies_of_its_own() -> None:
    assert say(scripted(replies=["a"]), options={"replies": ["b"]}) == "b"
    with pytest.raises(AgentError, match="permanent"):
        say(scripted(), options={"replis": []})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reply": []}, "unknown option 'reply'; did you mean 'replies'?"),
        ({"replies": [{"outputt": 1}]}, "outputt"),
        ({"replies": [{"error": {"kind": "nope"}}]}, "nope"),
        ({"replies": [{"after": "soon"}]}, "'soon' is not a duration"),
        ({"by": {"(": ["x"]}}, "not a regular expression"),
        ({"by": {"x": [{"error": {"retry_after": "later"}}]}}, "'later' is not a duration"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        scripted(**options)
    assert says in str(caught.value)
