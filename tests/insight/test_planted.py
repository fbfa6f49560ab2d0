"""The cause of slowness that was planted is named first, and a clean run gets no finding."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.insight.planted import PLANTS, clean, plant

from hocket.config.change import Changes, changed
from hocket.insight.account import account
from hocket.insight.find import FINDINGS, find
from hocket.insight.trace import Trace

RUNS = 44
"""How many runs of each kind: of 30 kinds more than 1,000 cost over a fifth of the time."""
CLEAN = 300
MATTERS = 0.2
SETTINGS = 4
"""How many runs of each kind have their findings' settings tried."""


def first(trace: Trace) -> str:
    """Name the first finding, and hold what is true of all findings."""
    findings = find(trace, account(trace))
    assert sum(finding.cost for finding in findings) <= trace.took
    assert [f.cost for f in findings] == sorted([f.cost for f in findings], reverse=True)
    for finding in findings:
        assert finding.kind in FINDINGS
        assert finding.evidence
        assert len(finding.evidence) <= 20
        assert finding.title
        assert finding.advice
        assert all(key.count("=") == 1 for key in finding.change)
    return findings[0].kind if findings else "nothing"


@pytest.fixture(scope="module")
def named() -> dict[str, Counter[str]]:
    """Give how often what was named first, by what was planted: the confusion table."""
    table: dict[str, Counter[str]] = {}
    for kind in PLANTS:
        counts = table[kind] = Counter()
        for seed in range(RUNS):
            planted = plant(kind, seed)
            if planted.share > MATTERS:
                kind_named = first(planted.trace)
                right = kind_named in planted.kinds
                counts["right" if right else f"wrong: {kind_named}"] += 1
    return table


def test_the_first_finding_names_the_cause(named: dict[str, Counter[str]]) -> None:
    total = sum(counts.total() for counts in named.values())
    right = sum(counts["right"] for counts in named.values())
    assert total >= 1_000
    assert right >= 0.95 * total, named


@pytest.mark.parametrize("kind", PLANTS)
def test_each_kind_is_named(kind: str, named: dict[str, Counter[str]]) -> None:
    counts = named[kind]
    assert counts.total() >= 5, "the generator hardly plants it"
    assert counts["right"] >= 0.85 * counts.total(), counts


@pytest.mark.parametrize("kind", PLANTS)
def test_what_findings_propose_can_be_set(kind: str) -> None:
    for seed in range(SETTINGS):
        run = plant(kind, seed).trace
        assert run.spec is not None
        for finding in find(run, account(run)):
            if finding.change:
                assert changed(run.spec, finding.change) != Changes(run.spec)


def test_there_are_enough_kinds() -> None:
    assert len(PLANTS) >= 18


def test_a_clean_run_gets_no_finding() -> None:
    found = Counter(
        "nothing" if not find(trace, account(trace)) else first(trace)
        for trace in map(clean, range(CLEAN))
    )
    assert found["nothing"] >= 0.99 * CLEAN, found


@pytest.mark.parametrize("kind", ["rate", "stale", "straggler", "coordinator"])
def test_the_same_seed_gives_the_same_findings(kind: str) -> None:
    one, other = plant(kind, 1).trace, plant(kind, 1).trace
    assert find(one, account(one)) == find(other, account(other))
