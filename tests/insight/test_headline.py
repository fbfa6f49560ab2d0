"""One sentence says what the time went to, and never more than is known."""

from __future__ import annotations

import re

import pytest
from tests.insight.kit import doing, trace
from tests.insight.planted import clean, plant

from hocket.core.values import SECOND
from hocket.insight.account import account
from hocket.insight.find import find
from hocket.insight.headline import headline
from hocket.insight.trace import Stop, Trace


def said(run: Trace) -> str:
    whole = account(run)
    return headline(run, whole, find(run, whole))


def test_a_limit_and_the_votes_that_came_to_nothing() -> None:
    calls = [doing(f"q/m{n}/vote", 0, 0, 5, step="q", team="q", fate="stale") for n in range(3)]
    calls += [doing(f"q/m{n}/vote~2", 5, 5, 9, 0, step="q", team="q") for n in range(6)]
    calls += [doing("q/m7/vote", 5, 1_000, 1_337, 0, ("rate:api", 5, 1_000), step="q", team="q")]
    told = said(trace(*calls))
    assert told.startswith("74 % of 1,337 s went to waiting for api's window")
    assert told.endswith("; 3 of 10 calls were votes that a later answer made stale")


def test_two_findings() -> None:
    calls = [doing("x", 0, 0, 30), doing("ok", 30, 30, 80, 0, work="approval", agent="")]
    calls += [doing("y", 80, 95, 100, 1, ("slot:run", 80, 95))]
    assert said(trace(*calls)) == (
        "50 % of 100 s went to an approval at ok that came late; "
        "15 % went to waiting for one of the run's slots"
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_clean_run(seed: int) -> None:
    told = said(clean(seed))
    assert re.fullmatch(r"\d+ % of [\d.,]+ s was work of models; nothing else stands out", told)


def test_a_run_that_goes_on() -> None:
    run = trace(doing("x", 0, 0, 4), doing("y", 4, 4, None, 0), ended=8, status="running")
    assert said(run) == "100 % of 8.0 s so far was work of models; nothing else stands out"


def test_a_run_whose_process_died_goes_no_further_than_so_far() -> None:
    run = trace(doing("x", 0, 0, 4), doing("y", 4, 4, None, 0), ended=8)
    run.status = "stopped (resumable)"
    assert said(run).startswith("100 % of 8.0 s so far was")


def test_nobody_knows_how_long_a_process_worked_that_left_no_record() -> None:
    lost = doing("x", 0, 0, 0, fate="failed", how="lost")
    run = trace(lost, doing("x", 0, 9, 10, 0, attempt=2))
    run.stops.append(Stop("down", run.began, run.began + 9 * SECOND, (1, 2)))
    assert said(run).startswith(
        "90 % of 10 s went to a time of which nothing is recorded, as its process ended in it"
    )
    (found,) = find(run, account(run))
    assert (found.kind, found.cost) == ("down", 9 * SECOND)
    assert "It may have worked on" in found.detail


def test_work_that_no_finding_explains_comes_first_if_it_is_the_most() -> None:
    calls = [doing("x", 0, 0, 1), doing("b", 1, 35, 84, 0, ("slot:run", 1, 35), agent="y")]
    calls.append(doing("z", 84, 84, 100, 1))
    calls[1].work = "tool"
    assert said(trace(*calls)) == (
        "49 % of 100 s was one call of y at b; 34 % went to waiting for one of the run's slots"
    )


def test_a_minor_finding_does_not_stand_alone() -> None:
    calls = [doing("x", 0, 0, 48), doing("y", 48, 56, 100, 0, ("slot:run", 48, 56))]
    assert said(trace(*calls)) == (
        "92 % of 100 s was work of models; 8 % went to waiting for one of the run's slots"
    )


def test_a_log_that_was_cut_off_is_told_as_what_it_holds() -> None:
    run = trace(doing("x", 0, 0, 10), status="cut off", source="otlp")
    assert said(run).startswith("100 % of what the log holds, 10 s, was work of models")


def test_what_is_all_of_one_kind_is_not_many_things() -> None:
    run = trace(doing("x", 0, 0.05, 0.0501), doing("y", 0.0501, 0.0501, 0.0502, 0))
    assert said(run) == "99 % of 50 ms was the program itself; nothing else stands out"


def test_short_runs_are_told_in_microseconds() -> None:
    assert said(trace(doing("x", 0, 0, 0.0004))).startswith("100 % of 400 µs was")
    run = trace(doing("x", 0, 0, 0.1), doing("ok", 0.1, 0.1, 0.8327, 0, work="approval", agent=""))
    assert said(run).startswith("88 % of 833 ms went to"), "rounded as titles are"


def test_what_is_not_known_is_not_claimed() -> None:
    calls = [doing("x", 0, 0, 10), doing("y", 80, 80, 90, 0)]
    told = said(trace(*calls, inferred=True, source="otlp"))
    assert told == "78 % of 90 s was time of which nothing is known"
    calls = [doing("x", 0, 0, 10), doing("y", 40, 80, 90, 0, ("rate:api", 40, 80))]
    told = said(trace(*calls, inferred=True, source="otlp"))
    assert told == "44 % of 90 s went to waiting for api's window; of 33 % nothing is known"


def test_a_run_without_time() -> None:
    assert said(trace()) == "It took no time."


def test_what_is_not_all_is_not_called_all() -> None:
    calls = [doing("x", 0, 0, 0.004), doing("y", 0.004, 0.004, 10, 0, work="approval", agent="")]
    assert said(trace(*calls)).startswith("99 % of 10 s")


def test_the_share_is_that_of_the_first_finding() -> None:
    run = plant("rate", 7).trace
    first = find(run, account(run))[0]
    assert said(run).startswith(f"{first.share * 100:.0f} % of ")
