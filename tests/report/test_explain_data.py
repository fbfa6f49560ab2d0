"""An explanation as one document: every key is always there, and counts are whole."""

from __future__ import annotations

import json
from typing import Any

from tests.report.explained import BEGAN, explained, gain, seven

from hocket.insight.findings import Finding
from hocket.report.explain_data import explain_document
from hocket.simulator.outcome import Gain, Row

KEYS = [
    "run",
    "name",
    "source",
    "status",
    "began",
    "ended",
    "took",
    "headline",
    "shares",
    "spending",
    "chain",
    "activities",
    "critical",
    "bounds",
    "load",
    "uses",
    "chains",
    "findings",
    "evidence",
    "inferred",
    "missing",
    "disagreements",
]


def document(told: Any, gains: Any = ()) -> Any:
    """Give the document as a program reads it."""
    return json.loads(json.dumps(explain_document(told, gains)))


def test_every_key_is_always_there() -> None:
    empty = explained(activities=[], finish=-1, stops=[], ended=BEGAN, limits={})
    for told in (explained(), seven(), empty):
        found = document(told)
        assert list(found) == KEYS
        for finding in found["findings"]:
            assert list(finding) == [*Finding.__struct_fields__, "simulated"]
        spent = {tuple(row) for row in found["spending"]}
        assert len(spent) <= 1, "each row has the same keys"
        assert set(found["bounds"]) >= {"path", "work", "rate", "best", "binds", "refuted"}
    lines = [line for team in document(seven())["chains"]["teams"] for line in team["lines"]]
    assert {tuple(line) for line in lines} == {tuple(lines[0])}


def test_the_shares_and_the_chain_add_up_in_nanoseconds() -> None:
    found = document(seven())
    assert sum(row["ns"] for row in found["shares"]) == found["took"]
    assert found["chain"][0]["since"] == 0
    assert found["chain"][-1]["until"] == found["took"]
    for one, other in zip(found["chain"], found["chain"][1:], strict=False):
        assert one["until"] == other["since"]


def test_places_lead_to_what_was_done_and_the_load_keeps_to_the_run() -> None:
    found = document(seven())
    done = found["activities"]
    assert len(found["critical"]["slack"]) == len(done)
    assert [done[place]["name"] for place in found["critical"]["chain"]]
    void = [i for team in found["chains"]["teams"] for one in team["answers"] for i in one["void"]]
    assert void and all(done[place]["fate"] in ("stale", "discarded") for place in void)
    assert min(one["asked"] for one in done) >= 0
    assert found["load"]["run"]["peak"] == max(count for _, count in found["load"]["run"]["steps"])


def test_what_was_simulated_has_every_key_and_counts_are_whole() -> None:
    told = explained()
    made = gain(0, unknown="kept answers are not simulated")
    for one in (gain(), made, Gain(0, Row(name="a", why="no"), "good")):
        found = document(told, [one])["findings"][0]["simulated"]
        named = ["worth", "words", "match", "baseline_success"]
        assert list(found) == [*named, *Row.__struct_fields__]
        for name in ("calls", "tokens", "refused", "wasted"):
            assert all(type(number) is int for number in found[name].values())
        assert type(found["runs"]) is int
    assert document(told, [gain()])["findings"][0]["simulated"]["worth"] == "faster"
    assert document(told, [made])["findings"][0]["simulated"]["worth"] == "unknown"
    assert all(one["simulated"] is None for one in document(told)["findings"])
