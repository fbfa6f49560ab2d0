"""What kept answers have saved, counted and in words."""

from typing import Any

import pytest

from hocket.core.events import (
    AnyEvent,
    CallFinished,
    CallLost,
    CallStarted,
    RunStarted,
    SpecReplaced,
    Usage,
)
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.teams import CacheSpec
from hocket.core.values import Call
from hocket.insight.tally import Tally
from hocket.report.story import Story
from hocket.report.text import cause_words, kept_words, spent_words

CENT = 10_000_000_000


def spec(cache: CacheSpec | None = CacheSpec()) -> RunSpec:  # noqa: B008 - a frozen value
    agents = {"a": AgentSpec(kind="model", cache=cache), "b": AgentSpec(kind="model")}
    return RunSpec(
        workflow=PlanSpec(name="p", steps=(StepSpec(name="s", agent="a"),)), agents=agents
    )


def begun(told: RunSpec | None = None) -> RunStarted:
    return RunStarted(
        at=0, run="r", spec=told or spec(), digest="", inputs={}, seed=1, versions={}, program=""
    )


def call(number: int, agent: str = "a", **end: Any) -> list[AnyEvent]:
    name = Call(f"s{number}", 1)
    return [CallStarted(at=1, call=name, agent=agent), CallFinished(at=2, call=name, **end)]


def used(cost: int | None = CENT, **more: Any) -> Usage:
    return Usage(tokens_in=100, tokens_out=20, cost=cost, **more)


def test_hits_misses_and_what_was_saved_are_counted() -> None:
    tally = Tally(
        [begun(), *call(1, usage=used()), *call(2, saved=used()), *call(3, saved=used()),
         *call(4, agent="b", usage=used(tokens_cached=60))]
    )  # fmt: skip
    assert (tally.started, tally.finished, tally.made) == (4, 4, 2)
    assert (tally.kept, tally.missed) == (2, 1)
    assert (tally.saved, tally.saved_tokens) == (2 * CENT, 240)
    assert (tally.cost, tally.tokens_in, tally.tokens_cached) == (2 * CENT, 200, 60)
    assert spent_words(tally) == "2 calls · 200 (60 cached) + 40 tokens · $0.02"
    assert kept_words(tally) == "2 answers kept from earlier, $0.02 saved"


def test_what_it_took_to_compare_a_question_is_spent() -> None:
    tally = Tally([begun(), *call(1, saved=used(), usage=Usage(tokens_in=7, cost=5))])
    assert (tally.cost, tally.tokens_in, tally.saved) == (5, 7, CENT)


def test_a_hit_that_was_lost_in_a_crash_had_to_be_made() -> None:
    tally = Tally([begun(), call(1)[0], CallLost(at=3, call=Call("s1", 1))])
    assert (tally.kept, tally.missed, tally.made) == (0, 1, 1)


def test_a_changed_plan_says_whose_answers_are_kept_from_then_on() -> None:
    changed = SpecReplaced(at=3, spec=spec(None), digest="")
    tally = Tally([begun(), *call(1, usage=used()), changed, *call(2, usage=used())])
    assert tally.missed == 1


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ([], ""),
        ([Usage()], "1 answer kept from earlier"),
        ([used(None)], "1 answer kept from earlier, 120 tokens saved"),
        ([used(), used(None)], "2 answers kept from earlier, $0.01 saved"),
    ],
    ids=str,
)
def test_what_was_saved_is_said_as_far_as_it_is_known(saved: list[Usage], words: str) -> None:
    events = [event for number, usage in enumerate(saved) for event in call(number, saved=usage)]
    assert kept_words(Tally([begun(), *events])) == words


def test_the_story_says_that_an_answer_was_not_asked_for() -> None:
    story = Story()
    _, hit = (story.tell(event) for event in call(1, saved=used(), notes=("cut",)))
    assert hit == (
        "s1#1 finished with an answer kept from earlier, which took 100 + 20 tokens, $0.01; cut"
    )
    _, free = (story.tell(event) for event in call(1, saved=Usage()))
    assert free == "s1#1 finished with an answer kept from earlier"
    _, made = (story.tell(event) for event in call(1, usage=used()))
    assert "kept" not in made


def test_the_wait_for_the_same_question_has_words() -> None:
    assert cause_words("cache") == "the answer to the same question"
