"""An endpoint that keeps failing is left alone, then tried by one call."""

from typing import get_args

import pytest

from hocket.core.specs import LimitSpec
from hocket.core.values import MINUTE, SECOND
from hocket.limits.breaker import FAILURES, LONGEST
from hocket.limits.claim import Block, Claim, Ending, EndingKind, News
from hocket.limits.limit import Limit

ONE = Claim()


class Story:
    """One limit and a clock."""

    def __init__(self, adaptive: bool = True) -> None:
        self.limit = Limit("m", LimitSpec(adaptive=adaptive), seed=1)
        self.at = 0
        self.number = 0

    def take(self) -> str:
        self.number += 1
        key = f"a{self.number}"
        self.limit.take(key, 1, ONE, self.at)
        self.limit.sent(key, self.at)
        return key

    def end(self, key: str, kind: EndingKind) -> list[News]:
        news = self.limit.settle(key, Ending(kind, retry_after=0), self.at)
        self.limit.check()
        return news

    def blocked(self) -> Block | None:
        return self.limit.blocked(1, ONE, self.at)

    def trip(self) -> int:
        """Open the breaker; gives how long it stays so."""
        for _ in range(FAILURES):
            news = self.end(self.take(), "down")
        assert [item.what for item in news] == ["tripped"]
        assert news[0].until is not None
        return news[0].until - self.at


def test_five_failures_in_a_row_open_it() -> None:
    story = Story()
    for _ in range(FAILURES - 1):
        assert story.end(story.take(), "down") == []
        assert story.blocked() is None
    story.end(story.take(), "other")
    story.end(story.take(), "refused")
    news = story.end(story.take(), "down")
    until = story.limit.state().breaker.until
    assert 10 * SECOND <= until <= 11 * SECOND
    told = f"m has failed 5 times in a row: not called for {until / SECOND:.1f} s"
    assert news == [News("m", "tripped", told, until)]
    story.at = until - 1
    assert story.blocked() == Block("breaker:m", until)
    story.at = until
    assert story.blocked() is None


def test_an_answer_in_between_begins_the_row_anew() -> None:
    story = Story()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            assert story.end(story.take(), "down") == []
        assert story.end(story.take(), "done") == []


def test_calls_from_before_it_opened_do_not_count_again() -> None:
    story = Story()
    old = [story.take() for _ in range(3 * FAILURES)]
    for key in old[:FAILURES]:
        news = story.end(key, "down")
    assert [item.what for item in news] == ["tripped"]
    state = story.limit.state()
    for key in old[FAILURES : 2 * FAILURES]:
        assert story.end(key, "down") == []
    assert story.limit.state() == state
    story.at = state.breaker.until
    assert [n.what for n in story.end(story.take(), "done")] == ["mended"]
    for key in old[2 * FAILURES :]:
        assert story.end(key, "down") == []
    assert story.blocked() is None


def test_one_call_tries_and_an_answer_mends_it() -> None:
    story = Story()
    story.at += story.trip()
    assert story.blocked() is None
    trial = story.take()
    assert story.blocked() == Block("breaker:m"), "one at a time"
    news = story.end(trial, "done")
    assert news == [News("m", "mended", "m answers again")]
    assert story.blocked() is None
    assert 10 * SECOND <= story.trip() <= 11 * SECOND, "it begins anew"


def test_each_vain_trial_doubles_the_time_up_to_a_longest() -> None:
    story = Story()
    waits = [story.trip()]
    for _ in range(7):
        story.at += waits[-1]
        news = story.end(story.take(), "down")
        assert [item.what for item in news] == ["tripped"]
        assert "has failed again" in news[0].message
        waits.append((news[0].until or 0) - story.at)
    for i, wait in enumerate(waits):
        plain = min(LONGEST, 10 * SECOND * 2**i)
        assert plain <= wait <= plain * 11 // 10
    assert LONGEST == 5 * MINUTE


@pytest.mark.parametrize("kind", get_args(EndingKind))
def test_what_a_trial_tells(kind: EndingKind) -> None:
    story = Story()
    story.at += story.trip()
    news = [item.what for item in story.end(story.take(), kind)]
    # Who refuses is there. A call that was cancelled says nothing: another may try.
    expected = {"done": ["mended"], "refused": ["closed", "mended"], "down": ["tripped"]}
    assert news == expected.get(kind, [])
    assert (story.blocked() is None) == (kind != "down")


def test_a_trial_that_never_left_leaves_the_trial_to_another() -> None:
    story = Story()
    story.at += story.trip()
    trial = story.take()
    assert story.blocked() is not None
    story.limit.release(trial)
    assert story.blocked() is None


def test_a_breaker_belongs_to_what_adapts() -> None:
    story = Story(adaptive=False)
    for _ in range(20):
        assert story.end(story.take(), "down") == []
    assert story.blocked() is None


def test_another_process_hears_of_it_and_of_its_end() -> None:
    story, other = Story(), Limit("m", LimitSpec())
    wait = story.trip()
    other.adopt(story.limit.state())
    assert other.blocked(1, ONE, 1) == Block("breaker:m", wait)
    other.take("x", 1, ONE, wait)
    assert other.blocked(1, ONE, wait) == Block("breaker:m")
    story.at = wait
    story.end(story.take(), "done")
    other.adopt(story.limit.state())
    other.check()
    assert other.blocked(1, ONE, wait) is None
    assert other.settle("x", Ending("done"), wait + 1) == []
