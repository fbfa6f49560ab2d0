"""The `model` agent, with the real pydantic-ai against a provider on the loopback."""

import asyncio
import email.utils
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.agents import provider_server as wire
from tests.agents.context import FakeContext, request
from tests.agents.model_desk import Desk
from tests.agents.provider_server import Answer

from hocket.agents import faults, model
from hocket.agents.base import Reply
from hocket.agents.model import ModelAgent, unwrapped, wrapped
from hocket.core.errors import AgentError, Fault, SpecError
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec
from hocket.core.values import HOUR, SECOND

pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")

CANARY = "canary-key-93b1d5e7"
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "why": {"type": "string"}},
    "required": ["x", "why"],
    "additionalProperties": False,
}
GOOD = ['{"x": 1', ', "why": "so"}']


def everything(error: AgentError) -> str:
    """All that a fault's error shows to anybody who prints or logs it, or follows its causes."""
    told, seen = [], set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        told += [str(at), repr(at), repr(vars(at))]
        at = at.__cause__ or at.__context__
    return "\n".join(told)


# ---- good answers ----


def test_text_is_shown_while_it_comes(desk: Desk) -> None:
    reply, context = desk.ask(wire.stream(["Hello", ", ", "wörld 😀"]))
    assert reply.output == "Hello, wörld 😀"
    assert [text for _, text in context.shown] == ["Hello", ", ", "wörld 😀"]
    assert reply.usage == Usage(tokens_in=11, tokens_out=7, cost=None)
    assert reply.notes == ()
    assert context.spent == []
    assert len(desk.server.seen) == 1


def test_text_comes_in_one_piece_where_streaming_is_off(desk: Desk) -> None:
    reply, context = desk.ask(wire.whole("Hello"), stream=False)
    assert reply.output == "Hello"
    assert context.shown == []
    assert reply.usage == Usage(tokens_in=11, tokens_out=7, cost=None)
    assert desk.body()["stream"] is False


def test_bytes_that_come_one_by_one_are_put_together(desk: Desk) -> None:
    reply, _ = desk.ask(wire.stream(["wör", "ld 😀"], piece=1))
    assert reply.output == "wörld 😀"


def test_prompt_system_and_settings_reach_the_wire(desk: Desk) -> None:
    asked = request({"prompt": "P", "system": "S"}, options={"temperature": 0.5, "max_tokens": 9})
    desk.ask(wire.stream(), asked, system="not this", settings={"seed": 7, "top_p": 0.9})
    body = desk.body()
    assert body["model"] == "tiny"
    assert body["messages"] == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "P"},
    ]
    assert (body["temperature"], body["seed"], body["top_p"]) == (0.5, 7, 0.9)
    assert 9 in {body.get("max_tokens"), body.get("max_completion_tokens")}


@pytest.mark.parametrize(
    ("value", "prompt"),
    [("plain", "plain"), ({"a": [1, "ö"]}, '{"a":[1,"ö"]}'), ([1, 2], "[1,2]"), (None, "null")],
)
def test_other_json_is_sent_as_text(desk: Desk, value: Any, prompt: str) -> None:
    desk.ask(wire.stream(), request(value))
    assert desk.body()["messages"] == [{"role": "user", "content": prompt}]


def test_a_bare_model_name_may_hold_a_colon_where_there_is_an_address(desk: Desk) -> None:
    desk.ask(wire.stream(), model="qwen3:0.6b")
    assert desk.body()["model"] == "qwen3:0.6b"
    desk.ask(wire.stream(), model="tiny")
    assert desk.body()["model"] == "tiny"


def test_a_users_own_price_is_charged(desk: Desk) -> None:
    reply, _ = desk.ask(wire.stream(), price={"in": 1, "out": 2.5})
    assert reply.usage == Usage(tokens_in=11, tokens_out=7, cost=28_500_000)


@pytest.mark.parametrize(
    "used", [{}, {"prompt_tokens": -4, "completion_tokens": 2, "total_tokens": -2}]
)
def test_a_usage_that_is_missing_or_negative_is_unknown(desk: Desk, used: Any) -> None:
    reply, _ = desk.ask(wire.stream(used=used), price={"in": 1, "out": 1})
    assert reply.output
    assert reply.usage is None


def test_a_text_that_was_cut_says_so(desk: Desk) -> None:
    reply, _ = desk.ask(wire.stream(finish="length"))
    assert reply.notes == ("answer cut at the token limit",)


def test_a_reason_to_stop_that_nobody_knows_is_still_an_end(desk: Desk) -> None:
    assert desk.ask(wire.stream(finish="quantum_collapse"))[0].output == "Hello, wörld 😀"


def test_connections_are_kept_between_calls(desk: Desk) -> None:
    agent = desk.agent()
    desk.answers(wire.stream())
    before = desk.server.connections

    async def thrice() -> None:
        for _ in range(3):
            await agent.call(request("hi"), FakeContext())

    desk.run(thrice())
    assert desk.server.connections == before + 1


# ---- structured answers ----


def test_a_schema_is_held_by_the_provider_where_it_can(desk: Desk) -> None:
    reply, context = desk.ask(wire.stream(GOOD), request("hi", output=POINT))
    assert reply.output == {"x": 1, "why": "so"}
    assert context.text() == "".join(GOOD)
    sent = desk.body()["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["schema"]["required"] == ["x", "why"]


def test_a_schema_is_held_by_a_tool_on_request(desk: Desk) -> None:
    asked = request("hi", output=POINT)
    reply, context = desk.ask(wire.tool_stream(GOOD), asked, structured="tool")
    assert reply.output == {"x": 1, "why": "so"}
    assert context.text() == "".join(GOOD)
    assert [tool["function"]["name"] for tool in desk.body()["tools"]] == ["answer"]


def test_an_answer_that_is_no_object_is_wrapped_on_the_wire_alone(desk: Desk) -> None:
    asked = request("hi", output={"type": "array", "items": {"type": "integer"}})
    reply, _ = desk.ask(wire.stream(['{"value": [1, 2]}']), asked)
    assert reply.output == [1, 2]
    schema = desk.body()["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["value"]["type"] == "array"
    assert desk.ask(wire.stream(["[3]"]), asked)[0].output == [3]


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (['{"x": "one", "why": "so"}'], "output.x"),
        (['{"x": 1}'], "'why' is a required property"),
        (['{"x": 1, "why": '], "not JSON"),
        (["I would rather not."], "not JSON"),
        (["[" * 100_000], "invalid_output"),
    ],
)
def test_an_answer_that_does_not_fit_is_invalid(desk: Desk, pieces: list[str], words: str) -> None:
    error = desk.refused(wire.stream(pieces), request("hi", output=POINT))
    assert error.fault.kind == "invalid_output"
    assert words in str(error)
    assert error.usage == Usage(tokens_in=11, tokens_out=7, cost=None)


def test_malformed_arguments_of_a_tool_are_invalid(desk: Desk) -> None:
    asked = request("hi", output=POINT)
    error = desk.refused(wire.tool_stream(['{"x": 1,,']), asked, structured="tool")
    assert error.fault.kind == "invalid_output"


def test_a_structured_answer_that_was_cut_is_invalid_even_if_it_fits(desk: Desk) -> None:
    error = desk.refused(wire.stream(GOOD, finish="length"), request("hi", output=POINT))
    assert error.fault.kind == "invalid_output"
    assert "cut" in error.fault.message


def test_references_mean_the_same_inside_the_wrapping() -> None:
    schema = {"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "string"}}}
    made = wrapped(schema)
    assert made["$defs"] == schema["$defs"]
    assert made["properties"]["value"] == {"anyOf": [{"$ref": "#/$defs/a"}]}
    assert unwrapped({"value": "x"}, schema) == "x"
    assert unwrapped({"value": 1}, {"type": "object"}) == {"value": 1}


# ---- refusals ----


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "permanent"),
        (401, "permanent"),
        (402, "permanent"),
        (403, "permanent"),
        (404, "permanent"),
        (422, "permanent"),
        (408, "unavailable"),
        (409, "unavailable"),
        (500, "unavailable"),
        (502, "unavailable"),
        (503, "unavailable"),
        (529, "unavailable"),
        (429, "rate_limited"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_each_status_has_its_meaning_and_is_sent_once(
    desk: Desk, status: int, kind: str, stream: bool
) -> None:
    error = desk.refused(wire.error(f"{status} Words", "the reason"), stream=stream)
    assert error.fault.kind == kind
    assert "the reason" in error.fault.message
    assert "openai:tiny" in error.fault.message
    assert len(desk.server.seen) == 1


def test_a_used_up_quota_is_no_rate_limit(desk: Desk) -> None:
    error = desk.refused(wire.error("429 Too Many", "pay first", code="insufficient_quota"))
    assert error.fault.kind == "permanent"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7 * SECOND),
        ({"Retry-After": "0.5"}, SECOND // 2),
        ({"retry-after-ms": "1500"}, 1500 * SECOND // 1000),
        ({"Retry-After": "999999999"}, HOUR),
        ({"Retry-After": "1e300"}, HOUR),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
        (
            {
                "Date": "Wed, 01 Jan 2020 00:00:00 GMT",
                "Retry-After": "Wed, 01 Jan 2020 00:00:09 GMT",
            },
            9 * SECOND,
        ),
        ({"Retry-After": "Wed, 01 Jan 2020 00:00:00 GMT"}, 0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, HOUR),
    ],
)
def test_the_wait_that_a_provider_asks_for_is_bounded(
    desk: Desk, headers: dict[str, str], wait: int | None
) -> None:
    error = desk.refused(wire.error("429 Too Many", headers=headers))
    assert error.fault.kind == "rate_limited"
    assert error.fault.retry_after == wait


def test_a_date_without_the_servers_clock_is_read_by_ours(desk: Desk) -> None:
    until = email.utils.formatdate(time.time() + 60, usegmt=True)
    error = desk.refused(wire.error("503 Busy", headers={"Retry-After": until}))
    assert error.fault.kind == "unavailable"
    assert 50 * SECOND < (error.fault.retry_after or 0) <= 60 * SECOND


HTML = b"<!doctype html><html><body>Welcome to the proxy</body></html>"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(HTML, kind="text/html"),
        Answer(HTML),
        Answer(HTML, kind="text/event-stream"),
        Answer(b""),
        Answer(b"", kind="text/event-stream", framing="chunked"),
        Answer(b"null"),
        Answer(b"{}"),
        Answer(b'{"choices": []}'),
        Answer(b'data: {"choices": 7}\n\n', kind="text/event-stream"),
        Answer(b"data: {nonsense\n\n", kind="text/event-stream"),
        Answer(b"data: \xff\xfe\n\n", kind="text/event-stream"),
        Answer(b"[" * 200_000),
        Answer(b"data: " + b"[" * 200_000 + b"\n\n", kind="text/event-stream"),
        Answer(b"data: [DONE]\n\n", kind="text/event-stream"),
        wire.stream([""]),
    ],
)
def test_what_is_no_answer_of_this_api_is_a_fault_that_may_pass(
    desk: Desk, answer: Answer, stream: bool
) -> None:
    error = desk.refused(answer, stream=stream)
    assert error.fault.kind in {"unavailable", "invalid_output", "failed"}
    assert len(desk.server.seen) == 1


def test_an_html_page_with_an_error_status_is_named_as_one(desk: Desk) -> None:
    error = desk.refused(Answer(HTML, status="502 Bad Gateway", kind="text/html"))
    assert error.fault.kind == "unavailable"
    assert "HTML" in error.fault.message


def test_an_error_inside_a_stream_is_not_an_answer(desk: Desk) -> None:
    body = (
        wire.event({"content": "Hel"})
        + b'data: {"error": {"message": "engine on fire", "code": 500}}\n\n'
    )
    error = desk.refused(wire.sse(body))
    assert error.fault.kind in {"unavailable", "failed"}
    assert "engine on fire" in error.fault.message


def test_a_content_filter_is_permanent(desk: Desk) -> None:
    assert desk.refused(wire.stream(["x"], finish="content_filter")).fault.kind == "permanent"


def test_nobody_listening_is_unavailable(desk: Desk) -> None:
    error = desk.refused(wire.stream(), base_url="http://127.0.0.1:9/v1")
    assert error.fault.kind == "unavailable"
    assert "connection" in error.fault.message


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_stream_cut_anywhere_is_never_taken_for_a_whole_answer(
    desk: Desk, framing: wire.Framing
) -> None:
    pieces = ["wör", "ld 😀"]
    body = wire.stream(pieces).body
    told = body.index(b'"finish_reason": "stop"') + len(b'"finish_reason": "stop"')
    end = body.index(b"\n\n", told)
    agent = desk.agent()

    async def cut(at: int) -> Reply | Fault:
        desk.answers(wire.stream(pieces, framing=framing, cut=at))
        try:
            return await agent.call(request("hi"), FakeContext())
        except AgentError as error:
            return error.fault

    # Every offset around the text and around the end, and a sample of what lies between.
    first = body.index("wör".encode())
    offsets = {*range(first - 3, first + 12), *range(end - 4, end + 4), *range(0, len(body), 23)}
    for at in sorted(offsets):
        outcome = desk.run(cut(at))
        if isinstance(outcome, Reply):
            assert framing == "close" and at >= end, f"cut at byte {at} of {len(body)}"
            assert outcome.output == "wörld 😀"
        else:
            assert outcome.kind in {"unavailable", "failed"}, (at, outcome)
        assert len(desk.server.seen) == 1


def test_an_answer_without_end_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "LONGEST", 100_000)
    error = desk.refused(wire.sse(wire.event({"content": "x" * 1000}), endless=True))
    assert error.fault.kind == "invalid_output"
    assert "longer" in error.fault.message
    desk.run(asyncio.wait_for(desk.server.hung_up.wait(), 5))


OTHERS = [
    ("anthropic:tiny", wire.anthropic_stream),
    ("openai-responses:tiny", wire.responses_stream),
]


@pytest.mark.parametrize(("name", "make"), OTHERS)
def test_other_apis_are_asked_alike(desk: Desk, name: str, make: Callable[..., Answer]) -> None:
    reply, context = desk.ask(make("Hello"), model=name, price={"in": 1, "out": 1})
    assert reply.output == context.text() == "Hello"
    assert reply.usage == Usage(tokens_in=11, tokens_out=7, cost=18_000_000)
    error = desk.refused(wire.error("429 No", headers={"Retry-After": "3"}), model=name)
    assert (error.fault.kind, error.fault.retry_after) == ("rate_limited", 3 * SECOND)
    assert desk.refused(wire.error("529 Busy"), model=name).fault.kind == "unavailable"
    assert desk.refused(wire.error("401 No"), model=name).fault.kind == "permanent"
    assert len(desk.server.seen) == 1


@pytest.mark.parametrize(("name", "make"), OTHERS)
@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_cut_stream_of_another_api_is_no_answer(
    desk: Desk, name: str, make: Callable[..., Answer], framing: wire.Framing
) -> None:
    body = make("Hello").body
    last = max(body.rfind(b"event: message_delta"), body.rfind(b"event: response.completed"))
    for at in [*range(0, last, 97), last, last + 30]:
        error = desk.refused(make("Hello", framing=framing, cut=at), model=name)
        assert error.fault.kind in {"unavailable", "failed"}, at


# ---- cancelling ----


class Watched(FakeContext):
    """Says when the answer has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    def emit(self, text: str, stream: str = "out") -> None:
        super().emit(text, stream)
        self.begun.set()


def test_cancelling_closes_the_stream_on_the_wire(desk: Desk) -> None:
    desk.answers(wire.sse(wire.event({"content": "x"}), endless=True, pace=0.01))
    agent = desk.agent()

    async def cancel() -> tuple[Watched, float]:
        context = Watched()
        task = asyncio.create_task(agent.call(request("hi"), context))
        await context.begun.wait()
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(desk.server.hung_up.wait(), 5)
        return context, time.monotonic() - began

    context, took = desk.run(cancel())
    assert took < 1
    assert context.spent == [Usage()], "spent, but nobody knows how much"


def test_cancelling_before_the_head_came_closes_the_connection(desk: Desk) -> None:
    desk.answers(wire.stream(pause=0.5))
    agent = desk.agent()

    async def cancel() -> FakeContext:
        context = FakeContext()
        task = asyncio.create_task(agent.call(request("hi"), context))
        while not desk.server.seen:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(desk.server.hung_up.wait(), 5)
        return context

    assert desk.run(cancel()).spent == [Usage()]


def test_what_was_counted_before_the_cancel_is_spent(desk: Desk) -> None:
    first = wire.event({"content": "x"}, usage=wire.usage(20, 3))
    desk.answers(wire.sse(first, endless=True, pace=0.05))
    agent = desk.agent(price={"in": 1, "out": 1})

    async def cancel() -> Watched:
        context = Watched()
        task = asyncio.create_task(agent.call(request("hi"), context))
        await context.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return context

    spent = desk.run(cancel()).spent
    assert len(spent) == 1
    assert spent[0].tokens_in and spent[0].cost, spent


def test_a_cancelled_call_leaves_the_others_alone(desk: Desk) -> None:
    desk.answers(wire.stream(pause=0.1))
    agent = desk.agent()

    async def some() -> list[Any]:
        tasks = [asyncio.create_task(agent.call(request("hi"), FakeContext())) for _ in range(5)]
        # Before the client is even made: they share that wait.
        await asyncio.sleep(0)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = desk.run(some())
    assert isinstance(first, asyncio.CancelledError)
    assert all(isinstance(other, Reply) for other in others)


def test_closing_closes_the_connections_and_may_come_twice(desk: Desk) -> None:
    desk.answers(wire.stream())
    agent = desk.agent()

    async def use() -> None:
        await agent.call(request("hi"), FakeContext())
        await agent.close()
        await agent.close()
        await asyncio.wait_for(desk.server.hung_up.wait(), 5)

    desk.run(use())


# ---- keys ----


def test_the_key_is_sent_and_shown_nowhere(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    desk.ask(wire.stream(), key_env="MY_KEY")
    assert desk.server.seen[0].headers["authorization"] == f"Bearer {CANARY}"
    assert CANARY not in json.dumps(desk.body())


def test_a_key_of_the_environment_is_not_sent_to_a_stranger(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    desk.ask(wire.stream())
    assert CANARY not in desk.server.seen[0].raw_head


@pytest.mark.parametrize(
    "answer",
    [
        wire.error("401 No", f"Incorrect API key provided: {CANARY}"),
        wire.error("400 No", f"you sent Authorization: Bearer {CANARY}!"),
        Answer(b'{"error": {"message": "ECHO"}}', status="500 X", echo=True),
        Answer(b'{"error": {"message": "no", "headers": "ECHO"}}', status="403 X", echo=True),
        Answer(b"<html>ECHO</html>", status="502 X", kind="text/html", echo=True),
        Answer(b"ECHO", status="429 X", kind="text/plain", echo=True),
        Answer(b"ECHO", kind="text/plain", echo=True),
        Answer(b'data: {"error": {"message": "ECHO"}}\n\n', kind="text/event-stream", echo=True),
        wire.stream([f"not JSON: {CANARY}"]),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_no_fault_shows_a_key_also_if_the_server_sends_it_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: Answer, stream: bool
) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    error = desk.refused(answer, request("hi", output=POINT), key_env="MY_KEY", stream=stream)
    assert CANARY not in everything(error)


def test_headers_and_usual_keys_are_taken_out_of_any_text() -> None:
    told = faults.redact(
        "Authorization: Bearer abcdefgh12345, {'x-api-key': 'zzzzzzzzzz'} sk-proj-123456789012 "
        "https://me:pw@host/ Proxy-Authorization: Basic Zm9vOmJhcg== key plain and token words stay"
    )
    for secret in ("abcdefgh12345", "zzzzzzzzzz", "123456789012", "me:pw", "Zm9vOmJhcg"):
        assert secret not in told
    assert "plain and token words stay" in told


def test_a_placeholder_for_a_key_is_not_taken_for_one() -> None:
    advice = "pass it via `Provider(api_key=...)` to use it"
    assert faults.redact(advice) == advice
    assert faults.redact("api_key=..abcdefgh)") == "api_key=[redacted]"


@pytest.mark.parametrize("key", [f"{CANARY}\nX-Evil: 1", f"{CANARY}-ключ", f'{CANARY}"\\'])
def test_a_key_that_no_header_can_hold_is_not_shown_either(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    error = desk.refused(Answer(b"ECHO", status="400 X", echo=True), key_env="MY_KEY")
    assert CANARY not in everything(error)
    assert all("x-evil" not in seen.headers for seen in desk.server.seen)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key_is_a_permanent_fault_that_names_the_variable(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    error = desk.refused(wire.stream(), key_env="MY_KEY")
    assert error.fault.kind == "permanent"
    assert "MY_KEY" in error.fault.message
    assert desk.server.seen == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "openai:gpt-5.2", "base_url": None}, "OPENAI_API_KEY"),
        ({"model": "opnai:gpt-5.2", "base_url": None}, "opnai"),
        ({"model": "groq:llama", "base_url": None}, "groq"),
    ],
)
def test_what_cannot_be_made_is_a_permanent_fault(
    desk: Desk, options: dict[str, Any], words: str
) -> None:
    error = desk.refused(wire.stream(), **options)
    assert error.fault.kind == "permanent"
    assert words in error.fault.message


def test_without_the_extra_the_fault_says_how_to_get_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    error = desk.refused(wire.stream())
    assert error.fault.kind == "permanent"
    assert "pip install 'hocket[models]'" in error.fault.message


# ---- options ----


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"modle": "openai:x"}, "did you mean 'model'?"),
        ({}, "'model' is missing"),
        ({"model": "gpt-5.2"}, "names no provider"),
        ({"model": 7}, "agents.m.model"),
        ({"model": "openai:x", "key_env": "sk-proj-secret"}, "never the key"),
        ({"model": "openai:x", "base_url": "ftp://x"}, "http"),
        ({"model": "openai:x", "base_url": "http://[x"}, "address"),
        ({"model": "openai:x", "base_url": "https://me:pw@host/v1"}, "key_env"),
        ({"model": "openai:x", "price": {"in": -1, "out": 0}}, "price"),
        ({"model": "openai:x", "settings": {"max_retries": 3}}, "retry"),
        ({"model": "openai:x", "settings": {"extra_headers": {"Authorization": "k"}}}, "key_env"),
        ({"model": "openai:x", "temperature": -1}, "temperature"),
        ({"model": "openai:x", "structured": "yes"}, "structured"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        ModelAgent("m", AgentSpec(kind="model", options=options), state=Path(), live={})
    assert words in str(caught.value)
    assert "sk-proj-secret" not in str(caught.value)
    assert "me:pw" not in str(caught.value)


def test_a_step_cannot_send_its_prompt_elsewhere(desk: Desk) -> None:
    asked = request("hi", options={"base_url": "https://elsewhere.example.com/v1"})
    error = desk.refused(wire.stream(), asked)
    assert error.fault.kind == "permanent"
    assert "base_url" in error.fault.message
    assert desk.server.seen == []


def test_importing_the_agent_imports_no_client_package() -> None:
    look = "print({'pydantic_ai', 'openai', 'httpx2'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, hocket.agents.model; {look}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "set()"
