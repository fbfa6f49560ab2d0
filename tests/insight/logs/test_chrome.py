"""Chrome's trace events become a trace: spans within spans, threads, flows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.insight.logs.samples import at, shares, sound

from hocket.core.errors import LogError
from hocket.insight.logs import chrome
from hocket.insight.logs.chrome import read_chrome
from hocket.insight.trace import Trace

Event = dict[str, Any]
S = 1_000_000


def read(*events: Event, bare: bool = False) -> Trace:
    data = json.dumps(list(events) if bare else {"traceEvents": list(events)}).encode()
    return sound(read_chrome([data], "log"))


def event(ph: str, ts: float, name: str = "", tid: int = 1, **more: Any) -> Event:
    return {"ph": ph, "ts": ts * S, "name": name, "pid": 1, "tid": tid, **more}


def whole(name: str, since: float, until: float, tid: int = 1, **more: Any) -> Event:
    return event("X", since, name, tid, dur=(until - since) * S, **more)


def test_spans_lie_in_each_other_as_they_lie_in_time() -> None:
    trace = read(
        event("B", 0, "run"),
        whole("first", 1, 2),
        event("B", 3, "second"),
        event("E", 4),
        event("E", 5),
    )
    assert [(a.path, at(trace, a.began), at(trace, a.ended)) for a in trace.activities] == [
        ("run/first", 1.0, 2.0),
        ("run/second", 3.0, 4.0),
    ]
    assert [a.after for a in trace.activities] == [-1, 0]
    assert [a.events for a in trace.activities] == [(2,), (3,)]
    # A function that calls others runs meanwhile.
    assert shares(trace) == {"tool:thread 1": 5.0}
    assert trace.inferred


def test_threads_are_lanes_with_names() -> None:
    name = {"ph": "M", "pid": 1, "tid": 2, "name": "thread_name", "args": {"name": "worker"}}
    process = {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "app"}}
    trace = read(whole("a", 0, 1), whole("b", 0, 3, tid=2), name, process)
    assert [a.agent for a in trace.activities] == ["app/worker", "app/thread 1"]


def test_a_model_in_the_arguments_makes_a_span_a_models_work() -> None:
    trace = read(whole("ask", 0, 1, args={"model": "gpt", "agent": "writer"}))
    (call,) = trace.activities
    assert (call.work, call.model, call.agent) == ("model", "gpt", "writer")


def test_asynchronous_spans_overlap_on_their_thread() -> None:
    trace = read(
        event("b", 0, "one", id="0x1", cat="net"),
        event("b", 1, "two", id="0x2", cat="net"),
        event("b", 2, "inner", id="0x2", cat="net"),
        event("e", 3, "one", id="0x1", cat="net"),
        event("e", 4, "inner", id="0x2", cat="net"),
        event("e", 6, "two", id="0x2", cat="net"),
    )
    assert [(a.path, at(trace, a.began), at(trace, a.ended)) for a in trace.activities] == [
        ("one", 0.0, 3.0),
        ("two/inner", 2.0, 4.0),
    ]


def test_a_flow_is_a_link_that_the_log_itself_states() -> None:
    spans = [whole("ask", 0, 4), whole("answer", 2, 9, tid=2), whole("late", 1, 1.5, tid=3)]
    without = read(*spans)
    assert [a.path for a in without.activities] == ["ask", "late", "answer"]
    assert without.activities[2].after == 1
    arrow = {"name": "f", "cat": "c", "id": 7}
    there = event("f", 2, tid=2, bp="e") | arrow
    trace = read(*spans, event("s", 1.8, tid=1) | arrow, there)
    answer = trace.activities[2]
    assert (answer.path, answer.after, at(trace, answer.asked)) == ("answer", 0, 1.8)
    assert answer.needs == (1, 0)
    assert "1 links are flows" in " ".join(trace.missing)
    # The work of the one that it came after is cut where the flow began.
    assert shares(trace)["tool:thread 1"] == 1.8


def test_what_has_no_end_or_no_beginning_is_named() -> None:
    trace = read(event("B", 0, "open"), whole("in", 1, 2), event("E", 3, tid=9), event("b", 4, "x"))
    assert "2 spans have a beginning and no end." in trace.missing
    assert "1 ends have no beginning, and were left out." in trace.missing
    assert [(a.path, a.ended is None) for a in trace.activities] == [
        ("open/in", False),
        ("x", True),
    ]


def test_other_events_are_no_spans() -> None:
    trace = read(
        whole("a", 0, 1),
        event("i", 0.5, "instant"),
        event("C", 0.5, "counter"),
        {"ph": "X", "name": "timeless"},
        7,  # type: ignore[arg-type]
    )
    assert len(trace.activities) == 1
    assert "2 events were left out: they have no kind, or no time." in trace.missing


def test_a_list_may_lack_its_end() -> None:
    data = json.dumps([whole("a", 0, 1), whole("b", 1, 2)]).encode()
    for end in (data, data[:-1], data[:-1] + b",\n", data[:-1] + b"\n"):
        trace = sound(read_chrome([end], "log"))
        assert len(trace.activities) == 2
        assert not any("ends in the middle" in said for said in trace.missing)
    cut = sound(read_chrome([data[:-20]], "log"))
    assert len(cut.activities) == 1
    assert cut.status == "cut off"
    assert cut.missing[0].startswith("The file ends in the middle (line 1, column")
    assert "of the first 1.0 s at most" in cut.missing[0]


def test_an_operation_without_a_thread_is_known_by_its_name() -> None:
    ends = [
        {"ph": ph, "ts": at * S, "name": "fetch", "pid": 7, "id": 1}
        for ph, at in (("b", 0), ("e", 5))
    ]
    assert [one.agent for one in read(*ends).activities] == ["fetch"]


def test_an_end_before_its_beginning_is_said() -> None:
    trace = read(whole("a", 0, 9), event("B", 5, "odd", tid=2), event("E", 4, tid=2))
    assert trace.missing[0] == (
        "1 span ends before it begins, and counts as if it had taken no time: 'odd'."
    )


def test_a_cut_object_is_read_up_to_there_and_that_is_said() -> None:
    data = json.dumps({"traceEvents": [whole("a", 0, 1), whole("b", 1, 2)]}).encode()
    trace = sound(read_chrome([data[:-1]], "log"))
    assert len(trace.activities) == 2
    assert any("ends in the middle" in said for said in trace.missing)


def test_more_spans_than_fit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chrome, "MAX_SPANS", 2)
    trace = read(
        whole("a", 0, 1), whole("b", 1, 2), event("B", 3, "c"), event("E", 4), whole("d", 5, 6)
    )
    assert [a.path for a in trace.activities] == ["a", "b"]
    assert (
        "2 spans were left out, as only 2 are kept: the account holds for the first 3.0 s."
        in trace.missing
    )
    assert not any("no beginning" in said for said in trace.missing)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n", "1:1: byte 0x89 is not UTF-8; is this a text file?"),
        (b"version: 1\n", "1:1: these are no trace events: the file begins with 'version: 1"),
        (b'{"resourceSpans": []}', "there is no span in it"),
        (b"[]", "there is no span in it"),
        (b'[{"ph": "X", "ts": 1}\n, oops]', "2:3: this is no JSON: expecting value"),
        (b'{"traceEvents": []} x', "1:21: the trace has ended, and 'x' comes after it"),
    ],
)
def test_what_is_no_such_log_is_refused_with_its_place(data: bytes, said: str) -> None:
    with pytest.raises(LogError) as caught:
        read_chrome([data], "log")
    assert said in str(caught.value)
