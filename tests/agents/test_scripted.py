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


def talk(*messages: Any, last: bool = False) -> dict[str, Any]:
    return {"$": "talk", "messages": list(messages)} | ({"last": True} if last else {})


FIRST = {"role": "user", "text": "Find it"}
CALLS = {"calls": [{"name": "grep", "args": {"what": "{prompt}"}}, {"name": "now"}]}


def test_a_reply_may_call_tools_in_a_conversation() -> None:
    agent = scripted(replies=[CALLS, {"output": "so: {prompt}"}])
    turn = say(agent, talk(FIRST), path="s/turn")
    assert turn == {
        "$": "turn",
        "text": "",
        "calls": [
            {"id": "call_1_0", "name": "grep", "args": {"what": "Find it"}},
            {"id": "call_1_1", "name": "now", "args": {}},
        ],
    }
    heard = [
        FIRST,
        {"role": "agent", **turn},
        {"role": "tool", "id": "call_1_0", "name": "grep", "output": {"n": 1}, "failed": False},
        {"role": "user", "text": "B says y"},
    ]
    answer = {"$": "turn", "answer": 'so: Find it\n\n{"n":1}\n\nB says y'}
    assert say(agent, talk(*heard), path="s/turn~2") == answer


def test_a_call_that_is_made_again_has_the_same_name() -> None:
    agent = scripted(by={"Find": [CALLS]})
    first = say(agent, talk(FIRST), path="s/turn~3", attempt=1)
    assert first["calls"][0]["id"] == "call_3_0"
    assert say(agent, talk(FIRST), path="s/turn~3", attempt=2) == first


def test_an_answer_in_a_conversation_fits_the_schema_of_the_answer() -> None:
    number = {"type": "integer"}
    given = {"$": "turn", "answer": 3}
    assert say(scripted(replies=[{"output": 3}]), talk(FIRST, last=True), output=number) == given
    with pytest.raises(AgentError, match="integer"):
        say(scripted(replies=["three"]), talk(FIRST), output=number)
    assert say(scripted(replies=[CALLS]), talk(FIRST), output=number)["calls"]


def test_without_a_conversation_there_is_nothing_to_call() -> None:
    with pytest.raises(AgentError, match="calls tools, and it has none") as caught:
        say(scripted(replies=[CALLS]))
    assert caught.value.fault.kind == "permanent"


def test_unknown_fields_of_a_call_are_refused() -> None:
    with pytest.raises(SpecError):
        scripted(replies=[{"calls": [{"name": "grep", "arguments": {}}]}])
