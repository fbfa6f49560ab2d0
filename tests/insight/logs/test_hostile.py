"""No log, however broken or large, raises anything but its own error, or fills the memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.insight.logs.samples import chat, document, lines, pieces, sound, span, two_agents
from tests.insight.logs.test_chrome import event, whole
from tests.insight.logs.test_massgen_calls import CALLS, MODELS
from tests.insight.logs.test_otlp import RUN

from hocket.core.errors import LogError
from hocket.insight.logs.chrome import read_chrome
from hocket.insight.logs.massgen import Files, read_massgen
from hocket.insight.logs.otlp import read_otlp
from hocket.insight.trace import Trace

EVENTS = [
    {"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "main"}},
    event("B", 0, "run"),
    whole("a", 1, 2),
    event("s", 1.5, "f", id=1),
    whole("b", 2, 4, tid=2),
    event("f", 2, "f", tid=2, id=1),
    event("b", 1, "x", id="0x1"),
    event("e", 3, "x", id="0x1"),
    event("E", 5),
]
LOG = two_agents().data()


def otlp(data: bytes) -> Trace:
    return read_otlp(lambda: pieces(data, 64), "log")


def bare_spans(data: bytes) -> Trace:
    return read_otlp(lambda: [data], "log", "all")


def chrome(data: bytes) -> Trace:
    return read_chrome(pieces(data, 64), "log")


def massgen(data: bytes) -> Trace:
    return read_massgen(Files(name="l", models=MODELS, coordination=[data]))


def live(data: bytes) -> Trace:
    return read_massgen(Files(name="l", live=[data]))


def calls(data: bytes) -> Trace:
    return read_massgen(Files(name="l", models=MODELS, coordination=[LOG], calls=[data]))


def beside(data: bytes) -> Trace:
    return read_massgen(
        Files(name="l", coordination=[LOG], metrics=[data], summary=[data], status=[data])
    )


def _live(second: int, kind: str, agent: str) -> dict[str, Any]:
    stamp = f"2026-11-21T19:42:{second:02d}"
    return {"timestamp": stamp, "event_type": kind, "agent_id": agent, "data": {}}


KINDS = ("round_start", "answer_submitted", "round_start", "vote", "final_presentation_start")
LOGS: list[tuple[Callable[[bytes], Trace], bytes]] = [
    (otlp, document(RUN)),
    (bare_spans, b"\n".join(json.dumps(each).encode() for each in RUN)),
    (chrome, json.dumps({"traceEvents": EVENTS}).encode()),
    (chrome, json.dumps(EVENTS).encode()),
    (massgen, LOG),
    (live, lines(*(_live(i, kind, "a1") for i, kind in enumerate(KINDS)))),
    (calls, lines(*CALLS)),
    (beside, json.dumps({"round_completions": [], "costs": {}, "agents": {"a": 1}}).encode()),
]

PLAIN = (b"null", b"-1", b"1e400", b"0", b'""', b"[]", b"{}", b"true", b'"\\ud800"', b"9999999999")
WORDS = (b'"429"', b'"a1"', b'"vote"', b'"new_answer"', b'"E"', b'"X"', b"1795290001.5", b'"x/y"')
VALUES = st.sampled_from([*PLAIN, *WORDS])
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["cut", "drop", "put", "byte", "swap"]), VALUES),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    """Break a log: cut it, drop or change bytes, put other values where values stand."""
    for share, how, value in edits:
        place = int(share * len(data))
        if how == "cut":
            data = data[:place]
        elif how == "drop":
            data = data[:place] + data[place + 7 :]
        elif how == "byte":
            data = data[:place] + bytes([value[0] ^ 0x95]) + data[place + 1 :]
        elif how == "put":
            data = data[:place] + value + data[place:]
        else:
            colon = data.find(b": ", place)
            end = min(
                (at for stop in b",}]" if (at := data.find(bytes([stop]), colon)) > 0), default=-1
            )
            if 0 <= colon < end:
                data = data[: colon + 2] + value + data[end:]
    return data


@pytest.mark.parametrize("which", range(len(LOGS)))
def test_the_logs_that_are_broken_here_can_be_read_whole(which: int) -> None:
    read, data = LOGS[which]
    assert sound(read(data)).activities


@pytest.mark.parametrize("which", range(len(LOGS)))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=EDITS)
def test_a_broken_log_is_read_soundly_or_refused(which: int, edits) -> None:
    read, data = LOGS[which]
    try:
        trace = read(edited(data, edits))
    except LogError as error:
        assert error.problem
        return
    sound(trace)


def many_spans(count: int) -> Iterator[bytes]:
    yield b'{"resourceSpans": [{"scopeSpans": [{"spans": ['
    for i in range(count):
        one = span("chat", i, i + 0.9, chat() | {"text": "x" * 2_000}, number=i + 1)
        yield (b",\n" if i else b"\n") + json.dumps(one).encode()
    yield b"]}]}]}"


def many_events(count: int) -> Iterator[bytes]:
    yield b"["
    for i in range(count):
        yield json.dumps(whole("work", i, i + 0.9, args={"text": "x" * 2_500})).encode() + b",\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("read", "chunks"),
    [
        (lambda: read_otlp(lambda: many_spans(8_000), "log"), many_spans),
        (lambda: read_chrome(many_events(8_000), "log"), many_events),
    ],
)
def test_a_large_log_takes_memory_for_what_is_kept_and_not_for_its_text(
    read: Callable[[], Trace], chunks: Callable[[int], Iterator[bytes]], monkeypatch
) -> None:
    for module in ("otlp", "chrome"):
        monkeypatch.setattr(f"hocket.insight.logs.{module}.MAX_SPANS", 1_000)
    assert sum(map(len, chunks(8_000))) > 20_000_000
    tracemalloc.start()
    try:
        trace = read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(trace.activities) == 1_000
    assert peak < 5_000_000


def test_deep_and_crossing_spans_take_no_longer_than_others() -> None:
    count = 3_000
    spans = [span(f"s{i}", i / 1e3, 100, of=i, number=i + 1) for i in range(count)]
    assert len(sound(otlp(document(spans))).activities) == 1
    same = [span("s", 0, 0, number=i + 1) for i in range(count)]
    assert len(sound(otlp(document(same))).activities) == count
