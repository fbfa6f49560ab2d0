"""A team whose process dies: what is on disk is never paid again."""

import json
from collections import Counter
from typing import Any

import pytest
from tests.cli.kit import Home

MEMBERS = '''
"""Members of teams; each call of one leaves a line where a provider would send a bill."""

import time


def _billed(what):
    time.sleep(0.15)
    with open("bill.txt", "a") as bill:
        bill.write(what + "\\n")


def member(task, question, answers, votes):
    _billed(task)
    if not answers or "vote" not in task:
        return f"an answer to {question}"
    return {"vote": sorted(answers)[0], "confidence": 1, "reason": "the first one"}


def judge(task, **about):
    _billed(task)
    return {"verdict": "approve", "confidence": 0.9, "issues": [], "reason": "fine"}
'''
HEAD = """
agents:
  member: {function: "members:member", mode: process, concurrency: 2}
  judge: {function: "members:judge", mode: process, concurrency: 2}
"""
CONSENSUS = """
q:
  consensus:
    question: "What is it?"
    agents: [{agent: member, count: 4}]
    decide: majority
    early: false
"""
REVIEW = """
r:
  review: {of: "x = 1", by: [judge], swarm: 5, waves: false, early: false}
"""


def prepare(home: Home, steps: str) -> None:
    home.put("members.py", MEMBERS)
    home.write(steps, head=HEAD)


def landed(events: list[dict[str, Any]]) -> int:
    return sum(event["type"] == "call_finished" for event in events)


@pytest.mark.parametrize(
    ("steps", "calls", "kill_after"),
    [(CONSENSUS, 8, 2), (CONSENSUS, 8, 5), (REVIEW, 5, 2)],
    ids=["among the answers", "among the votes", "in a review"],
)
def test_what_has_finished_is_not_paid_again(
    home: Home, steps: str, calls: int, kill_after: int
) -> None:
    prepare(home, steps)
    started = home.start("run", "--id", "r", "--plain")
    home.until(lambda: home.status("r"), started)
    home.until(lambda: landed(home.events("r")) >= kill_after, started)
    home.kill(started)
    before = home.events("r")
    finished = {e["call"]["path"] for e in before if e["type"] == "call_finished"}
    assert kill_after <= len(finished) < calls

    done = home.hocket("resume", "r", "--plain")
    assert done.status == 0, done
    after = home.events("r")[len(before) :]
    again = {event["call"]["path"] for event in after if event["type"] == "call_started"}
    assert not finished & again, "what had finished was asked again"
    lost = [event for event in after if event["type"] == "call_lost"]
    assert 1 <= len(lost) <= 2

    # The bill has every call once, and those that were in flight at the kill at most twice.
    assert calls <= len(home.lines("bill.txt")) <= calls + len(lost)
    shown = home.hocket("show", "r", "--json").data
    [report] = shown["teams"].values()
    made = Counter(e["call"]["path"] for e in home.events("r") if e["type"] == "call_started")
    assert sum(fate["calls"] for fate in report["fates"].values()) == made.total()
    assert report["fates"]["useful"]["calls"] == calls
    assert report["fates"]["failed"]["calls"] == len(lost)
    assert not report["fates"].keys() - {"useful", "failed"}


def test_a_cancelled_consensus_keeps_what_it_has(home: Home) -> None:
    prepare(home, CONSENSUS)
    started = home.start("run", "--id", "r", "--plain")
    home.until(lambda: home.status("r"), started)
    home.until(lambda: landed(home.events("r")) >= 2, started)
    home.ok("cancel", "r", "--now")
    started.communicate(timeout=20)
    shown = home.hocket("show", "r", "--json").data
    assert shown["status"] == "cancelled"
    report = shown["teams"]["q"]
    assert report["status"] == "open"
    assert len(report["contributions"]) >= 2
    assert "an answer to What is it?" in json.dumps(report["contributions"])
    assert "answers" in home.ok("show", "r").out
