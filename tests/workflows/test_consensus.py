"""Consensus by default: first answers side by side, votes asked once, stop when decided."""

from __future__ import annotations

import pytest
from tests.workflows.parley import Parley

SEVEN = "a b c d e f g"


def test_everybody_answers_then_everybody_votes_then_it_is_over() -> None:
    parley = Parley("a b c", early=False)
    assert parley.asks == ["a/answer", "b/answer", "c/answer"]
    parley.answer("a", "b")
    assert parley.asks == ["c/answer"], "no vote is asked before all first answers are in"
    parley.answer("c")
    assert parley.asks == ["a/vote", "b/vote", "c/vote"]
    parley.vote(a="b", b="b", c="a")
    assert parley.phase == "succeeded"
    assert parley.output["answer"] == "by b"
