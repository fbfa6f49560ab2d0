"""Calls that workers on a cluster do, as their supervisor sees them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.agents.context import FakeContext
from tests.agents.provider_server import ProviderServer, stream
from tests.cluster.bench import ROOT, Bench, agent

import hocket
from hocket._version import __version__
from hocket.agents.base import Request
from hocket.app.load import load_plan
from hocket.cluster.workers import Workers
from hocket.core.errors import AgentError, WorkerLost
from hocket.core.events import CallFinished, CallLost, CallStarted
from hocket.core.specs import PlaceSpec
from hocket.core.values import Call, FileRef, Json

pytestmark = pytest.mark.slow
WORK = "tests.cluster.work"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench({"tag:blue": 1})
    yield made
    made.close()


@asynccontextmanager
async def working(bench: Bench, **how: Any) -> AsyncIterator[Workers]:
    workers = bench.workers(**how)
    try:
        yield workers
    finally:
        await workers.close()


def asked(given: Json, path: str = "step") -> Request:
    return Request(run="run", call=Call(path, 1), agent="agent", input=given)


async def seen(there: Callable[[], bool]) -> None:
    """Wait until something is so, while the loop goes on."""
    async with asyncio.timeout(30):
        while not there():  # noqa: ASYNC110 - what it waits for is a process's, or a list's
            await asyncio.sleep(0.02)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(90):
            await work()

    asyncio.run(whole())


def test_calls_of_every_kind_are_done_in_another_process(bench: Bench) -> None:
    async def main() -> None:
        async with working(bench) as workers, ProviderServer(stream("Hello")) as provider:
            context = FakeContext()
            function = agent(workers, "function", ref=f"{WORK}:where")
            first = await function.call(asked({"number": 7}), context)
            again = await function.call(asked({"number": 8}, "other"), context)
            assert first.output["number"] == 7
            assert first.output["pid"] == again.output["pid"] != os.getpid(), "one worker"

            command = agent(workers, "command", command=["sh", "-c", "echo $PPID; echo no >&2"])
            reply = await command.call(asked(None), context)
            assert int(reply.output) == first.output["pid"]
            assert ("err", "no\n") in context.shown

            scripted = agent(workers, "scripted", replies=[{"output": "hi {prompt}"}])
            assert (await scripted.call(asked("you"), context)).output == "hi you"

            model = agent(
                workers,
                "model",
                model="openai:test",
                base_url=f"{provider.url}/v1",
                price={"in": 1.0, "out": 2.0},
                stream=True,
            )
            context = FakeContext()
            reply = await model.call(asked("hello?"), context)
            assert reply.output == "Hello"
            assert reply.usage is not None and reply.usage.tokens_out == 7
            assert "".join(text for name, text in context.shown if name == "out") == "Hello"
            assert model.announces and context.sent_after == [0] and context.answers
            await asyncio.gather(*(one.close() for one in (function, command, scripted, model)))

    run(main)


def test_failures_come_home_as_they_are(bench: Bench) -> None:
    async def main() -> None:
        async with working(bench) as workers:
            with pytest.raises(AgentError) as failed:
                await agent(workers, "function", ref=f"{WORK}:fails").call(
                    asked(None), FakeContext()
                )
            assert failed.value.fault.kind == "failed"
            assert "no luck" in failed.value.fault.message
            assert "work.py" in failed.value.fault.detail
            with pytest.raises(AgentError, match="nowhere"):
                await agent(workers, "function", ref="nowhere:f").call(asked(None), FakeContext())

    run(main)


def test_text_comes_in_order_and_in_time_and_large_outputs_whole(bench: Bench) -> None:
    async def main() -> None:
        async with working(bench) as workers:
            context = FakeContext()
            talks = agent(workers, "function", ref=f"{WORK}:talks")
            calling = asyncio.create_task(talks.call(asked({"count": 2_000}), context))
            await seen(lambda: bool(context.shown))
            assert not calling.done(), "what it says comes before its end"
            await calling
            assert [int(text) for _, text in context.shown] == list(range(2_000))
            assert context.shown[3][0] == "err"
            big = agent(workers, "function", ref=f"{WORK}:big")
            reply = await big.call(asked({"size": 5_000_000}), context)
            assert len(reply.output) == 5_000_000

    run(main)


def test_files_travel_both_ways(bench: Bench, tmp_path: Path) -> None:
    async def main() -> None:
        async with working(bench) as workers:
            context = FakeContext(tmp_path)
            text = "all is well " * 500_000
            made = await agent(workers, "function", ref=f"{WORK}:report").call(
                asked({"text": text}), context
            )
            ref = made.output
            assert ref["name"] == "report.txt" and ref["size"] == len(text)
            assert (tmp_path / ref["digest"]).read_text() == text
            read = agent(workers, "function", ref=f"{WORK}:read")
            reply = await read.call(asked({"path": ref}), context)
            assert reply.output["text"] == text and reply.output["name"] == "report.txt"
            assert reply.output["pid"] != os.getpid()
            gone = {**ref, "digest": "0" * 64}
            with pytest.raises(AgentError):
                await read.call(asked({"path": gone}), Unstored())

    run(main)


class Unstored(FakeContext):
    """A context that knows no file."""

    async def fetch(self, ref: FileRef) -> Path:
        raise hocket_fault("there is no such file")


def hocket_fault(message: str) -> AgentError:
    from hocket.agents.output import fault

    return fault("permanent", message)


def test_people_are_asked_by_the_supervisor(bench: Bench) -> None:
    async def main() -> None:
        async with working(bench) as workers:
            context = FakeContext()
            asks = agent(workers, "function", ref=f"{WORK}:asks")
            assert (await asks.call(asked(None), context)).output == [True, "approved by anna"]
            assert context.asked == ["may I?"]

    run(main)


def test_a_cancelled_call_has_ended_on_its_node(bench: Bench, tmp_path: Path) -> None:
    async def main() -> None:
        async with working(bench) as workers:
            said = tmp_path / "pids"
            script = f"echo $$ >> {said}; exec sleep 600"
            command = agent(workers, "command", command=["sh", "-c", script], grace="5s")
            calling = asyncio.create_task(command.call(asked(None), FakeContext()))
            await seen(lambda: said.exists() and said.read_text().endswith("\n"))
            pid = int(said.read_text())
            os.kill(pid, 0)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
            # One that does not heed TERM ends at once where it must.
            stubborn = f"trap '' TERM; echo $$ >> {said}; while :; do sleep 0.1; done"
            said.unlink()
            command = agent(workers, "command", command=["sh", "-c", stubborn], grace="600s")
            context = FakeContext()
            calling = asyncio.create_task(command.call(asked(None), context))
            await seen(lambda: said.exists() and said.read_text().endswith("\n"))
            calling.cancel()
            await asyncio.sleep(0)
            context.hard = True
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            with pytest.raises(ProcessLookupError):
                os.kill(int(said.read_text()), 0)

    run(main)


def test_a_dead_worker_loses_its_calls_in_flight_and_no_other(bench: Bench) -> None:
    async def main() -> None:
        async with working(bench) as workers:
            nap = agent(workers, "function", ref=f"{WORK}:nap")
            pid = (await nap.call(asked({"seconds": 0.0}), FakeContext())).output
            contexts = [FakeContext() for _ in range(5)]
            calls = [
                asyncio.create_task(nap.call(asked({"seconds": 600.0}, f"s{i}"), context))
                for i, context in enumerate(contexts)
            ]
            await seen(lambda: sum(worker.calls for worker in workers.there) == 5)
            os.kill(pid, signal.SIGKILL)
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(end) for end in ends] == [WorkerLost] * 5
            assert all("is gone" in context.shown[-1][1] for context in contexts)
            other = (await nap.call(asked({"seconds": 0.0}), FakeContext())).output
            assert other != pid, "another worker has taken its place"

    run(main)


def test_what_kills_every_worker_fails_in_the_end(bench: Bench) -> None:
    async def main() -> None:
        async with working(bench) as workers:
            dies = agent(workers, "function", ref=f"{WORK}:dies")
            for _ in range(2):
                with pytest.raises(WorkerLost):
                    await dies.call(asked(None), FakeContext())
            with pytest.raises(AgentError, match="3 workers in a row") as failed:
                await dies.call(asked(None), FakeContext())
            assert failed.value.fault.kind == "lost"

    run(main)


def test_a_worker_that_is_busy_is_not_gone_and_one_that_hangs_is(bench: Bench) -> None:
    async def main() -> None:
        async with working(bench, silence=1.5) as workers:
            block = agent(workers, "function", ref=f"{WORK}:block")
            nap = agent(workers, "function", ref=f"{WORK}:nap")
            pid = (await block.call(asked({"seconds": 3.0}), FakeContext())).output
            calling = asyncio.create_task(nap.call(asked({"seconds": 600.0}), FakeContext()))
            await seen(lambda: sum(worker.calls for worker in workers.there) == 1)
            os.kill(pid, signal.SIGSTOP)
            with pytest.raises(WorkerLost, match="has said nothing"):
                await calling
            os.kill(pid, signal.SIGKILL)
            other = (await nap.call(asked({"seconds": 0.0}), FakeContext())).output
            assert other != pid, "another worker has taken its place"

    run(main)


PLAN = """
version: 1
plans:
  p:
    steps:
      pure: {{call: "tests.cluster.work:note", with: {{path: {pure}, seconds: {seconds}}}}}
      done: {{command: [sh, -c, "echo $PPID >> {effects}; sleep {seconds}"]}}
"""


def test_a_run_repeats_what_is_pure_and_holds_what_has_effects(
    bench: Bench, tmp_path: Path
) -> None:
    pure, effects, file = tmp_path / "pure", tmp_path / "effects", tmp_path / "hocket.yaml"
    file.write_text(PLAN.format(pure=pure, effects=effects, seconds=2))

    async def main() -> None:
        async with hocket.Engine(memory=True, cluster=bench.address) as engine:
            async with await engine.begin(load_plan(file), {}, stay=False, wait=False) as going:
                await seen(lambda: pure.exists() and effects.exists() and effects.stat().st_size)
                pids = {int(pure.read_text()), int(effects.read_text())}
                assert len(pids) == 1, "both are done by one worker"
                os.kill(pids.pop(), signal.SIGKILL)
                result = await going.result()
                events = [one.event for one in engine.journal.read(going.id)]
            assert result.status == "paused" and [job.path for job in going.machine.calls.held()]
        lost = sorted(str(e.call) for e in events if isinstance(e, CallLost))
        assert lost == ["done#1", "pure#1"]
        started = sorted(str(e.call) for e in events if isinstance(e, CallStarted))
        assert started == ["done#1", "pure#1", "pure#2"]
        assert [str(e.call) for e in events if isinstance(e, CallFinished)] == ["pure#2"]
        assert len(pure.read_text().split()) == 2 and len(effects.read_text().split()) == 1

    run(main)


def test_functions_that_a_program_hands_over_stay_in_it(bench: Bench) -> None:
    plan = hocket.Plan("here")
    plan.call("pid", os.getpid)

    async def main() -> None:
        async with hocket.Engine(memory=True, cluster=bench.address) as engine:
            result = await engine.run(plan)
        assert result["pid"] == os.getpid()

    run(main)


def test_a_place_is_on_a_node_that_offers_it_also_one_that_joins(bench: Bench) -> None:
    async def main() -> None:
        async with working(bench, patience=60.0) as workers:
            blue = agent(workers, "function", PlaceSpec(tags=("blue",)), ref=f"{WORK}:where")
            await blue.call(asked({"number": 1}), FakeContext())
            red = agent(workers, "function", PlaceSpec(tags=("red",)), ref=f"{WORK}:nap")
            context = FakeContext()
            calling = asyncio.create_task(red.call(asked({"seconds": 0.0}), context))
            await seen(lambda: bool(context.shown))
            said = context.shown[0][1]
            assert "no node offers tag red" in said and "tag blue" in said
            assert "--resources='{\"tag:red\": 1}'" in said
            node = bench.join("red", {"tag:red": 1})
            await calling
            (there,) = [worker for worker in workers.there if "red" in worker.node.tags]
            assert there.node.id != blue_node(workers)
            # It dies, and what it does is lost, long before Ray has noticed.
            calling = asyncio.create_task(red.call(asked({"seconds": 600.0}), context))
            await seen(lambda: there.calls == 1)
            bench.end(node)
            with pytest.raises(WorkerLost):
                await calling

    run(main)


def test_a_place_that_nobody_offers_is_not_waited_for_for_ever(bench: Bench) -> None:
    async def main() -> None:
        async with working(bench, patience=1.0) as workers:
            place = PlaceSpec(gpu=2, tags=("green",))
            green = agent(workers, "function", place, ref=f"{WORK}:nap")
            with pytest.raises(AgentError, match="no node offers gpu 2 and tag green") as failed:
                await green.call(asked({"seconds": 0.0}), FakeContext())
            assert failed.value.fault.kind == "unavailable"

    run(main)


def blue_node(workers: Workers) -> str:
    return next(worker.node.id for worker in workers.there if "blue" in worker.node.tags)


def test_what_asks_for_cores_gets_a_worker_for_each_call_and_the_others_wait(bench: Bench) -> None:
    async def main() -> None:
        async with working(bench) as workers:
            place = PlaceSpec(cpu=1, tags=("blue",))
            nap = agent(workers, "function", place, ref=f"{WORK}:nap")
            most = 0

            async def watched() -> None:
                nonlocal most
                while True:
                    most = max(most, sum(worker.calls for worker in workers.there))
                    assert all(worker.calls <= 1 for worker in workers.there)
                    await asyncio.sleep(0.01)

            watching = asyncio.create_task(watched())
            calls = [nap.call(asked({"seconds": 0.1}, f"s{i}"), FakeContext()) for i in range(8)]
            pids = {reply.output for reply in await asyncio.gather(*calls)}
            watching.cancel()
            assert len(pids) == 2 == most, "the head has two cores"

    run(main)


def test_a_node_of_another_version_is_refused_by_name(bench: Bench, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "hocket", tmp_path / "hocket")
    (tmp_path / "hocket" / "_version.py").write_text('__version__ = "0.0.1"\n')

    async def main() -> None:
        node = bench.join("old", {"tag:old": 1}, {"PYTHONPATH": str(tmp_path)})
        async with working(bench, patience=60.0) as workers:
            old = agent(workers, "function", PlaceSpec(tags=("old",)), ref=f"{WORK}:where")
            with pytest.raises(AgentError) as refused:
                await old.call(asked({"number": 1}), FakeContext())
            said = refused.value.fault
            assert said.kind == "permanent"
            for part in (socket.gethostname(), "Hocket 0.0.1", __version__, "pip install"):
                assert part in said.message
        bench.end(node)

    run(main)
