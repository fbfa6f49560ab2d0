"""What a call on another machine says comes home in order, once, and with its age."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest
from tests.agents.context import FakeContext, request
from tests.cluster.test_place import node

from hocket.agents.base import Agent, Context, Reply, Request
from hocket.app.adapters import room
from hocket.cluster import remote as remotely
from hocket.cluster.frames import (
    Batch,
    Emitted,
    Failed,
    Finished,
    Order,
    Outbox,
    Sent,
    Spent,
    batch_of,
    encode,
    reply_of,
)
from hocket.cluster.hands import FORGET, REMEMBER, Hands
from hocket.cluster.remote import OnCluster, RemoteAgent
from hocket.cluster.seat import Gone, Seated
from hocket.cluster.workers import Need, Worker, Workers
from hocket.core.errors import AgentError, Fault, Refused, WorkerLost
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec, PlaceSpec
from hocket.simulator.loop import run_virtual

T = TypeVar("T")


def virtual(work: Any) -> Any:
    return run_virtual(work, seed=1)


def clock() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


def outbox() -> Outbox:
    return Outbox(clock)


def end(output: Any = "done") -> Finished:
    return Finished(msgspec.Raw(encode(Reply(output=output))))


async def after(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    await asyncio.sleep(seconds)
    return await work


def test_a_short_call_is_one_batch() -> None:
    async def main() -> Batch:
        box = outbox()
        asyncio.get_running_loop().call_later(0.02, box.say, Emitted("hi", "out"))
        asyncio.get_running_loop().call_later(0.03, box.say, end({"a": [1, None]}))
        batch = batch_of(await box.batch(0))
        assert clock() == 30_000_000, "nothing waits behind the end"
        return batch

    batch = virtual(main)
    assert batch.number == 1
    first, last = batch.said
    assert first == Emitted("hi", "out")
    assert reply_of(last.reply) == Reply(output={"a": [1, None]})


def test_what_is_said_is_gathered_for_a_while() -> None:
    async def main() -> list[Batch]:
        box, loop = outbox(), asyncio.get_running_loop()
        for number in range(12):
            loop.call_later(0.01 * number, box.say, Emitted(str(number), "out"))
        loop.call_later(0.5, box.say, end())
        batches: list[Batch] = []
        while not box.over:
            batches.append(batch_of(await box.batch(len(batches))))
        return batches

    batches = virtual(main)
    said = [one for batch in batches for one in batch.said]
    assert [one.text for one in said[:-1]] == [str(number) for number in range(12)]
    assert [len(batch.said) for batch in batches] == [6, 6, 1], "the end waits for nothing"


def test_a_batch_that_was_lost_on_its_way_is_told_again() -> None:
    async def main() -> None:
        box = outbox()
        box.say(Emitted("one", "out"))
        first = await box.batch(0)
        box.say(Emitted("two", "out"))
        assert await box.batch(0) == first
        both = await asyncio.gather(box.batch(1), box.batch(1))
        assert both[0] == both[1]
        assert batch_of(both[0]) == Batch(2, clock(), (Emitted("two", "out"),))
        box.say(end())
        last = await box.batch(2)
        assert await box.batch(2) == last

    virtual(main)


def test_who_has_nothing_to_say_says_so() -> None:
    async def main() -> None:
        box = outbox()
        assert batch_of(await box.batch(0)) == Batch(1, 10_000_000_000)

    virtual(main)


def test_the_age_of_a_request_can_be_told() -> None:
    async def main() -> None:
        box = outbox()
        await asyncio.sleep(3)
        box.sent(0)
        batch = batch_of(await box.batch(0))
        (sent,) = batch.said
        assert isinstance(sent, Sent)
        assert batch.now - sent.at == 50_000_000, "it waited for what else there was to say"

    virtual(main)


def test_nothing_is_said_behind_the_end() -> None:
    async def main() -> None:
        box = outbox()
        box.say(end())
        box.say(Spent(Usage(tokens_in=1)))
        assert len(batch_of(await box.batch(0)).said) == 1

    virtual(main)


# ---- a supervisor that stands still ----

BEGUN: list[str] = []


class Slow:
    """Makes an agent that takes an hour, and is that agent."""

    def hire(self, name: str, spec: AgentSpec) -> Slow:
        return self

    async def call(self, request: Request, context: Context) -> Reply:
        BEGUN.append(str(request.call))
        await asyncio.sleep(3600)
        return Reply(output="done")


class Still:
    """A seat whose first answer is lost, as its asker was stopped for longer than it is kept."""

    def __init__(self, hands: Hands, stopped: float) -> None:
        self._hands = hands
        self._stopped = stopped
        self._lost: asyncio.Future[Any] | None = None

    async def ask(self, method: str, *args: Any) -> Any:
        asking = asyncio.ensure_future(getattr(self._hands, method)(*args))
        if self._lost is None:
            self._lost = asking
            await asyncio.sleep(self._stopped)
        return await asking

    async def alive(self, patience: float) -> bool:
        await asyncio.sleep(self._stopped)
        return True


class Staff:
    """The workers of a supervisor: one."""

    silence = 30.0

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def take(self, need: Need, context: Context) -> Worker:
        return self._worker

    def free(self, worker: Worker, need: Need) -> None:
        return

    def drop(self, worker: Worker) -> None:
        return


@pytest.mark.parametrize("stopped", [FORGET / 2, FORGET * 2])
def test_a_call_whose_supervisor_stood_still_is_not_done_twice(
    stopped: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> Any:
        hands = Hands(f"{__name__}:Slow")
        worker = Worker(cast(Seated, Still(hands, stopped)), node("a"), PlaceSpec())
        spec = AgentSpec(kind="command", options={"command": ["true"]})
        here, staff = cast(Agent, Slow()), cast(Workers, Staff(worker))
        remote = RemoteAgent("agent", spec, here, staff, partial(room, spec))
        try:
            return (await remote.call(request(), FakeContext())).output
        except WorkerLost as lost:
            return str(lost)

    BEGUN.clear()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    end = virtual(main)
    assert len(BEGUN) == 1
    if stopped < FORGET:
        assert end == "done"
    else:
        assert "nobody has asked for it for too long" in end, "nobody knows how far it came"


def order(*ended: str) -> bytes:
    spec = AgentSpec(kind="command", options={"command": ["true"]})
    return encode(Order("crew", "agent", spec, (), request(), ended))


class Prompt(Slow):
    """The same, but it is done at once."""

    async def call(self, request: Request, context: Context) -> Reply:
        BEGUN.append(str(request.call))
        return Reply(output="done")


def test_what_was_given_up_is_known_as_such_for_a_while_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        hands = Hands(f"{__name__}:Prompt")
        for call in ("a", "b"):
            await hands.call(call, order())
        await asyncio.sleep(FORGET * 2)
        for call in ("a", "b"):
            with pytest.raises(Refused):
                await hands.call(call, order())
        assert len(BEGUN) == 2
        await hands.call("c", order("a"))
        # Who says that it has ended will not ask for it again: nothing of it need be kept.
        await hands.call("a", order())
        with pytest.raises(Refused):
            await hands.call("b", order())
        await asyncio.sleep(REMEMBER * 2)
        await hands.call("b", order())
        assert len(BEGUN) == 5

    BEGUN.clear()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    virtual(main)


# ---- how often a call was lost ----


class Fates:
    """A seat at which one thing after another befalls its calls."""

    def __init__(self, *fates: Finished | Failed | Exception) -> None:
        self._fates = list(fates)

    async def ask(self, method: str, *args: Any) -> Any:
        fate = self._fates.pop(0)
        if isinstance(fate, Exception):
            raise fate
        return encode(Batch(1, 0, (fate,)))


def test_a_call_is_lost_for_good_when_it_was_lost_several_times_in_a_row() -> None:
    lost, failed = Gone("killed"), Failed(Fault(kind="failed", message="no"))
    given_up = Refused("nobody has asked for it for too long")

    async def main() -> list[str]:
        fates = Fates(lost, lost, failed, lost, given_up, end(), lost, lost, lost, lost)
        worker = Worker(cast(Seated, fates), node("a"), PlaceSpec())
        spec = AgentSpec(kind="command", options={"command": ["true"]})
        here, staff = cast(Agent, Slow()), cast(Workers, Staff(worker))
        remote = RemoteAgent("agent", spec, here, staff, partial(room, spec))
        ends = []
        for _ in range(10):
            try:
                ends.append(str((await remote.call(request(), FakeContext())).output))
            except WorkerLost:
                ends.append("again")
            except AgentError as error:
                ends.append(error.fault.kind)
        return ends

    three = ["again", "again", "lost"]
    assert virtual(main) == ["again", "again", "failed", "again", "again", "done", *three, "again"]


def test_a_cluster_that_goes_while_it_is_connected_to_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Going:
        closed = False

        def nodes(self) -> Any:
            raise Refused("the cluster does not answer")

        def close(self) -> None:
            self.closed = True

    going = Going()
    monkeypatch.setattr(remotely, "connect", lambda address: going)
    with pytest.raises(Refused, match="does not answer"):
        OnCluster("local", "work:Crew")
    assert going.closed
