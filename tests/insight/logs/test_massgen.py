"""MassGen's log becomes a trace: rounds, what became of them, what they came after."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.insight.logs.samples import Log, at, lines, shares, sound, two_agents

from hocket.core.errors import LogError
from hocket.core.events import Usage
from hocket.insight.chains import chains
from hocket.insight.logs.massgen import Files, read_massgen
from hocket.insight.trace import Trace

MODELS = {"a1": "flash-1", "a2": "pro-2"}


def read(log: Log, **more: Any) -> Trace:
    files = Files(name="log_1", version="0.1.97", models=MODELS, coordination=[log.data()], **more)
    return sound(read_massgen(files))


def told(trace: Trace) -> list[tuple[str, float | None, float | None, str]]:
    return [(a.name, at(trace, a.began), at(trace, a.ended), a.fate) for a in trace.activities]


def test_each_round_of_an_agent_is_an_activity_with_its_fate() -> None:
    trace = read(two_agents())
    assert told(trace) == [
        ("consensus/a1/answer#1", 0.1, 2.0, "useful"),
        ("consensus/a2/answer#1", 0.2, 5.0, "useful"),
        ("consensus/a1/vote#1", 2.1, 6.0, "stale"),
        ("consensus/a2/vote#1", 5.1, 8.0, "useful"),
        ("consensus/a1/vote#2", 6.1, 9.0, "useful"),
        ("consensus/a1/present#1", 9.2, 11.0, "useful"),
    ]
    assert (trace.source, trace.name, trace.status) == ("massgen 0.1.97", "why?", "succeeded")
    assert trace.evidence == "record"
    assert [a.events for a in trace.activities][:2] == [(2, 4), (3, 7)]
    assert [a.model for a in trace.activities][:2] == ["flash-1", "pro-2"]
    assert {a.team for a in trace.activities} == {"consensus"}


def test_a_round_comes_after_the_answers_that_it_was_given_and_its_agents_last_one() -> None:
    trace = read(two_agents())
    assert [(a.after, a.needs) for a in trace.activities] == [
        (-1, ()),
        (-1, ()),
        (0, (0,)),
        (1, (0, 1)),
        (2, (0, 1, 2)),
        (4, (3, 4)),
    ]
    assert shares(trace) == pytest.approx(
        {"model:a1": 1.9 + 2.9 + 1.8, "rework:stale": 3.9, "coordinator": 1.0}
    )


def test_the_answer_that_made_a_vote_void_is_found_in_the_trace() -> None:
    found = chains(read(two_agents()))
    assert (found.restarts, found.void) == (1, 1)
    (team,) = found.teams
    assert [(a.label, a.void) for a in team.answers] == [("a1.1", []), ("a2.1", [2])]


def test_a_later_answer_erases_the_votes_that_were_cast() -> None:
    log = Log()
    log.asked(0, "a1")
    log.asked(0, "a2")
    log.answered(1, "a1", "agent1.1")
    log.asked(1, "a1", "agent1.1")
    log.voted(2, "a1", "agent1.1")
    log.answered(3, "a2", "agent2.1")
    log.asked(3, "a2", "agent1.1", "agent2.1")
    log.note(4, "status_change", "a2", "Changed to status: error")
    fates = [(a.path, a.fate, a.how) for a in read(log).activities]
    assert fates[2] == ("consensus/a1/vote", "stale", "vote")
    assert fates[3] == ("consensus/a2/vote", "failed", "failed")


def test_an_update_ends_an_attempt_that_came_to_nothing() -> None:
    log = Log(["a1"])
    log.asked(0, "a1")
    log.answered(1, "a1", "agent1.1")
    log.asked(1, "a1", "agent1.1")
    log.note(3, "update_injected", "a1", "UPDATE_INJECTED")
    log.voted(7, "a1", "agent1.1")
    trace = read(log)
    assert told(trace)[1:] == [
        ("consensus/a1/vote#1", 1.0, 3.0, "stale"),
        ("consensus/a1/vote#2", 3.0, 7.0, "useful"),
    ]
    assert any("what an agent was told under way" in said.lower() for said in trace.missing)


def test_a_round_that_never_ended_is_still_under_way() -> None:
    log = Log(["a1"])
    log.asked(0, "a1")
    trace = read(log)
    assert told(trace) == [("consensus/a1/answer#1", 0.0, None, "")]
    assert (trace.status, trace.finish) == ("", -1)
    assert "The log does not tell how the run ended." in trace.missing


def test_what_the_log_cannot_know_is_named() -> None:
    missing = " ".join(read(two_agents()).missing)
    for said in ("within a round", "(429)", "Limits are not", "Tokens and costs are not"):
        assert said in missing


def completed(agent: str, outcome: str, end: float, tokens: int) -> dict[str, Any]:
    return {
        "agent_id": agent,
        "outcome": outcome,
        "end_time": 1_795_290_000.0 + end,
        "input_tokens": tokens,
        "output_tokens": 1,
        "cached_input_tokens": 0,
    }


def test_tokens_go_to_the_rounds_that_are_said_to_have_spent_them() -> None:
    rounds = [completed("a1", "answer", 2.001, 10), completed("a1", "vote", 9.01, 20)]
    metrics = json.dumps({"round_completions": rounds}).encode()
    totals = {"totals": {"input_tokens": 100}, "api_timing": {"total_calls": 6}}
    trace = read(two_agents(), metrics=[metrics], summary=[json.dumps(totals).encode()])
    usages = [a.usage for a in trace.activities]
    assert usages[0] == Usage(tokens_in=10, tokens_out=1, tokens_cached=0)
    assert usages[4] == Usage(tokens_in=20, tokens_out=1, tokens_cached=0)
    assert [usages[i] for i in (1, 2, 3, 5)] == [None] * 4
    missing = " ".join(trace.missing)
    assert "Of 100 tokens read, 30 are said to be of a round; 70 are of nothing" in missing
    assert "MassGen counted 6 calls that were answered, beside 2 rounds" in missing


def test_a_file_beside_the_log_that_cannot_be_read_is_named() -> None:
    trace = read(two_agents(), metrics=[b'{"round_completions": [nil]}'], status=[b""])
    assert "metrics_events.json:1:24: this is no JSON: expecting value." in trace.missing
    assert any(said.startswith("status.json:1:1: it is no object") for said in trace.missing)


def live(when: str, kind: str, agent: str, **data: Any) -> dict[str, Any]:
    instant = f"2026-11-21T19:42:{when}"
    return {"timestamp": instant, "event_type": kind, "agent_id": agent, "data": data}


def test_a_run_that_was_ended_is_read_from_what_was_written_under_way() -> None:
    written = lines(
        live("30.000", "round_start", "a1"),
        live("30.500", "round_start", "a2"),
        live("31.000", "text", "a2", content="…"),
        live("32.000", "answer_submitted", "a1", content="x"),
        live("32.100", "round_start", "a1"),
        live("32.200", "context_received", "a1", context_labels=["agent1.1"]),
        live("33.000", "answer_submitted", "a2", content="y"),
        live("35.000", "round_start", "a1"),
        live("35.100", "context_received", "a1", context_labels=["agent1.1", "agent2.1"]),
        live("36.000", "vote", "a1", target_id="a1"),
    )
    trace = sound(read_massgen(Files(name="l", live=[written + b'{"timestamp": "20'])))
    assert told(trace) == [
        ("consensus/a1/answer#1", 0.0, 2.0, "useful"),
        ("consensus/a2/answer#1", 0.5, 3.0, "useful"),
        ("consensus/a1/vote#1", 2.1, 5.0, "stale"),
        ("consensus/a1/vote#2", 5.0, 6.0, "useful"),
    ]
    assert trace.activities[3].needs == (0, 1, 2)
    missing = " ".join(trace.missing)
    assert "coordination_events.json is not there" in missing
    assert "ends in the middle (line 11, column 18)" in missing
    assert "Which version of MassGen wrote the log is not recorded." in missing
    assert "Which models the agents used is not recorded." in missing


def test_a_cut_log_is_read_up_to_there() -> None:
    data = two_agents().data()
    trace = sound(read_massgen(Files(name="l", coordination=[data[: len(data) // 2]])))
    assert len(trace.activities) > 1
    assert any("ends in the middle" in said for said in trace.missing)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "coordination_events.json: the file is empty"),
        (b"\x89PNG", "coordination_events.json:1:1: byte 0x89 is not UTF-8"),
        (b"[]", "coordination_events.json:1:1: this is no JSON: '{' is missing"),
        (b'{"spans": []}', "coordination_events.json: there are no 'events' in it"),
        (b'{"events": [{}]}', "event 1 has no 'event_type' or no 'timestamp'"),
        (b'{"events": [3]}', "1:13: an event of MassGen is an object"),
        (b'{"events": []}', "no agent was asked anything in it"),
        (b'{"events": [{"timesta', "the text ends in the middle"),
    ],
)
def test_what_is_no_such_log_is_refused_with_its_place(data: bytes, said: str) -> None:
    with pytest.raises(LogError) as caught:
        read_massgen(Files(name="l", coordination=[data]))
    assert said in str(caught.value)


def test_a_folder_without_its_files_is_no_log() -> None:
    with pytest.raises(LogError, match="there is neither coordination_events"):
        read_massgen(Files(name="l"))
