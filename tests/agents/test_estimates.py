"""What a call is expected to take, and that no call ever takes more than the most that was said."""

import contextlib
import datetime
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.agents import provider_server as wire
from tests.agents.context import FakeContext, request
from tests.agents.model_desk import Desk

from hocket.agents import estimates, prices
from hocket.agents.base import Estimate, ready
from hocket.agents.estimates import EXPECTED_OUT, Learned, Size, size_of
from hocket.agents.local import CONTEXT, LocalAgent
from hocket.agents.model import ModelAgent
from hocket.agents.prices import PICO, Price, Tariff, dollars, known, stated, tariff, usage_of
from hocket.agents.scripted import ScriptedAgent
from hocket.core.errors import AgentError
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec
from hocket.core.values import Json

POINT: Json = {
    "type": "object",
    "properties": {
        "x": {"type": "integer", "minimum": 1, "maximum": 9},
        "why": {"type": "string", "description": "Öl, 🛢 und Grün", "maxLength": 40},
    },
    "required": ["x"],
}
TREE: Json = {
    "type": "object",
    "properties": {name: {"$ref": "#/$defs/pair"} for name in "abcdef"},
    "$defs": {
        "leaf": {"type": "string", "enum": [f"choice {i}" for i in range(20)]},
        "pair": {
            "type": "object",
            "properties": {side: {"$ref": "#/$defs/leaf"} for side in ("left", "right")},
        },
        "loop": {"type": "array", "items": {"$ref": "#/$defs/loop"}},
    },
}
PROMPTS: list[Json] = [
    "hi",
    "",
    "x" * 5_000,
    "Grüße aus Köln: 東京は夜の七時 🎉🎉 " * 40,
    "\u0000\u0001 \\ \" ' \n\t" * 30,
    {"prompt": "Zähle 😀", "system": "Sei knapp. " * 50},
    {"any": ["JSON", {"größe": 1.5}], "is": None},
]
PROVIDERS = [
    ("openai:gpt-5.2", "openai", wire.stream),
    ("anthropic:claude-opus-5", "anthropic", wire.anthropic_stream),
    ("google:gemini-2.5-flash", "google.genai", wire.google_stream),
]
BARE: Json = {
    "type": "object",
    "properties": {
        f"{kind}{i}": {"type": kind} | bounds
        for kind, bounds in {"object": {}, "integer": {"minimum": 1}}.items()
        for i in range(60)
    },
}
SCHEMAS: list[Json] = [
    None,
    POINT,
    TREE,
    BARE,
    {"type": "array", "items": POINT},
    {"const": "日本"},
]


def agent(**options: Any) -> ModelAgent:
    options = {"model": "openai:gpt-5.2"} | options
    return ModelAgent("m", AgentSpec(kind="model", options=options), state=Path(), live={})


def bytes_of(body: Any) -> int:
    """As many tokens as the worst tokenizer makes of a request: one of each byte, and some more."""
    config = body.get("generationConfig", {})
    held = {
        key: given[key]
        for given in (body, config)
        for key in ("tools", "response_format", "output_config", "responseJsonSchema")
        if key in given
    }
    messages = body["messages" if "messages" in body else "contents"]
    texts = _texts([messages, body.get("system", ""), body.get("systemInstruction", "")])
    written = "".join(texts) + json.dumps(held, ensure_ascii=False, separators=(",", ":"))
    return len(written.encode()) + 20 * (len(messages) + 1)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [text for key in ("content", "parts", "text") for text in _texts(value.get(key, ""))]


# ---- the most ----


@pytest.mark.parametrize("structured", ["native", "tool"])
@pytest.mark.parametrize(("name", "package", "answer"), PROVIDERS)
def test_no_call_costs_more_than_was_said_whatever_is_sent(
    desk: Desk, name: str, package: str, answer: Any, structured: str
) -> None:
    pytest.importorskip("pydantic_ai")
    pytest.importorskip(package)
    made = desk.agent(
        model=name,
        price={"in": 0.37, "out": 1.1},
        max_tokens=50,
        structured=structured,
        system="You are brief – très bref.",
    )
    desk.answers(answer("{}"))
    for prompt in PROMPTS:
        for schema in SCHEMAS:
            asked = request(prompt, output=schema)
            said = made.estimate(asked)
            desk.server.seen.clear()
            with contextlib.suppress(AgentError):
                desk.run(made.call(asked, FakeContext()))
            if not desk.server.seen:
                assert schema is BARE, "a client may refuse a schema with that much in it"
                continue
            read = bytes_of(desk.body())
            assert said.most_tokens is not None and said.most_cost is not None
            assert read + 50 <= said.most_tokens, (prompt, schema)
            real = _usage(read, 50, price=Price(0.37, 1.1))
            assert real.cost is not None
            assert real.cost <= said.most_cost, (prompt, schema)
            # A bound that is far too high would hold calls back for nothing.
            if schema is not TREE:
                assert said.most_tokens <= 5 * read + 2_000, (prompt, schema)


def _usage(read: int, written: int, **how: Any) -> Usage:
    raw = pytest.importorskip("genai_prices").Usage(input_tokens=read, output_tokens=written)
    where = {"model": "m", "provider": "p", "url": "https://a.example", "own_url": True}
    found = usage_of(raw, **({"price": None} | where | how))
    assert found is not None
    return found


def test_no_listed_price_is_above_its_tariff_at_any_hour_however_tokens_are_counted() -> None:
    genai_prices = pytest.importorskip("genai_prices")
    from genai_prices.data_snapshot import get_snapshot

    chance = random.Random(1)
    now = datetime.datetime.now(datetime.UTC)
    hours = [now + datetime.timedelta(hours=hour) for hour in (0, 7, 14, 21, 5_000, 50_000)]
    bounded = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            found = tariff(model.id, provider.id, "", False, None)
            if found is None:
                continue
            bounded += 1
            for at in hours:
                read = chance.choice([1, 900, 127_999, 128_001, 200_000, 200_001, 900_000])
                reused, kept = chance.randrange(read + 1), 0
                if chance.random() < 0.5:
                    kept = chance.randrange(read - reused + 1)
                written = chance.choice([1, 77, 64_000])
                used = genai_prices.Usage(
                    input_tokens=read,
                    cache_read_tokens=reused,
                    cache_write_tokens=kept,
                    output_tokens=written,
                )
                price = genai_prices.calc_price(
                    used, model.id, provider_id=provider.id, genai_request_timestamp=at
                )
                most = found.most_cost(read, written)
                assert price.total_price * PICO <= most, (provider.id, model.id, at, used)
                assert found.most_cost(read + 5_000, written + 10) >= most
    assert bounded > 1_000


def test_a_tariff_takes_the_dearest_step_that_a_call_may_reach() -> None:
    made = Tariff(((-1, 3, 10), (200_000, 6, 20)), request=7)
    assert made.most_cost(0, 0) == 7
    assert made.most_cost(200_000, 1) == 7 + 600_000 + 10
    assert made.most_cost(200_001, 1) == 7 + 1_200_006 + 20


def test_of_several_prices_the_dearest_counts_that_can_still_apply() -> None:
    types = pytest.importorskip("genai_prices.types")
    past, later = datetime.date(2020, 1, 1), datetime.date(2999, 1, 1)
    night = types.TimeOfDateConstraint(datetime.time(1), datetime.time(2))

    def dearest(*listed: tuple[Any, int]) -> int:
        prices_listed = [
            types.ConditionalPrice(when, prices=types.ModelPrice(input_mtok=Decimal(price)))
            for when, price in listed
        ]
        found = prices._dearest(prices_listed)
        assert found is not None
        return found.most_cost(1, 0) // 1_000_000

    began, will_begin = types.StartDateConstraint(past), types.StartDateConstraint(later)
    assert dearest((None, 9), (began, 3)) == 3, "what was dear once is over"
    assert dearest((None, 9), (began, 3), (night, 1)) == 3
    assert dearest((None, 9), (began, 3), (night, 5)) == 5
    assert dearest((None, 9), (began, 3), (will_begin, 7)) == 7
    assert dearest((night, 4), (night, 2)) == 4


def test_a_model_that_is_counted_otherwise_has_no_tariff() -> None:
    types = pytest.importorskip("genai_prices.types")
    text = {"input_mtok": Decimal(1), "output_mtok": Decimal(2)}
    assert prices._dearest(types.ModelPrice(**text, input_audio_mtok=Decimal(9))) == Tariff(
        ((-1, 1_000_000, 2_000_000),)
    )
    assert prices._dearest(types.ModelPrice(**text, requests_kcount=Decimal(5))) == Tariff(
        ((-1, 1_000_000, 2_000_000),), request=PICO // 200
    )
    assert prices._dearest(types.ModelPrice(**text, input_mchars=Decimal(1))) is None
    assert prices._dearest(types.ModelPrice(input_audio_hours=Decimal(1))) is None


def test_a_stated_price_wins_and_is_never_rounded_down() -> None:
    price = Price(0.0000001, 0.3)
    found = stated("openai:gpt-5.2", "http://127.0.0.1:1/v1", price)
    assert found == Tariff(((-1, 1, 300_000),))


def test_a_references_copies_are_counted() -> None:
    plain = size_of("", "", {"$defs": TREE["$defs"]}).most_tokens
    assert size_of("", "", TREE).most_tokens > plain + 6 * 2 * len(msgspec.json.encode(TREE)) / 2


def test_a_schema_that_doubles_at_each_step_is_measured_at_once() -> None:
    chain: dict[str, Json] = {"d0": {"type": "string"}}
    for i in range(40):
        ref = {"$ref": f"#/$defs/d{i}"}
        chain[f"d{i + 1}"] = {"type": "object", "properties": {"a": ref, "b": ref}}
    schema = {"$ref": "#/$defs/d40", "$defs": chain}
    assert size_of("", "", schema).most_tokens > 2**40


def test_a_schema_that_is_nested_without_end_is_measured_all_the_same() -> None:
    schema: Json = {}
    for _ in range(3_000):
        schema = {"not": schema}
    assert size_of("hi", "", schema).most_tokens > 0, "such a call fails before it is sent"


def test_half_a_character_is_measured_too() -> None:
    assert size_of("\ud800", "é", None).most_tokens >= 3


# ---- who can say ----


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "max_tokens"),
        ({"max_tokens": 9, "settings": {"extra_body": {"n": 5}}}, "'extra_body'"),
        ({"max_tokens": 9, "settings": {"openai_service_tier": "priority"}}, "service_tier"),
        ({"max_tokens": 9, "settings": {"google_cached_content": "x"}}, "cached_content"),
        ({"max_tokens": 9, "model": "openai:gpt-4o-search-preview"}, "finds"),
    ],
)
def test_a_call_that_nothing_bounds_says_so(options: dict[str, Any], words: str) -> None:
    said = agent(**options).estimate(request("hi"))
    assert (said.most_tokens, said.most_cost) == (None, None)
    assert words in said.why
    assert said.tokens_in > 0


@pytest.mark.parametrize(
    "options", [{"model": "openai:no-such-model"}, {"base_url": "http://127.0.0.1:1/v1"}]
)
def test_a_call_without_a_price_says_so_and_is_not_free(options: dict[str, Any]) -> None:
    said = agent(max_tokens=9, **options).estimate(request("hi"))
    assert said.most_tokens is not None
    assert said.most_cost is None
    assert "price" in said.why


def test_a_listed_price_bounds_a_call() -> None:
    pytest.importorskip("genai_prices")
    said = agent(max_tokens=100, settings={"seed": 1, "openai_reasoning_effort": "low"})
    found = said.estimate(request("hi"))
    assert found.most_cost is not None
    assert PICO // 1_000 < found.most_cost < PICO // 100
    assert found.why == ""


def test_a_step_may_bound_its_own_calls_and_a_wrong_option_is_no_estimate() -> None:
    made = agent(price={"in": 1, "out": 1})
    said = made.estimate(request("hi", options={"max_tokens": 20}))
    assert (said.most_tokens, said.tokens_out) == (130 + 20, 20)
    assert "modle" in made.estimate(request("hi", options={"modle": 1})).why


def test_the_price_list_is_read_by_ready_and_not_by_an_estimate(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = agent(max_tokens=9, price={"in": 1, "out": 1})
    desk.run(ready(made))
    monkeypatch.setattr("hocket.agents.model.stated", None)
    assert made.estimate(request("hi")).most_cost is not None
    desk.run(ready(made))


def test_what_the_client_knows_of_its_address_corrects_the_price(desk: Desk) -> None:
    pytest.importorskip("openai")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "none-such-key")
        patch.setenv("OPENAI_BASE_URL", desk.server.url)
        made = desk.agent(model="openai:gpt-5.2", base_url=None, max_tokens=9)
        assert made.estimate(request("hi")).most_cost is not None
        desk.answers(wire.responses_stream())
        reply = desk.run(made.call(request("hi"), FakeContext()))
    assert reply.usage is not None
    assert reply.usage.cost is None, "nobody knows what this address costs"
    assert made.estimate(request("hi")).most_cost is None


@pytest.mark.parametrize(
    ("options", "is_known"),
    [
        ({"model": "openai:gpt-5.2"}, True),
        ({"model": "openai-responses:gpt-5.2"}, True),
        ({"model": "gateway/anthropic:claude-sonnet-4-5"}, True),
        ({"model": "claude-sonnet-4-5", "base_url": "https://api.anthropic.com"}, True),
        ({"model": "openai:no-such"}, False),
        ({"model": "nobody:gpt-5.2"}, False),
        ({"model": "openai:gpt-5.2", "base_url": "https://models.example.com/v1"}, False),
        ({"model": "qwen3:0.6b", "base_url": "http://localhost:1/v1"}, False),
        ({"model": "x", "base_url": "http://localhost:1/v1", "price": {"in": 0, "out": 0}}, True),
        ({"model": "openai:gpt-5.2", "price": {"in": "much"}}, False),
        ({"model": "openai:tts-1"}, False),
        ({"model": 7}, False),
        ({}, False),
    ],
)
def test_whether_a_price_is_known_shows_in_the_options(
    options: dict[str, Any], is_known: bool
) -> None:
    pytest.importorskip("genai_prices")
    assert known(options) is is_known


def test_without_the_price_list_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "genai_prices", None)
    prices.tariff.cache_clear()
    try:
        assert not known({"model": "openai:gpt-5.2"})
        assert known({"model": "openai:gpt-5.2", "price": {"in": 1, "out": 1}})
    finally:
        prices.tariff.cache_clear()


# ---- what to expect ----


def test_at_first_four_characters_are_a_token_and_an_answer_is_as_long_as_it_may_be() -> None:
    said = agent().estimate(request("x" * 3_936))
    assert (said.tokens_in, said.tokens_out) == (1_000, EXPECTED_OUT)
    said = agent(max_tokens=64).estimate(request("x" * 400, output=POINT))
    assert said.tokens_out == 64
    assert said.tokens_in > 100 + len(json.dumps(POINT)) // 5


def test_an_agent_learns_from_its_calls(desk: Desk) -> None:
    pytest.importorskip("openai")
    made = desk.agent(max_tokens=900)
    asked = request("x" * 10_000)
    before = made.estimate(asked)
    desk.answers(wire.stream(used=wire.usage(5_032, 40)))
    for _ in range(60):
        desk.run(made.call(asked, FakeContext()))
    after = made.estimate(asked)
    assert (before.tokens_in, before.tokens_out) == (2_516, 900)
    assert 4_900 <= after.tokens_in <= 5_100
    assert after.tokens_out == 40
    assert after.most_tokens == before.most_tokens, "what is learned bounds nothing"


def test_an_answer_that_does_not_fit_teaches_too(desk: Desk) -> None:
    pytest.importorskip("openai")
    made = desk.agent()
    desk.answers(wire.stream(["no JSON"], used=wire.usage(11, 33)))
    with pytest.raises(Exception, match="not JSON"):
        desk.run(made.call(request("hi", output=POINT), FakeContext()))
    assert made.estimate(request("hi")).tokens_out == 33


def test_the_usual_answer_is_what_nine_of_ten_of_the_last_64_did_not_pass() -> None:
    learned = Learned()
    size = Size(100, 1_000)
    for written in [5_000] * 50 + list(range(1, 65)):
        learned.note(size, Usage(tokens_out=written))
    assert learned.tokens_out(None) == 58
    assert learned.tokens_out(20) == 20


def test_short_requests_do_not_make_a_long_one_seem_huge() -> None:
    learned = Learned()
    for _ in range(100):
        learned.note(Size(2, 130), Usage(tokens_in=11, tokens_out=1))
    assert learned.tokens_in(Size(2, 130)) <= 13
    assert learned.tokens_in(Size(100_000, 100_128)) <= 30_000


def test_nothing_is_expected_above_the_most() -> None:
    learned = Learned()
    learned.note(Size(10, 138), Usage(tokens_in=1_000_000))
    assert learned.tokens_in(Size(10, 138)) == 138


def test_usage_that_is_unknown_teaches_nothing() -> None:
    learned = Learned()
    for usage in (None, Usage(), "much"):
        learned.note(Size(100, 228), usage)
    assert learned.tokens_in(Size(336, 464)) == 100
    assert learned.tokens_out(None) == EXPECTED_OUT


def test_schemas_are_forgotten_in_the_end() -> None:
    for i in range(600):
        size_of("", "", {"const": i})
    assert len(estimates._schemas) <= 256


# ---- other agents ----


def test_the_local_model_is_free_and_bounded_by_its_context() -> None:
    made = LocalAgent("l", AgentSpec(kind="local"), state=Path(), live={})
    said = made.estimate(request("x" * 40_000, options={"max_tokens": 48}))
    assert said == Estimate(tokens_in=2_000, tokens_out=48, most_tokens=CONTEXT, most_cost=0)
    assert made.estimate(request("hi", options={"max_tokens": -1})).why


def test_a_scripted_agent_says_exactly_what_it_will_say_to_have_spent() -> None:
    replies = [{"tokens_in": 40, "tokens_out": 9, "cost": 0.25}, {"cost": 0.1}, "free"]
    spec = AgentSpec(kind="scripted", options={"replies": replies})
    made = ScriptedAgent("s", spec, state=Path(), live={})
    said = [made.estimate(request("hi", attempt=attempt)) for attempt in (1, 2, 3)]
    assert said[0] == Estimate(tokens_in=40, tokens_out=9, most_tokens=49, most_cost=dollars(0.25))
    assert [one.most_cost for one in said] == [PICO // 4, PICO // 10, 0]
    assert said[2] == Estimate(most_tokens=0, most_cost=0)
    assert "relpies" in made.estimate(request("hi", options={"relpies": []})).why


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_scripted_agent_spends_what_it_has_said(desk: Desk, attempt: int) -> None:
    failing = {"error": {"kind": "failed"}, "tokens_in": 3, "cost": 0.5}
    replies = [{"tokens_in": 40, "tokens_out": 9, "cost": 0.25}, {"cost": 0.1}, failing]
    spec = AgentSpec(kind="scripted", options={"replies": replies})
    made = ScriptedAgent("s", spec, state=Path(), live={})
    asked, context = request("hi", attempt=attempt), FakeContext()
    try:
        usage: Any = desk.run(made.call(asked, context)).usage
    except Exception as error:
        usage = error.usage  # type: ignore[attr-defined]
    assert usage.cost == made.estimate(asked).most_cost == context.spent[0].cost
