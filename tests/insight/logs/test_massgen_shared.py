"""The logs of MassGen that lie beside the project, against what the server saw."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from tests.insight.logs.samples import shared, shares, sound

from hocket.app.logs import read_log
from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import MINUTE
from hocket.insight.account import spending
from hocket.insight.trace import Trace

VERSIONS = ("0.1.12", "0.1.97")
AGENTS = {f"mock-{'flash' if n < 6 else 'pro'}-{n}": f"a{n}" for n in range(1, 8)}


def folder(version: str) -> Path:
    return shared("massgen-logs", f"v{version}-7agents-429")


def read(version: str, *, calls: bool) -> Trace:
    place = folder(version)
    return sound(read_log("massgen", place, calls=place / "server_calls.jsonl" if calls else None))


def counted(version: str) -> Counter[tuple[str, str]]:
    """Count what the server saw, by agent and fate, from its record alone."""
    with (folder(version) / "server_calls.jsonl").open() as file:
        calls = sorted(map(json.loads, file), key=lambda call: call["t"])
    found: Counter[tuple[str, str]] = Counter()
    for place, call in enumerate(calls):
        agent = AGENTS[call["model"]]
        later = [(c["model"], c["kind"]) for c in calls[place + 1 :]]
        if call["kind"] == "429":
            found[agent, "refused"] += 1
        elif call["kind"] == "vote" and (call["model"], "vote") in later:
            found[agent, "stale"] += 1
        else:
            found[agent, "useful"] += 1
    return found


@pytest.mark.parametrize(
    ("version", "served", "refused", "stale"), [("0.1.12", 20, 8, 5), ("0.1.97", 21, 8, 6)]
)
def test_calls_served_refused_and_stale_are_those_of_the_server(
    version: str, served: int, refused: int, stale: int
) -> None:
    trace = read(version, calls=True)
    found = Counter((a.agent, a.fate) for a in trace.activities)
    assert found == counted(version)
    sums = Counter(a.fate for a in trace.activities)
    assert sums == {"useful": served - stale, "stale": stale, "refused": refused}
    assert trace.source == f"massgen {version}"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_log_alone_says_what_it_cannot_know(version: str) -> None:
    trace = read(version, calls=False)
    missing = " ".join(trace.missing)
    assert "Calls that a server refused (429), and the waits for it, are not recorded" in missing
    assert "Which calls were made within a round is not recorded" in missing
    assert "Limits are not recorded." in missing
    assert not any(a.fate == "refused" or a.waits for a in trace.activities)
    assert trace.limits == {}
    assert trace.disagreements == ()


def test_the_tokens_that_a_log_counts_are_told_and_what_is_without_a_round_is_named() -> None:
    missing = " ".join(read("0.1.12", calls=False).missing)
    assert "Tokens and costs are not recorded." in missing
    for calls in (False, True):
        trace = read("0.1.97", calls=calls)
        assert sum(row.tokens_in or 0 for row in spending(trace).rows) == 81_322
        assert "Of 119,592 tokens read, 81,322 are said to be of a round; 38,270" in " ".join(
            trace.missing
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_most_of_the_time_was_waiting_for_two_requests_a_minute(version: str) -> None:
    trace = read(version, calls=True)
    assert trace.limits == {
        "mock-flash": LimitSpec(requests=(Rate(9, MINUTE),)),
        "mock-pro": LimitSpec(requests=(Rate(2, MINUTE),)),
    }
    found = shares(trace)
    assert max(found, key=lambda cause: found[cause]) == "refused:mock-pro"
    assert 110 < found["refused:mock-pro"] < 114
    assert 128 < sum(found.values()) < 129
    # Not known from the log: there the same time is a model's.
    alone = shares(read(version, calls=False))
    assert alone["model:a7"] > 60
    assert "refused:mock-pro" not in alone


def test_votes_that_were_accepted_though_stale_are_listed() -> None:
    accepted = [d for d in read("0.1.12", calls=True).disagreements if "the vote that" in d.what]
    assert [(d.what.split()[2], d.log, d.truth.split(":")[0]) for d in accepted] == [
        ("a4", "7", "3"),
        ("a1", "7", "5"),
        ("a2", "7", "3"),
        ("a5", "7", "5"),
        ("a7", "7", "1"),
    ]
    later = read("0.1.97", calls=True).disagreements
    assert not any("the vote that" in d.what for d in later)
    told = {d.what: (d.log, d.truth) for d in later}
    assert told["calls"] == ("15 rounds, 21 calls counted", "21 served, 8 refused")
    assert told["restarts"][0] == "8 in status.json, 6 rounds dropped"
    assert told["calls of a7"] == ("3 rounds", "3 served, 2 refused")


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_written_under_way_tells_nearly_the_same(version: str, tmp_path: Path) -> None:
    live = next(folder(version).rglob("events.jsonl"), None)
    if live is None:
        pytest.skip(f"MassGen {version} writes no events.jsonl")
    (tmp_path / "events.jsonl").write_bytes(live.read_bytes())
    told = read(version, calls=False).activities
    found = sound(read_log("massgen", tmp_path)).activities
    assert [(a.name, a.fate) for a in found] == [(a.name, a.fate) for a in told]


@pytest.mark.parametrize("version", VERSIONS)
def test_agents_that_share_their_models_are_told_apart(version: str, tmp_path: Path) -> None:
    source = folder(version)
    attempt = next(source.rglob("coordination_events.json")).parent
    number = re.compile(r"mock-(flash|pro)-[0-9]")
    for name in ("coordination_events.json", "execution_metadata.yaml"):
        (tmp_path / name).write_text(number.sub(r"\1", (attempt / name).read_text()))
    calls = tmp_path / "calls.jsonl"
    calls.write_text(number.sub(r"\1", (source / "server_calls.jsonl").read_text()))
    trace = sound(read_log("massgen", tmp_path, calls=calls))
    assert {a.model for a in trace.activities} == {"flash", "pro"}
    assert Counter((a.agent, a.fate) for a in trace.activities) == counted(version)
    assert not trace.inferred
