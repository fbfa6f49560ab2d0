"""What a report looks like as text and as data."""

from __future__ import annotations

import json

import msgspec
import pytest
from tests.report.reports import decided, reviewed

from hocket.core.reports import Report, Row
from hocket.core.values import SECOND
from hocket.report.team import (
    closing,
    counted,
    fates_words,
    headline,
    member_lines,
    row_words,
    standing,
    team_data,
    team_lines,
)

WHOLE = """\
ask: consensus decided in 12.0 s: more than half: pro has 2 of 4

  the answer of pro stands (B)
  flash-1 was for A: It is mine.

  ANSWER  BY       REVISION  WEIGHT
  B       pro      2         2       A log. It is.
  A       flash-1  1         1       {"a":1}
  C       flash-2  1         0       A heap.

  BALLOT   FOR  CONFIDENCE  WEIGHT  SEEN
  flash-1  A    0.35        1       A1 B2  It is mine.
  flash-2  B    0.9         1              It is clear.
  pro      B    1           1

  AFTER   WHO      WHAT
  1.0 s   flash-1  answers   A
  2.0 s   odd      fails     no such model
  5.0 s   pro      restarts  anew
  6.0 s   pro      restarts  anew
  12.0 s           decides   B

  CALLS         TOKENS      COST
  useful     6  1,200 + 90  $0.01  1 kept from before
  cancelled  2  100 + 0     $0.00  1 unpriced
  failed     1
  all        9  1,300 + 90  $0.01  1 kept from before, 1 unpriced"""


def test_all_that_a_report_says() -> None:
    assert "\n".join(line.rstrip() for line in team_lines("ask", decided())) == WHOLE


def test_a_line_for_each_member() -> None:
    assert [line.rstrip() for line in member_lines(decided())] == [
        "WHO      ANSWER         WEIGHT  VOTE",
        "pro      B, revision 2  2       B 1",
        "flash-1  A              1       A 0.35  It is mine.",
        "flash-2  C              0       B 0.9   It is clear.",
        "odd                             failed  no such model",
    ]


def test_a_few_lines_in_the_end() -> None:
    assert closing(decided()) == [
        "the answer of pro stands (B)",
        "flash-1 was for A: It is mine.",
        "6 useful · 2 cancelled · 1 failed · 1 of them kept from before · "
        "1,300 + 90 tokens · $0.01",
    ]


@pytest.mark.parametrize(
    ("approved", "lines"),
    [
        (True, ["pro-1 rejects: a leak", "3 useful"]),
        (False, ["pro-1 approves: a leak", "3 useful"]),
    ],
)
def test_a_review_says_who_was_of_another_mind(approved: bool, lines: list[str]) -> None:
    assert closing(reviewed(approved)) == lines


def test_verdicts_are_a_table_with_what_was_found() -> None:
    assert [line.rstrip() for line in member_lines(reviewed(True))] == [
        "VERDICTS           CONFIDENCE  WEIGHT",
        "flash-1   approve  0.9         0.9     fine",
        "flash-2   approve  0.8         0.8",
        "pro-1     reject   0.5         0.5     a leak — x leaks; y too",
    ]


def test_a_reviewer_who_failed_has_given_no_verdict() -> None:
    failed = tuple(
        msgspec.structs.replace(vote, failed=True, reason="no such model", issues=())
        for vote in reviewed(True).judgements
    )
    report = reviewed(False, judgements=failed)
    assert closing(report)[0] == ("flash-1 failed, which counts as a weak approval: no such model")
    assert counted(report) == ""
    assert [line.split() for line in member_lines(report)][-1] == (
        ["pro-1", "failed", "counts", "as", "a", "rejection", "no", "such", "model"]
    )


@pytest.mark.parametrize(
    ("report", "over", "line"),
    [
        (Report(kind="consensus"), False, "q: consensus is open"),
        (Report(kind="tools"), False, "q: conversation is open"),
        (Report(kind="consensus"), True, "q: consensus was cut short"),
        (decided(status="open", ended=None), True,
         "q: consensus was cut short: 3 answers · 3 votes"),
        (decided(status="failed", decision="2 of 4 were there"), False,
         "q: consensus failed after 12.0 s: 2 of 4 were there"),
        (decided(forced=True, decision=""), False, "q: consensus decided (forced) in 12.0 s"),
        (reviewed(True), False, "q: review decided in 3.0 s: approved: 0.77 is for it"),
    ],
)  # fmt: skip
def test_how_far_it_is_in_a_line(report: Report, over: bool, line: str) -> None:
    assert headline("q", report, over=over) == line


def test_what_there_is_so_far_is_counted() -> None:
    assert counted(decided(), 4) == "3 of 4 answers · 3 votes"
    assert counted(reviewed(True)) == "3 verdicts"
    assert counted(Report(kind="consensus"), 4) == ""


def test_how_votes_stand() -> None:
    assert standing(decided(), 10) == [("B", "2", "█" * 10), ("A", "1", "█" * 5), ("C", "0", "")]
    sums = [(label, weight) for label, weight, _ in standing(reviewed(True), 10)]
    assert sums == [("approve", "1.7"), ("reject", "0.5")]
    assert standing(Report(kind="consensus")) == []


def test_a_row_in_words_has_the_answer_itself() -> None:
    report = decided()
    assert row_words(report.rows[0], report) == 'flash-1 answers: A: {"a":1}'
    assert row_words(report.rows[1], report) == "odd fails: no such model"
    assert row_words(Row(at=1, member="", what="decides"), report) == "decides"


def test_what_a_model_says_cannot_steer_a_terminal_or_fill_it() -> None:
    long = decided(
        rows=(Row(at=101 * SECOND, member="a", what="fails", detail="\x1b[2Jx\n" + "y" * 9_000),)
    )
    lines = team_lines("ask", long)
    assert not any("\x1b" in line or "\n" in line for line in lines)
    assert max(map(len, lines)) < 200


def test_no_call_yet() -> None:
    assert fates_words({}) == "no call has ended"


def test_a_report_for_programs() -> None:
    data = json.loads(json.dumps(team_data(decided())))
    assert data["seconds"] == 12.0
    assert data["winner"] == "pro"
    assert data["fates"]["useful"] == {
        "calls": 6,
        "cached": 1,
        "tokens": {"in": 1200, "out": 90},
        "cost_usd": 0.01,
        "unpriced_calls": 0,
    }
    assert data["judgements"][0]["counts"] is True
    empty = team_data(Report(kind="consensus"))
    assert (empty["status"], empty["seconds"], empty["rows"]) == ("open", None, [])
