"""Answers to questions that mean nearly the same: found by meaning, said, and never in the way."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tests.engine.kit import Doer, engine, failure, now, only, plan, virtual, waits
from tests.engine.test_memo import answers, asks, finish, saved

from hocket.agents.embeddings import Meaning, unit
from hocket.core.events import CallFinished, CallStarted, Usage
from hocket.core.requests import Cancel, Continue, Pause
from hocket.core.specs import LimitSpec, Rate, RunSpec
from hocket.core.teams import CacheSpec
from hocket.core.values import HOUR, MINUTE, Json
from hocket.engine.engine import Engine
from hocket.engine.memo import Memo
from hocket.journal.memory import MemoryJournal

SEEDS = [None, 1, 2, 3]
EMBED: dict[str, Json] = {"model": "says-what-it-means"}
ASKING = Usage(tokens_in=3, tokens_out=0, cost=20)
# What these texts mean, as directions in a plane.
MEANS = {
    "why?": (1.0, 0.0),
    "why so?": (0.99, 0.1),
    "how come?": (0.9, 0.44),
    "how much?": (0.0, 1.0),
}


class Model:
    """Says what texts mean, after a while."""

    def __init__(self, takes: float = 0.25, usage: Usage | None = ASKING) -> None:
        self.asked: list[str] = []
        self.takes = takes
        self.usage = usage
        self.broken = False

    async def __call__(self, embed: Mapping[str, Json], text: str) -> Meaning:
        assert embed == EMBED
        self.asked.append(text)
        await asyncio.sleep(self.takes)
        if self.broken:
            raise failure("unavailable")
        return Meaning(unit(MEANS[text]), self.usage)


@pytest.fixture(params=SEEDS, ids=str)
def seed(request: pytest.FixtureRequest) -> Any:
    return request.param


def similar(spec: RunSpec, threshold: float = 0.95, **cache: Any) -> RunSpec:
    cached = CacheSpec(mode="similar", threshold=threshold, embed=EMBED, **cache)
    agents = {
        name: msgspec.structs.replace(agent, kind="scripted", options={}, cache=cached)
        for name, agent in spec.agents.items()
    }
    return msgspec.structs.replace(spec, agents=agents)


def made(journal: MemoryJournal, doer: Doer, model: Model) -> Engine:
    found = engine(journal, {"a": doer})
    found._memo = Memo(journal.answers, model)
    return found


def test_a_question_that_means_nearly_the_same_is_given_the_answer(seed: int | None) -> None:
    journal, doer, model = MemoryJournal(), answers(), Model()
    spec = similar(plan(asks("s"), asks("t", "s", question="why so?")))

    async def main() -> None:
        await finish(made(journal, doer, model), spec)
        assert now() == 1.5

    virtual(main, seed)
    assert len(doer.calls) == 1
    assert model.asked == ["why?", "why so?"]
    first, second = only(journal, CallFinished)
    # What was kept is what the call itself gave and spent.
    assert first.usage == Usage(tokens_in=13, tokens_out=5, cost=7_020)
    assert (second.output, second.usage) == ("answer 0", ASKING)
    assert second.saved == Usage(tokens_in=10, tokens_out=5, cost=7_000)
    assert second.notes == ("cut", "kept from a similar question (0.995)")
    assert waits(journal) == {"s#1": [("cache", 0, 0.25)], "t#1": [("cache", 1.25, 1.5)]}


@pytest.mark.parametrize(
    ("question", "threshold", "hit"),
    [
        ("why so?", 0.999, False),
        ("how come?", 0.95, False),
        ("how come?", 0.89, True),
        ("how much?", 0.5, False),
    ],
)
def test_what_is_near_enough_is_stated(question: str, threshold: float, hit: bool) -> None:
    journal, doer = MemoryJournal(), answers()
    spec = similar(plan(asks("s"), asks("t", "s", question=question)), threshold)

    async def main() -> None:
        await finish(made(journal, doer, Model()), spec)

    virtual(main)
    assert saved(journal) == (["t#1"] if hit else [])


def test_the_nearest_one_is_given_and_the_very_same_is_not_compared(seed: int | None) -> None:
    journal, doer, model = MemoryJournal(), answers(), Model()
    spec = similar(
        plan(asks("s"), asks("t", "s", question="how come?"), asks("u", "t", question="why so?"),
             asks("v", "u")),
        0.91,
    )  # fmt: skip

    async def main() -> None:
        await finish(made(journal, doer, model), spec)

    virtual(main, seed)
    outputs = {event.call.path: event.output for event in only(journal, CallFinished)}
    assert outputs == {"s": "answer 0", "t": "answer 1", "u": "answer 0", "v": "answer 0"}
    assert model.asked == ["why?", "how come?", "why so?"]
    assert "similar" not in " ".join(only(journal, CallFinished)[-1].notes)


def test_all_but_the_prompt_must_be_the_very_same() -> None:
    journal, doer = MemoryJournal(), answers()
    other = {"prompt": "why so?", "system": "be short"}
    spec = similar(
        plan(
            asks("s"),
            asks("t", "s", question="why so?", output={"type": "string"}),
            asks("u", "t", question="why so?", options={"temperature": 0.3}),
            asks("v", "u", question=other),
        )
    )

    async def main() -> None:
        await finish(made(journal, doer, Model()), spec)

    virtual(main)
    assert not saved(journal)


def test_only_texts_are_compared() -> None:
    journal, doer, model = MemoryJournal(), answers(), Model()
    spec = similar(plan(asks("s", question={"args": [1]}), asks("t", "s", question={"args": [2]})))

    async def main() -> None:
        await finish(made(journal, doer, model), spec)

    virtual(main)
    assert (model.asked, len(doer.calls)) == ([], 2)


def test_when_nobody_can_say_what_it_means_it_is_asked_and_that_is_said(seed: int | None) -> None:
    journal, doer, model = MemoryJournal(), answers(), Model()
    spec = similar(plan(asks("s"), asks("t", "s", question="why so?")))

    async def main() -> None:
        await finish(made(journal, doer, model), similar(plan(asks("s"))))
        model.broken = True
        await finish(made(journal, doer, model), spec, "r2")

    virtual(main, seed)
    assert len(doer.calls) == 2
    (event,) = [e for e in only(journal, CallFinished, "r2") if e.saved is None]
    assert event.notes == ("cut", "not compared with kept answers: unavailable: it unavailable")
    assert event.usage == Usage(tokens_in=10, tokens_out=5, cost=7_000)


def test_an_unknown_price_of_comparing_hides_no_known_one() -> None:
    journal, doer = MemoryJournal(), answers()
    model = Model(usage=Usage(tokens_in=3, tokens_out=0))

    async def main() -> None:
        await finish(made(journal, doer, model), similar(plan(asks("s"))))

    virtual(main)
    (event,) = only(journal, CallFinished)
    assert event.usage == Usage(tokens_in=13, tokens_out=5, cost=7_000)
    assert "nobody knows what comparing it cost" in event.notes


def test_old_answers_are_not_compared(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    spec = similar(plan(asks("s")), ttl=MINUTE)

    async def main() -> None:
        engine_ = made(journal, doer, Model())
        await finish(engine_, spec)
        await asyncio.sleep(61)
        again = plan(asks("s", question="why so?"))
        await finish(engine_, similar(again, ttl=MINUTE), "r2")

    virtual(main, seed)
    assert not saved(journal, "r2")


def test_one_who_is_being_compared_may_be_cancelled(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()

    async def main() -> None:
        driven = await made(journal, doer, Model(10)).start(
            similar(plan(asks("s"))), {}, run="r", seed=1
        )
        await asyncio.sleep(1)
        assert [queue.cause for queue in driven.queued] == ["cache"]
        driven.ask(Cancel(by="me"))
        assert (await driven.settled()).said == "cancelled"
        assert now() == 1

    virtual(main, seed)
    assert not doer.calls and not only(journal, CallStarted)


def test_a_pause_while_it_is_compared_is_kept(seed: int | None) -> None:
    journal, doer = MemoryJournal(), answers()
    tight = LimitSpec(requests=(Rate(1, HOUR),), shared=False)
    more: dict[str, Any] = {"limits": {"tight": tight}, "claims": ["tight"]}
    spec = similar(
        plan(asks("x", question="how much?"), asks("s", "x", question="why so?"), **more)
    )

    async def main() -> None:
        engine_ = made(journal, doer, Model(1.0))
        await finish(engine_, similar(plan(asks("s"))))
        driven = await engine_.start(spec, {}, run="r2", seed=1)
        await asyncio.sleep(2.5)
        driven.ask(Pause(by="me"))
        await asyncio.sleep(5)
        assert len(only(journal, CallStarted, "r2")) == 1
        driven.ask(Continue(by="me"))
        assert (await driven.settled()).said == "succeeded"
        assert now() == 9.5

    virtual(main, seed)
    assert saved(journal, "r2") == ["s#1"]


def test_a_mistake_in_comparing_stops_the_run_and_is_not_lost() -> None:
    journal, doer = MemoryJournal(), answers()

    class Wrong(Model):
        async def __call__(self, embed: Mapping[str, Json], text: str) -> Meaning:
            raise RuntimeError("a mistake of ours")

    async def main() -> None:
        driven = await made(journal, doer, Wrong()).start(
            similar(plan(asks("s"))), {}, run="r", seed=1
        )
        with pytest.raises(RuntimeError, match="a mistake of ours"):
            await driven.settled()

    virtual(main)
