"""OpenTelemetry spans become a trace: what was work, whose, what came after what."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.insight.logs.samples import START, at, chat, document, shares, sound, span

from hocket.core.errors import LogError
from hocket.core.events import Usage
from hocket.core.values import SECOND
from hocket.insight.logs import otlp
from hocket.insight.logs.otlp import read_otlp
from hocket.insight.trace import Trace


def read(data: bytes, turn: str | None = None) -> Trace:
    return sound(read_otlp(lambda: [data], "log", turn))


AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "grep"}
RUN = [
    span("run", 0, 10, number=1),
    span("invoke_agent writer", 1, 4, AGENT, of=1, number=2),
    span(
        "chat gpt",
        1.5,
        2,
        chat() | {"http.response.status_code": 429, "error.type": "429"},
        of=2,
        number=3,
        status={"code": 2},
    ),
    span("chat gpt", 3, 3.9, chat(), of=2, number=4),
    span("execute_tool grep", 1.2, 3.5, TOOL, of=1, number=5),
    span("chat big", 4.5, 9, chat("big"), of=1, number=6),
]


def test_leaves_are_work_and_what_is_above_them_is_structure() -> None:
    trace = read(document(RUN))
    told = [(a.path, a.attempt, a.agent, a.model, a.work, a.fate) for a in trace.activities]
    assert told == [
        ("run/grep", 1, "grep", "", "tool", "useful"),
        ("run/invoke_agent writer/chat gpt", 1, "writer", "gpt", "model", "refused"),
        ("run/invoke_agent writer/chat gpt", 2, "writer", "gpt", "model", "useful"),
        ("run/chat big", 1, "big", "big", "model", "useful"),
    ]
    assert (trace.source, trace.name, trace.inferred, trace.evidence) == (
        "otlp",
        "run",
        True,
        "record",
    )
    assert [a.events for a in trace.activities] == [(5,), (3,), (4,), (6,)]
    assert trace.activities[3].usage == Usage(tokens_in=10, tokens_out=5)
    assert any("worked out from instants" in said for said in trace.missing)


def test_a_call_comes_after_what_had_ended_and_a_refusal_before_its_next_try() -> None:
    trace = read(document(RUN))
    grep, refused, again, last = trace.activities
    assert (refused.after, refused.needs) == (-1, ())
    assert (again.after, again.asked, again.began) == (1, refused.ended, START + 3 * SECOND)
    assert [(w.cause, at(trace, w.since), at(trace, w.until)) for w in again.waits] == [
        ("closed:gpt", 2.0, 3.0)
    ]
    # The agent had ended last of what came before; of the tool it is known too.
    assert (last.after, last.needs) == (2, (0, 2))
    assert at(trace, last.asked) == 3.9
    assert grep.after == -1


def test_the_time_of_a_parent_in_no_child_is_its_own_before_between_and_after_them() -> None:
    found = shares(read(document(RUN)))
    # The run's are 1 s before the agent began, 0.5 s after it had ended, and 1 s at the end; the
    # agent's are 0.5 s before its first call and 0.1 s after its last.
    assert found == pytest.approx(
        {
            "coordinator:run": 2.5,
            "coordinator:invoke_agent writer": 0.6,
            "rework:refused": 0.5,
            "refused:gpt": 1.0,
            "model:writer": 0.9,
            "model:big": 4.5,
        }
    )


def test_a_tool_that_calls_others_was_running_itself() -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    spans = [
        span("GET", 0, 10, number=1),
        span("execute_tool search", 1, 8, tool, of=1, number=2),
        span("SELECT", 3, 4, of=2, number=3),
        span("SELECT", 6, 7, of=2, number=4),
    ]
    found = shares(read(document(spans)))
    assert found == {"tool:search": 5.0, "tool:shop": 2.0, "coordinator:GET": 3.0}


def test_between_spans_each_of_those_that_they_lie_in_has_its_own_time() -> None:
    spans = [
        span("run", 0, 10, number=1),
        span("early", 0, 4.5, of=1, number=2),
        span("one", 0, 3, chat(), of=2, number=3),
        span("late", 5, 9, of=1, number=4),
        span("two", 7, 8, chat(), of=4, number=5),
    ]
    assert shares(read(document(spans))) == {
        "model:gpt": 4.0,
        "coordinator:early": 1.5,
        "coordinator:late": 3.0,
        "coordinator:run": 1.5,
    }


def test_nobody_knows_what_happened_where_no_span_was_open() -> None:
    spans = [span("one", 0, 2, chat(), number=1), span("two", 5, 6, chat(), number=2)]
    assert shares(read(document(spans))) == {"model:gpt": 3.0, "unknown": 3.0}


@pytest.mark.parametrize(
    ("attributes", "work", "model", "usage"),
    [
        (
            {"gen_ai.system": "openai", "gen_ai.request.model": "a", "gen_ai.response.model": "b"}
            | {"gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 4},
            "model",
            "b",
            Usage(tokens_in=3, tokens_out=4),
        ),
        (
            {"openinference.span.kind": "LLM", "llm.model_name": "c"}
            | {"llm.token_count.prompt": 5, "llm.token_count.completion": 6},
            "model",
            "c",
            Usage(tokens_in=5, tokens_out=6),
        ),
        (
            {"llm.request.type": "chat", "gen_ai.request.model": "d"}
            | {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.cache_read.input_tokens": 2},
            "model",
            "d",
            Usage(tokens_in=7, tokens_cached=2),
        ),
        (
            {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"},
            "model",
            "e",
            None,
        ),
        ({"openinference.span.kind": "TOOL", "tool.name": "look"}, "tool", "", None),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "x"}, "tool", "", None),
        ({"http.response.status_code": 200}, "tool", "", None),
    ],
)
def test_names_of_all_conventions_are_known(
    attributes: dict[str, Any], work: str, model: str, usage: Usage | None
) -> None:
    (call,) = read(document([span("s", 0, 1, attributes, number=1)])).activities
    assert (call.work, call.model, call.usage) == (work, model, usage)


@pytest.mark.parametrize(
    ("attributes", "status", "fate", "how"),
    [
        ({}, None, "useful", ""),
        ({}, {"code": 1}, "useful", ""),
        ({"http.status_code": 429}, None, "refused", "rate_limited"),
        ({"error.type": "openai.RateLimitError"}, {"code": 2}, "refused", "openai.RateLimitError"),
        ({}, {"code": 2, "message": "Error code: 429 - slow down"}, "refused", "rate_limited"),
        ({"error.type": "TimeoutError"}, {"code": "STATUS_CODE_ERROR"}, "failed", "TimeoutError"),
        ({"error.type": "asyncio.CancelledError"}, None, "cancelled", "asyncio.CancelledError"),
        ({"http.response.status_code": 500}, None, "failed", "500"),
        ({}, {"status_code": "ERROR"}, "failed", "failed"),
    ],
)
def test_what_became_of_a_call_is_read_from_its_status_and_error(
    attributes: dict[str, Any], status: dict[str, Any] | None, fate: str, how: str
) -> None:
    data = document([span("s", 0, 1, chat() | attributes, number=1, status=status)])
    (call,) = read(data).activities
    assert (call.fate, call.how) == (fate, how)


def test_an_exception_among_the_events_says_how_a_call_failed() -> None:
    one = span("s", 0, 1, chat(), number=1, status={"code": 2})
    kind = {"key": "exception.type", "value": {"stringValue": "RateLimitError"}}
    one["events"] = [{"name": "exception", "attributes": [kind]}]
    assert read(document([one])).activities[0].fate == "refused"


def test_what_sends_a_request_is_part_of_the_models_call() -> None:
    spans = [
        span("chat gpt", 0, 5, chat(), number=1),
        span("POST", 1, 4, {"http.response.status_code": 200}, of=1, number=2),
        span("connect", 1, 2, of=2, number=3),
    ]
    (call,) = read(document(spans)).activities
    assert (call.path, call.work, call.usage) == (
        "chat gpt",
        "model",
        Usage(tokens_in=10, tokens_out=5),
    )


def test_sendings_of_one_call_tell_of_its_refusals() -> None:
    spans = [
        span("chat gpt", 0, 5, chat(), number=1),
        span("POST", 0.5, 1, {"http.response.status_code": 429}, of=1, number=2),
        span("POST", 3, 5, {"http.response.status_code": 200}, of=1, number=3),
    ]
    refused, served = read(document(spans)).activities
    assert [refused.fate, served.fate] == ["refused", "useful"]
    assert [refused.usage, served.usage] == [None, Usage(tokens_in=10, tokens_out=5)]
    assert (served.model, served.work) == ("gpt", "model")
    assert [w.cause for w in served.waits] == ["closed:gpt"]


def test_a_models_call_with_a_tool_inside_is_structure() -> None:
    spans = [
        span("outer", 0, 5, chat(), number=1),
        span("execute_tool grep", 1, 2, TOOL, of=1, number=2),
        span("chat gpt", 2, 5, chat(), of=1, number=3),
    ]
    assert [a.path for a in read(document(spans)).activities] == ["outer/grep", "outer/chat gpt"]


@pytest.mark.parametrize("shape", ["lines", "documents", "list", "python", "base64", "numbers"])
def test_every_shape_of_file_gives_the_same(shape: str) -> None:
    spans = [dict(each) for each in RUN]
    if shape == "lines":
        data = b"\n".join(json.dumps(each).encode() for each in spans)
    elif shape == "documents":
        data = b"\n".join(document([each]) for each in spans)
    elif shape == "list":
        data = b"[" + b",".join(document([each]) for each in spans) + b"]"
    elif shape == "python":
        data = b"\n".join(json.dumps(printed(each), indent=2).encode() for each in spans)
    else:
        for each in spans:
            for key in ("traceId", "spanId", "parentSpanId"):
                if shape == "base64":
                    each[key] = base64.b64encode(bytes.fromhex(each[key])).decode()
            for key in ("startTimeUnixNano", "endTimeUnixNano"):
                if shape == "numbers":
                    each[key] = int(each[key])
        data = document(spans)
    whole, found = read(document(RUN)), read(data)
    assert [(a.name, a.began, a.ended, a.after, a.fate) for a in found.activities] == [
        (a.name, a.began, a.ended, a.after, a.fate) for a in whole.activities
    ]


def printed(each: dict[str, Any]) -> dict[str, Any]:
    """Write a span as a Python program prints it."""

    def iso(nanoseconds: str) -> str:
        seconds, rest = divmod(int(nanoseconds), SECOND)
        minutes, seconds = divmod(seconds, 60)
        return f"1970-01-01T00:{minutes:02d}:{seconds:02d}.{rest // 1000:06d}Z"

    status = each.get("status", {})
    return {
        "name": each["name"],
        "context": {"trace_id": f"0x{each['traceId']}", "span_id": f"0x{each['spanId']}"},
        "parent_id": f"0x{each['parentSpanId']}" if each["parentSpanId"] else None,
        "start_time": iso(each["startTimeUnixNano"]),
        "end_time": iso(each["endTimeUnixNano"]),
        "status": {"status_code": "ERROR" if status.get("code") == 2 else "UNSET"},
        "attributes": {
            item["key"]: next(iter(item["value"].values())) for item in each["attributes"]
        },
    }


def test_of_several_traces_the_longest_is_taken_and_the_others_are_named() -> None:
    data = document(
        [
            span("short", 0, 1, chat(), number=1, trace=1),
            span("long", 5, 9, chat(), number=2, trace=2),
            span("other", 9, 10, chat(), number=3, trace=0xAB),
        ]
    )
    assert read(data).name == "long"
    assert "The file holds 3 traces; this is" in read(data).missing[0]
    assert read(data, "1").name == "short"
    assert read(data, f"{0xAB:032x}").name == "other"
    whole = read(data, "all")
    assert len(whole.activities) == 3
    assert whole.missing[0] == "These are all 3 traces of the file together."
    with pytest.raises(LogError, match="no trace is called 'zz'; there are 3: 0000"):
        read(data, "zz")
    with pytest.raises(LogError, match="more than one trace is called '00'"):
        read(data, "00")


def test_more_spans_than_fit_are_counted_and_it_is_said_how_far_the_account_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp, "MAX_SPANS", 3)
    spans = [span(f"s{i}", i, i + 1, chat(), number=i + 1) for i in range(5)]
    trace = read(document(spans))
    assert len(trace.activities) == 3
    assert (
        "2 spans were left out, as only 3 are kept: the account holds for the first 3.0 s."
        in trace.missing
    )


def test_a_trace_that_begins_after_there_is_no_more_room_is_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp, "MAX_SPANS", 3)
    spans = [span(f"s{i}", i, i + 1, chat(), number=i + 1, trace=1) for i in range(4)]
    spans += [span("long", 5, 50, chat(), number=9, trace=2)]
    trace = read(document(spans))
    assert [a.path for a in trace.activities] == ["long"]
    assert not any("left out" in said for said in trace.missing)


def test_what_a_log_lacks_is_said() -> None:
    spans = [span("open", 0, None, {}, number=1, of=77), span("done", 1, 2, {}, number=2, of=88)]
    trace = read(document(spans))
    assert trace.activities[0].ended is None
    assert trace.activities[0].fate == ""
    assert "2 spans lie in spans that are not in the file." in trace.missing
    assert "1 spans do not say when they ended." in trace.missing
    assert "Tokens are not recorded." in trace.missing


def test_equal_questions_to_one_model_have_one_name() -> None:
    ask = {"gen_ai.input.messages": "why?"}
    spans = [
        span("chat", 0, 1, chat() | ask, number=1),
        span("chat", 1, 2, chat() | ask, number=2),
        span("chat", 2, 3, chat("other") | ask, number=3),
    ]
    one, two, three = read(document(spans)).activities
    assert one.asks == two.asks != ""
    assert three.asks not in {"", one.asks}


def test_a_span_that_began_before_its_parent_comes_after_nothing_later() -> None:
    spans = [
        span("early", 1, 2, of=3, number=1),
        span("before", 4, 5, number=2),
        span("parent", 6, 9, number=3),
        span("late", 7, 8, of=3, number=4),
    ]
    told = [(a.path, a.after) for a in read(document(spans)).activities]
    assert told == [("parent/early", -1), ("before", -1), ("parent/late", 0)]


def test_spans_that_lie_in_each_other_are_read_all_the_same() -> None:
    spans = [span("a", 0, 2, number=1, of=2), span("b", 1, 2, number=2, of=1)]
    assert read(document(spans)).activities


def test_ends_before_their_beginnings_are_said() -> None:
    odd = [span(f"odd{n}", 2, 1, number=10 + n) for n in range(4)]
    told = read(document([*RUN, *odd])).missing
    # They are of the same trace.
    assert told[0] == (
        "4 spans end before they begin, and count as no time: 'odd0', 'odd1', 'odd2', …."
    )
    assert not any("before they begin" in said for said in read(document(RUN)).missing)


def test_a_cut_file_is_read_up_to_there_and_that_is_said() -> None:
    data = document(RUN)
    trace = read(data[:-200])
    assert 0 < len(trace.activities) < 4
    assert trace.status == "cut off"
    assert trace.missing[0].startswith("The file ends in the middle (line 1,")
    assert "what is told is of the first 10.0 s at most" in trace.missing[0]
    with pytest.raises(LogError, match="the text ends in the middle"):
        read(data[:150])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"  \n", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "1:1: byte 0x89 is not UTF-8; is this a text file?"),
        (b"query: what\nconfig: x\n", "1:1: this is no OTLP JSON: it begins with 'query: what"),
        (b'{"traceEvents": []}', "there is no span in it"),
        (b"[1, 2]", "1:2: this is no OTLP JSON"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}', "a span is an object"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": "1"}]}]}]}', "no span in it"),
    ],
)
def test_what_is_no_such_log_is_refused_with_its_place(data: bytes, said: str) -> None:
    with pytest.raises(LogError) as caught:
        read(data)
    assert said in str(caught.value)
