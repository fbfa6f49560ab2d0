"""Every event survives the way to JSON and back, and nothing else is taken for one."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.core import events as ev
from hocket.core import requests as rq
from hocket.core.errors import Fault, JournalError
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.values import Call, FileRef, digest
from hocket.journal.codec import (
    LARGE,
    decode,
    decode_request,
    encode,
    encode_request,
    row_time,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
whole = st.integers(-(2**63), 2**63 - 1)
numbers = st.one_of(whole, st.floats(allow_nan=False, allow_infinity=False))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
instants = st.integers(0, 2**62)
calls = st.builds(Call, path=texts, attempt=st.integers(1, 1000))
usages = st.none() | st.builds(ev.Usage, tokens_in=st.none() | st.integers(0, 9), cost=st.none())
faults = st.builds(Fault, kind=st.just("failed"), message=texts, detail=texts)
steps = st.builds(StepSpec, name=texts, agent=texts, input=values, needs=st.tuples(texts))
specs = st.builds(
    RunSpec,
    workflow=st.builds(PlanSpec, name=texts, steps=st.tuples(steps)),
    agents=st.dictionaries(texts, st.builds(AgentSpec, kind=st.just("command")), max_size=2),
)
special: dict[type, Any] = {
    ev.RunStarted: {"spec": specs, "inputs": st.dictionaries(texts, values, max_size=3)},
    ev.SpecReplaced: {"spec": specs},
    ev.CallFinished: {"output": values},
    ev.InputGiven: {"value": values},
    ev.RunEnded: {"output": values},
}


def strategy(kind: type) -> Any:
    common: dict[str, Any] = {"at": instants}
    for field in msgspec.structs.fields(kind):
        known = {"call": calls, "usage": usages, "fault": faults, "at": instants}
        if field.name in known:
            common[field.name] = known[field.name]
        elif field.type is str:
            common[field.name] = texts
    return st.builds(kind, **(common | special.get(kind, {})))


KINDS = msgspec.inspect.type_info(ev.AnyEvent)
events = st.one_of([strategy(kind.cls) for kind in KINDS.types])


def nothing(digest: str) -> bytes:
    raise AssertionError("nothing had left the row")


@given(events)
def test_an_event_comes_back_equal(event: Any) -> None:
    encoded = encode(event)
    store = dict([encoded.blob]) if encoded.blob else {}
    assert decode(encoded.row, store.__getitem__, 1) == event
    assert row_time(encoded.row) == event.at


@given(events, texts, values)
def test_an_event_with_a_large_field_comes_back_equal(event: Any, text: str, value: Any) -> None:
    field = {"CallFinished": "output", "RunEnded": "output", "InputGiven": "value"}.get(
        type(event).__name__
    )
    if field is None:
        return
    event = msgspec.structs.replace(event, **{field: [value, text + "x" * LARGE]})
    encoded = encode(event)
    assert encoded.blob is not None
    assert len(encoded.row) < 4000
    assert encoded.blob[0] == digest(encoded.blob[1])
    assert decode(encoded.row, {encoded.blob[0]: encoded.blob[1]}.__getitem__, 1) == event
    assert row_time(encoded.row) == event.at


@given(st.binary(max_size=200) | texts.map(str.encode))
def test_bytes_that_are_no_event_are_refused_with_the_events_number(data: bytes) -> None:
    with pytest.raises(JournalError, match="event 17 "):
        decode(data, nothing, 17)


@given(values)
def test_json_that_is_no_event_is_refused(value: Any) -> None:
    with pytest.raises(JournalError, match="event 17 "):
        decode(msgspec.json.encode(value), nothing, 17)


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(JournalError, match=r"event 3 .*nonsense"):
        decode('{"type":"nonsense","at":1}', nothing, 3)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_row_nested_too_deeply_is_an_error_and_not_a_crash(opening: str) -> None:
    row = '{"type":"call_finished","at":1,"call":{"path":"a","attempt":1},"output":'
    with pytest.raises(JournalError, match="event 9 cannot be read"):
        decode(row + opening * 200_000, nothing, 9)
    with pytest.raises(JournalError, match="request 9 cannot be read"):
        decode_request('{"ask":"send","path":"a","value":' + opening * 200_000, 9)


def finished(output: Any) -> ev.CallFinished:
    return ev.CallFinished(at=1, call=Call("a", 1), output=output)


def test_what_is_accepted_at_one_depth_of_the_stack_is_read_at_another() -> None:
    deepest = 0
    value: Any = 1
    for depth in range(1, 2000):
        value = [value]
        try:
            row = encode(finished(value)).row
        except JournalError:
            break
        deepest, kept = depth, row
    assert deepest > 200

    def from_deep(frames: int) -> Any:
        return from_deep(frames - 1) if frames else decode(kept, nothing, 1)

    assert encode(from_deep(150)).row == kept


@pytest.mark.parametrize("bad", [object(), {1: object()}, "\ud800", {"\udfff": 1}])
def test_what_json_cannot_hold_is_refused_when_it_is_encoded(bad: Any) -> None:
    with pytest.raises(JournalError, match="CallFinished cannot be recorded"):
        encode(finished(bad))


def test_numbers_that_json_lacks_become_null() -> None:
    row = encode(finished([math.inf, math.nan])).row
    assert decode(row, nothing, 1) == finished([None, None])


@pytest.mark.parametrize("size", [LARGE - 3, LARGE - 2, LARGE - 1, LARGE])
def test_only_a_field_longer_than_the_limit_leaves_its_row(size: int) -> None:
    encoded = encode(finished("x" * size))
    assert (encoded.blob is not None) == (size + 2 > LARGE)


def test_a_long_row_whose_field_is_small_stays_whole() -> None:
    event = ev.StepFailed(at=1, path="a", fault=Fault(kind="failed", message="m" * (2 * LARGE)))
    encoded = encode(event)
    assert encoded.blob is None
    assert decode(encoded.row, nothing, 1) == event


def test_the_files_that_an_event_names_are_found() -> None:
    one = FileRef(name='a "quoted" {name}', digest="1" * 64, size=3)
    two = FileRef(name="b", digest="2" * 64, size=3)
    assert encode(finished({"files": [two, one, two]})).files == ("2" * 64, "1" * 64)
    assert encode(finished([one, "z" * 2 * LARGE])).blob is not None
    assert encode(finished("no file")).files == ()


requests = st.one_of(
    st.builds(rq.Pause, by=texts),
    st.builds(rq.Continue, by=texts),
    st.builds(rq.Cancel, by=texts, hard=st.booleans()),
    st.builds(rq.Approve, path=texts, approved=st.booleans(), digest=texts, note=texts),
    st.builds(rq.Send, path=texts, value=values),
    st.builds(rq.Retry, path=texts),
)


@given(requests)
def test_a_request_comes_back_equal(request_: rq.AnyRequest) -> None:
    assert decode_request(encode_request(request_), 1) == request_


@given(values)
def test_json_that_is_no_request_is_refused(value: Any) -> None:
    with pytest.raises(JournalError, match="request 4 "):
        decode_request(msgspec.json.encode(value), 4)
