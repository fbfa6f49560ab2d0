"""When a model's request leaves and what the head of its answer says, with the real clients."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from tests.agents import provider_server as wire
from tests.agents.context import FakeContext, request
from tests.agents.model_desk import Desk
from tests.agents.provider_server import Answer

from hocket.agents import model_client
from hocket.agents.base import announces
from hocket.core.errors import AgentError
from hocket.core.values import SECOND
from hocket.limits.claim import Quota

pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")


def left(count: int) -> dict[str, str]:
    return {"x-ratelimit-remaining-requests": str(count), "x-ratelimit-reset-requests": "1.5s"}


def said(count: int) -> Quota:
    return Quota(kind="requests", remaining=count, reset=SECOND * 3 // 2)


class Timed(FakeContext):
    """Notes when its request left and when the answer began."""

    def __init__(self) -> None:
        super().__init__()
        self.left_at: list[float] = []
        self.heard_at: list[float] = []

    def sent(self, ago: int = 0) -> None:
        super().sent()
        self.left_at.append(time.monotonic())

    def told(self, quotas: Sequence[Quota]) -> None:
        super().told(quotas)
        self.heard_at.append(time.monotonic())


def ask(desk: Desk, answer: Answer, **options: Any) -> tuple[Timed, AgentError | None]:
    desk.answers(answer)
    agent = desk.agent(**options)
    context = Timed()
    try:
        desk.run(agent.call(request("hi"), context))
    except AgentError as error:
        return context, error
    return context, None


MODELS = [
    ("openai:tiny", wire.stream),
    ("openai-responses:tiny", wire.responses_stream),
    ("anthropic:tiny", wire.anthropic_stream),
    ("google:tiny", wire.google_stream),
]


@pytest.mark.parametrize(("name", "make"), MODELS)
def test_every_client_says_when_its_request_leaves_and_what_the_head_says(
    desk: Desk, name: str, make: Any
) -> None:
    if "anthropic" in name:
        pytest.importorskip("anthropic")
    if "google" in name:
        pytest.importorskip("google.genai")
    context, failed = ask(desk, make(headers=left(3), pause=0.2), model=name)
    assert failed is None
    assert context.sent_after == [0], "once, before anything is shown"
    assert (context.answers, context.quotas) == (1, [said(3)])
    assert context.heard_at[0] - context.left_at[0] >= 0.15, "it left before the server answered"


def test_an_agent_says_itself_when_its_request_leaves(desk: Desk) -> None:
    assert announces(desk.agent())


def test_a_refusals_head_is_read_too(desk: Desk) -> None:
    context, failed = ask(desk, wire.error("429 No", headers=left(0) | {"Retry-After": "2"}))
    assert failed is not None
    assert (failed.fault.kind, failed.fault.retry_after) == ("rate_limited", 2 * SECOND)
    assert context.quotas == [said(0)]


def test_an_answer_without_news_is_heard(desk: Desk) -> None:
    context, _ = ask(desk, wire.whole(), stream=False)
    assert (len(context.left_at), context.answers, context.quotas) == (1, 1, [])


def test_nonsense_in_a_head_harms_no_call(desk: Desk) -> None:
    headers = {"x-ratelimit-limit-requests": "lots", "x-ratelimit-reset-tokens": "soon"}
    context, failed = ask(desk, wire.stream(headers=headers))
    assert failed is None
    assert context.quotas == []


def test_what_never_left_is_never_said_to_have(desk: Desk) -> None:
    context, failed = ask(desk, wire.stream(), base_url="http://127.0.0.1:9/v1")
    assert failed is not None
    assert failed.fault.kind == "unavailable"
    assert context.left_at == []
    context, failed = ask(desk, wire.stream(), key_env="NOT_SET_AT_ALL")
    assert failed is not None
    assert context.left_at == []


def test_each_head_reaches_its_own_call(desk: Desk) -> None:
    calls = 40
    desk.answers(*(wire.stream([f"{n}"], headers=left(n), pause=0.02) for n in range(calls)))
    agent = desk.agent()
    contexts = [FakeContext() for _ in range(calls)]

    async def all_at_once() -> None:
        await asyncio.gather(*(agent.call(request("hi"), context) for context in contexts))

    desk.run(all_at_once())
    # The server's nth answer says n both in its head and in its text.
    assert [context.quotas for context in contexts] == [[said(int(c.text()))] for c in contexts]
    assert sorted(int(context.text()) for context in contexts) == list(range(calls))


def test_calls_one_after_another_in_one_task_are_kept_apart(desk: Desk) -> None:
    desk.answers(wire.stream(headers=left(7)), wire.stream(headers=left(6)))
    agent = desk.agent()
    first, second = FakeContext(), FakeContext()

    async def in_turn() -> None:
        await agent.call(request("hi"), first)
        await agent.call(request("hi"), second)

    desk.run(in_turn())
    assert (first.quotas, second.quotas) == ([said(7)], [said(6)])
    assert (len(first.sent_after), len(second.sent_after)) == (1, 1)


def test_a_client_that_shows_nothing_counts_from_before_it_is_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_client, "watch", lambda provider: False)
    context, failed = ask(desk, wire.stream(headers=left(3), pause=0.2))
    assert failed is None
    assert context.sent_after == [0]
    assert context.answers == 0


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("overloaded_error", "unavailable"), ("api_error", "unavailable"), ("rate_limit_error", None)],
)
@pytest.mark.parametrize("late", [False, True])
def test_an_error_within_anthropics_stream_is_no_refusal_of_the_request(
    desk: Desk, kind: str, fault: str | None, late: bool
) -> None:
    pytest.importorskip("anthropic")
    begun = wire.anthropic_stream().body
    begun = begun[: begun.index(b"event: content_block_delta")] if late else b""
    broken = wire.named({"type": "error", "error": {"type": kind, "message": "Overloaded"}})
    _, failed = ask(desk, wire.sse(begun + broken), model="anthropic:tiny")
    assert failed is not None
    assert failed.fault.kind == (fault or "rate_limited")


@pytest.mark.parametrize("stream", [True, False])
def test_an_overloaded_provider_is_not_available(desk: Desk, stream: bool) -> None:
    pytest.importorskip("anthropic")
    body = json.dumps(
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    ).encode()
    answer = Answer(body, status="529 Overloaded", headers={"Retry-After": "4"})
    _, failed = ask(desk, answer, model="anthropic:tiny", stream=stream)
    assert failed is not None
    assert (failed.fault.kind, failed.fault.retry_after) == ("unavailable", 4 * SECOND)
