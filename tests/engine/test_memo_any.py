"""Kept answers under whatever happens: nobody waits for ever, and all get what they asked for."""

import asyncio
import itertools
import random
from typing import Any

import msgspec
import pytest
from tests.engine.kit import Doer, engine, failure, only, plan, virtual
from tests.engine.test_memo import asks
from tests.engine.test_similar import EMBED, Model

from hocket.agents.base import Context, Request
from hocket.core.errors import Refused
from hocket.core.events import CallFinished, CallStarted
from hocket.core.requests import Cancel, Continue, Pause
from hocket.core.specs import LimitSpec, Rate, Retry, RunSpec, StepSpec
from hocket.core.teams import CacheSpec
from hocket.core.values import SECOND, Json
from hocket.engine.engine import Run
from hocket.engine.memo import Memo
from hocket.journal.memory import MemoryJournal

QUESTIONS = ("why?", "why so?", "how much?")
RUNS = 5


def spec(chance: random.Random) -> RunSpec:
    steps: list[StepSpec] = []
    for number in range(chance.randint(2, 6)):
        needs = [steps[-1].name] if steps and chance.random() < 0.4 else []
        retry = Retry(tries=chance.randint(1, 3), first=SECOND // 4)
        question = chance.choice(QUESTIONS)
        more: dict[str, Any] = {"retry": retry, "on_failure": "continue", "timeout": 2 * SECOND}
        steps.append(asks(f"s{number}", *needs, question=question, **more))
    limits = {
        "own": LimitSpec(requests=(Rate(2, SECOND),), shared=False),
        "all": LimitSpec(concurrency=chance.randint(1, 3), shared=chance.random() < 0.5),
    }
    claims = chance.choice([[], ["own"], ["all"], ["own", "all"]])
    made = plan(*steps, limits=limits, claims=claims, max_parallel=chance.randint(1, 4))
    mode = "similar" if chance.random() < 0.3 else "exact"
    cache = CacheSpec(
        mode=mode,  # type: ignore[arg-type]
        ttl=chance.choice([None, SECOND, 3 * SECOND]),
        embed=EMBED if mode == "similar" else {},
    )
    agents = {
        name: msgspec.structs.replace(agent, kind="scripted", options={}, cache=cache)
        for name, agent in made.agents.items()
    }
    return msgspec.structs.replace(made, agents=agents)


def agent(chance: random.Random) -> Doer:
    async def do(request: Request, context: Context) -> Json:
        await asyncio.sleep(chance.choice([0, 0.1, 1, 3]))
        if chance.random() < 0.3:
            raise failure(chance.choice(["failed", "invalid_output", "permanent", "rate_limited"]))
        return {"of": request.input}

    return Doer(do)


async def disturb(run: Run, chance: random.Random) -> None:
    """Do what people do, while they can."""
    try:
        for _ in range(chance.randint(0, 2)):
            await asyncio.sleep(chance.random() * 2)
            run.ask(Pause(by="me"))
            await asyncio.sleep(chance.random() * 2)
            run.ask(Continue(by="me"))
        if chance.random() < 0.2:
            await asyncio.sleep(chance.random())
            run.ask(Cancel(by="me", hard=chance.random() < 0.5))
    except Refused:
        # It was over before.
        return


@pytest.mark.parametrize("seed", range(150))
def test_every_run_comes_to_an_end_and_is_given_what_it_asked(seed: int) -> None:
    chance = random.Random(seed)
    journal = MemoryJournal(latency=chance.choice([None, 0.05]))
    doer, model = agent(chance), Model(chance.choice([0.0, 0.3]))
    model.broken = chance.random() < 0.2
    made = engine(journal, {"a": doer})
    memo = made._memo = Memo(journal.answers, model)
    specs = [spec(chance) for _ in range(RUNS)]

    async def one(number: int) -> None:
        await asyncio.sleep(chance.random() * 3)
        run = await made.start(specs[number], {}, run=f"r{number}", seed=number)
        if chance.random() < 0.1:
            await asyncio.sleep(chance.random())
            await run.stop()
            if run.machine.phase != "ended":
                run = await made.resume(f"r{number}")
        disturbed = asyncio.create_task(disturb(run, chance))
        async with asyncio.timeout(300):
            machine = await run.settled()
        await disturbed
        assert machine.said in {"succeeded", "failed", "cancelled"}

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(RUNS)))

    virtual(main, seed)
    # Nobody is left behind.
    assert (memo._places, memo._fresh) == ({}, {})
    for number in range(RUNS):
        begun = {event.call: event for event in only(journal, CallStarted, f"r{number}")}
        asked = {step.name: step.input for step in specs[number].workflow.steps}
        for event in only(journal, CallFinished, f"r{number}"):
            given, wanted = event.output["of"], asked[event.call.path]
            near = any("similar" in note for note in event.notes)
            assert given == wanted or (near and {given, wanted} == {"why?", "why so?"})
            waits = begun[event.call].waits
            for earlier, later in itertools.pairwise(waits):
                assert earlier.since < earlier.until <= later.since
