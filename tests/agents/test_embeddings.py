"""What texts mean, asked of an endpoint on the loopback."""

import asyncio
import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.agents.provider_server import Answer, ProviderServer, error

from hocket.agents.embeddings import Embedder, Meaning
from hocket.app.engine import Engine
from hocket.core.errors import AgentError
from hocket.core.events import CallFinished, Usage
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.teams import CacheSpec

pytest.importorskip("openai")


def embedding(numbers: Sequence[float], used: int | None = 5, **how: Any) -> Answer:
    body: dict[str, Any] = {
        "object": "list",
        "model": "means-1",
        "data": [{"object": "embedding", "index": 0, "embedding": list(numbers)}],
    }
    if used is not None:
        body["usage"] = {"prompt_tokens": used, "total_tokens": used}
    return Answer(body=json.dumps(body).encode(), **how)


def ask(*answers: Answer, embed: dict[str, Any] | None = None) -> tuple[Meaning, ProviderServer]:
    async def main() -> tuple[Meaning, ProviderServer]:
        async with ProviderServer(*answers) as server:
            embedder = Embedder()
            told = {"model": "means-1", "base_url": server.url} | (embed or {})
            try:
                return await embedder(told, "why?"), server
            finally:
                await embedder.close()

    return asyncio.run(main())


def test_a_text_is_sent_and_its_meaning_has_the_length_1() -> None:
    meaning, server = ask(embedding([3.0, 4.0]))
    assert list(array("f", meaning.vector)) == pytest.approx([0.6, 0.8])
    (seen,) = server.seen
    assert seen.line == "POST /v1/embeddings HTTP/1.1"
    assert seen.body == {"input": "why?", "model": "means-1", "encoding_format": "float"}
    # At an address of one's own nobody knows the price, and that is not nothing.
    assert meaning.usage == Usage(tokens_in=5, tokens_out=0, cost=None)


def test_what_is_not_counted_is_unknown() -> None:
    assert ask(embedding([1.0], used=None))[0].usage is None
    assert ask(embedding([1.0], used=-3))[0].usage is None


def test_a_key_is_sent_only_where_it_was_meant_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-strangers")
    monkeypatch.setenv("OTHER_KEY", "k-other")
    _, server = ask(embedding([1.0]))
    assert "sk-not-for-strangers" not in server.seen[0].raw_head
    _, server = ask(embedding([1.0]), embed={"key_env": "OTHER_KEY"})
    assert server.seen[0].headers["authorization"] == "Bearer k-other"


def test_a_missing_key_is_said_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(AgentError, match="OPENAI_API_KEY is not set"):
        ask(embedding([1.0]), embed={"base_url": None})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error("429 Too Many Requests"), "rate_limited"),
        (error("500 Oops"), "unavailable"),
        (error("404 Not Found"), "permanent"),
        (embedding([0.0, 0.0]), "invalid_output"),
        (embedding([float("1e300"), float("1e300")]), "invalid_output"),
    ],
    ids=str,
)
def test_failures_are_faults_and_nothing_is_tried_again(answer: Answer, kind: str) -> None:
    async def main() -> None:
        async with ProviderServer(answer) as server:
            embedder = Embedder()
            with pytest.raises(AgentError) as raised:
                await embedder({"model": "m", "base_url": server.url}, "why?")
            await embedder.close()
            assert raised.value.fault.kind == kind
            assert len(server.seen) == 1

    asyncio.run(main())


def test_a_key_is_in_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", "k-very-secret-1234")
    with pytest.raises(AgentError) as raised:
        ask(
            error("401 Unauthorized", "k-very-secret-1234 is wrong"),
            embed={"key_env": "OTHER_KEY"},
        )
    assert "very-secret" not in str(raised.value) + raised.value.fault.detail


def test_the_texts_of_a_place_share_a_connection() -> None:
    async def main() -> None:
        async with ProviderServer(embedding([1.0])) as server:
            embedder = Embedder()
            told = {"model": "m", "base_url": server.url}
            for text in ("a", "b", "c"):
                await embedder(told, text)
            assert (len(server.seen), server.connections) == (3, 1)
            await embedder.close()

    asyncio.run(main())


def test_runs_compare_their_questions(tmp_path: Path) -> None:
    """All of it: two processes' worth of engines, one file, one endpoint."""

    def spec(prompt: str, url: str) -> RunSpec:
        told = {"model": "means-1", "base_url": url}
        cache = CacheSpec(mode="similar", threshold=0.9, embed=told)
        agent = AgentSpec(kind="scripted", options={"replies": ["because"]}, cache=cache)
        steps = (StepSpec(name="s", agent="a", input=prompt),)
        return RunSpec(workflow=PlanSpec(name="p", steps=steps), agents={"a": agent})

    async def main() -> None:
        answers = embedding([1.0, 0.0]), embedding([0.98, 0.2]), embedding([0.0, 1.0])
        async with ProviderServer(*answers) as server:
            found = []
            for number, prompt in enumerate(("why?", "why so?", "how much?")):
                async with Engine(tmp_path / "state") as engine:
                    await engine.run(spec(prompt, server.url), run_id=f"r{number}")
                    events = [item.event for item in engine.journal.read(f"r{number}")]
                    found += [event for event in events if isinstance(event, CallFinished)]
            assert [event.saved is not None for event in found] == [False, True, False]
            assert found[1].notes == ("kept from a similar question (0.980)",)
            assert len(server.seen) == 3

    asyncio.run(main())
