"""What a server recorded of MassGen's calls is the truth, and where the log differs is listed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.insight.logs.samples import Log, at, lines, shares, sound, two_agents

from hocket.core.errors import LogError
from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import MINUTE, SECOND
from hocket.insight.logs.massgen import Files, read_massgen
from hocket.insight.logs.massgen_limits import limits_of
from hocket.insight.logs.massgen_server import ServerCall
from hocket.insight.trace import Trace

MODELS = {"a1": "flash-1", "a2": "pro-2"}

# The server's clock is 90 s behind the log's, and 20 ms pass on each way.
CALLS = (
    {"model": "flash-1", "t": 10.12, "kind": "new_answer", "end": 11.98, "status": "done"},
    {"model": "pro-2", "t": 10.22, "kind": "new_answer", "end": 14.98, "status": "done"},
    {"model": "flash-1", "t": 12.12, "kind": "429", "retry_after": 2.0},
    {"model": "flash-1", "t": 14.5, "kind": "vote", "nvis": 1, "end": 15.98, "status": "done"},
    {"model": "pro-2", "t": 15.12, "kind": "vote", "nvis": 1, "lat": 2.86, "status": "done"},
    {"model": "flash-1", "t": 16.12, "kind": "vote", "nvis": 2, "end": 18.98, "status": "done"},
    {"model": "flash-1", "t": 19.22, "kind": "text", "end": 20.98, "status": "done"},
)


def read(
    *calls: dict[str, Any], log: Log | None = None, models: dict[str, str] | None = None
) -> Trace:
    given = MODELS if models is None else models
    data = (log or two_agents()).data()
    files = Files(name="l", version="0.1.12", models=given, coordination=[data])
    files.calls = [lines(*calls)]
    return sound(read_massgen(files))


def test_each_call_of_the_server_is_an_activity_with_its_fate() -> None:
    trace = read(*CALLS)
    assert [(a.name, a.fate, a.events) for a in trace.activities] == [
        ("consensus/a1/answer#1", "useful", (1,)),
        ("consensus/a2/answer#1", "useful", (2,)),
        ("consensus/a1/vote#1", "refused", (3,)),
        ("consensus/a1/vote#2", "stale", (4,)),
        ("consensus/a2/vote#1", "useful", (5,)),
        ("consensus/a1/vote#3", "useful", (6,)),
        ("consensus/a1/present#1", "useful", (7,)),
    ]
    assert trace.evidence == "record"


def test_the_clocks_are_brought_together_by_what_must_come_first() -> None:
    trace = read(*CALLS)
    assert at(trace, trace.activities[0].began) == pytest.approx(0.12)
    assert at(trace, trace.activities[6].ended) == pytest.approx(10.98)
    said = "by adding 1795289990.000 s, which is right within 20 ms."
    assert any(said in each for each in trace.missing)


def test_a_refused_call_waits_for_its_next_try() -> None:
    trace = read(*CALLS)
    refused, again = trace.activities[2], trace.activities[3]
    assert refused.began == refused.ended
    assert (again.after, again.asked) == (2, refused.ended)
    (wait,) = again.waits
    # The server had asked for two seconds; the rest is the client's own.
    assert (wait.cause, wait.until - wait.since) == ("closed:flash-1", 2 * SECOND)
    assert shares(trace) == pytest.approx(
        {
            "model:a1": 1.86 + 2.86 + 1.76,
            "rework:stale": 1.48,
            "refused:flash-1": 2.0,
            "coordinator": 11.5 - 1.86 - 2.86 - 1.76 - 1.48 - 2.0,
        }
    )


def test_where_the_log_says_otherwise_is_listed() -> None:
    told = {d.what: (d.log, d.truth) for d in read(*CALLS).disagreements}
    assert told == {
        "calls": ("6 rounds", "6 served, 1 refused"),
        "calls of a1": ("4 rounds", "4 served, 1 refused"),
        "refused calls": ("nothing", "1, after which 2.0 s were waited, all together"),
        "time of a1 at vote, from 2.1 s": ("3.9 s", "1.5 s of work, in 1 served"),
        "answers before a2 when it cast the vote that counts": (
            "2",
            "1: the vote was stale, and was accepted",
        ),
    }


def test_without_refusals_there_is_nothing_to_disagree_about() -> None:
    calls = [CALLS[0], CALLS[1], CALLS[3] | {"t": 12.12}, CALLS[4] | {"nvis": 2}, *CALLS[5:]]
    assert read(*calls).disagreements == ()


def test_a_round_of_several_calls_is_told_call_by_call() -> None:
    calls = [CALLS[0] | {"end": 11.0}, CALLS[0] | {"t": 11.1}, *CALLS[1:]]
    trace = read(*calls)
    first, *_, second = [a for a in trace.activities if a.path == "consensus/a1/answer"]
    # Only the last answer of a round was taken.
    assert (first.fate, second.fate) == ("discarded", "useful")
    assert trace.activities[second.after] is first


def test_calls_that_failed_or_were_cut_off_say_so() -> None:
    calls = [*CALLS[:6], {"model": "flash-1", "t": 19.22, "kind": "text", "status": 500}]
    assert read(*calls).activities[-1].fate == "failed"
    calls[-1] = calls[-1] | {"status": "cancelled", "end": 19.5}
    assert read(*calls).activities[-1].fate == "cancelled"


def test_calls_of_agents_that_share_a_model_are_told_apart_by_instants() -> None:
    same = {"a1": "flash-1", "a2": "flash-1"}
    calls = [call | {"model": "flash-1"} for call in CALLS]
    trace = read(*calls, models=same)
    told = [(a.name, a.fate, a.after) for a in trace.activities]
    assert told == [(a.name, a.fate, a.after) for a in read(*CALLS).activities]
    assert any("does not tell the calls of a1 and a2 apart" in said for said in trace.missing)
    named = [
        call | {"agent": "a1" if call["model"] == "flash-1" else "a2", "model": "flash-1"}
        for call in CALLS
    ]
    trace = read(*named, models=same)
    assert [(a.name, a.fate, a.after) for a in trace.activities] == told
    assert not any("apart" in said for said in trace.missing)


def test_calls_that_fit_no_round_stay_without_an_agent() -> None:
    same = {"a1": "flash-1", "a2": "flash-1"}
    calls = [call | {"model": "flash-1"} for call in CALLS]
    late = {"model": "flash-1", "t": 21.5, "kind": "vote", "end": 22}
    trace = read(*calls, late, models=same)
    assert [(a.agent, a.fate) for a in trace.activities if a.agent not in same] == [
        ("flash-1", "useful")
    ]
    assert trace.inferred
    assert any(said.startswith("1 of these calls fit no round") for said in trace.missing)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "calls: there is no call in it; each line is an object with model"),
        (b"[1]", "calls:1:1: a record of calls is lines of JSON objects"),
        (b'{"t": 1, "kind": "vote"}', "calls:1:1: a call without model and agent"),
        (b'{"model": "m", "kind": "vote"}', "a call without t, the seconds"),
        (b'{"model": "m", "t": 1}', "a call without kind and status"),
        (b'\n {"model": "m", "t": 1, "kind": "vote"}', "calls:2:2: a call that was served, w"),
        (b'{"model": "m", "t": 5, "kind": "vote", "end": 4}', "ended before it came"),
        (b'{"model": "m", "t": 5, "kind": "vote", "end": 6}', "none of its calls is of an agent"),
        (b'{"model": "m", ', "the text ends in the middle"),
    ],
)
def test_a_record_of_another_shape_says_which_fields_it_needs(data: bytes, said: str) -> None:
    files = Files(name="l", models=MODELS, coordination=[two_agents().data()], calls=[data])
    with pytest.raises(LogError) as caught:
        read_massgen(files)
    assert said in str(caught.value)


def call(model: str, at: float, retry_after: float | None = None) -> ServerCall:
    return ServerCall(
        record=1,
        agent=model,
        model=model,
        began=round(at * SECOND),
        ended=round(at * SECOND),
        kind="vote",
        refused=retry_after is not None,
        retry_after=None if retry_after is None else round(retry_after * SECOND),
    )


def test_a_window_that_explains_every_refusal_is_the_limit() -> None:
    calls = [call("f-1", 0), call("f-2", 1), call("f-3", 2), call("f-1", 5, 55), call("f-2", 61)]
    assert limits_of(calls) == (
        {"f-1": "f", "f-2": "f", "f-3": "f"},
        {"f": LimitSpec(requests=(Rate(3, MINUTE),))},
    )


def test_what_fits_no_window_stays_unknown() -> None:
    calls = [call("f-1", 0), call("f-1", 1, 30), call("f-1", 31), call("f-1", 32), call("g", 0)]
    assert limits_of(calls) == ({"f-1": "f-1"}, {})


def test_refusals_of_one_model_alone_are_its_own_limit() -> None:
    calls = [call("f", 0), call("g", 0.1), call("f", 3, 57), call("f", 60.2)]
    assert limits_of(calls) == ({"f": "f"}, {"f": LimitSpec(requests=(Rate(1, MINUTE),))})
