"""Who does a call: what nodes offer, what each does already, and who comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from tests.agents.context import FakeContext

import hocket
from hocket.app.adapters import ELSEWHERE, room
from hocket.app.load import load_plan
from hocket.cluster import grounds
from hocket.cluster import workers as module
from hocket.cluster.connection import Connection, Node, Renewed
from hocket.cluster.placing import fits, free, lacking
from hocket.cluster.seat import Gone
from hocket.cluster.versions import Hello, hello
from hocket.cluster.workers import Need, Worker, Workers
from hocket.core.errors import AgentError, Refused, SpecError
from hocket.core.specs import AgentSpec, PlaceSpec


def node(name: str, *tags: str, leaving: bool = False, **resources: float) -> Node:
    return Node(
        id=name,
        host=name,
        address="10.0.0.1",
        port=1,
        resources={"CPU": 4.0, **resources},
        tags=frozenset(tags),
        leaving=leaving,
    )


class Cloud:
    """Nodes that come and go, and processes on them that are nothing but names."""

    def __init__(self, *nodes: Node) -> None:
        self.here = hello("2.60.0")
        self.there = list(nodes)
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.broken: dict[str, Exception] = {}
        self.held: set[str] = set()
        """Nodes whose cores other processes hold."""
        self.anew = False
        """Whether its head has begun anew, and has not been joined again."""

    def nodes(self) -> list[Node]:
        if self.anew:
            raise Renewed("another head answers")
        return list(self.there)

    def leave(self) -> None:
        self.anew = False

    def close(self) -> None:
        return

    def begin(self, entry: str, options: Any, *, node: str, place: PlaceSpec) -> Process:
        self.begun.append(node)
        return Process(self, node)


class Process:
    """Stands for a process on a node."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self._cloud = cloud
        self._name = name

    async def hello(self, here: Hello) -> Hello:
        await asyncio.sleep(0)
        while self._name in self._cloud.held:  # noqa: ASYNC110 - it stands for a queue of Ray
            await asyncio.sleep(0.01)
        if self._name in self._cloud.broken:
            raise self._cloud.broken[self._name]
        return here

    async def ask(self, method: str, *args: object) -> None:
        return

    def end(self) -> None:
        self._cloud.ended.append(self._name)


async def _stands(node: Node) -> bool:
    return False


@pytest.fixture
def staffed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Cloud, Workers]]:
    def made(*nodes: Node, patience: float = 60.0) -> tuple[Cloud, Workers]:
        cloud = Cloud(*nodes)
        monkeypatch.setattr(module, "begin", cloud.begin)
        monkeypatch.setattr(module, "has_ended", _stands)
        monkeypatch.setattr(module, "crowded", lambda node, place: node.id in cloud.held)
        return cloud, Workers(cast(Connection, cloud), ELSEWHERE, patience=patience)

    return made


Staffed = Callable[..., tuple[Cloud, Workers]]


def need(place: PlaceSpec | None = None, kind: Any = "model", **options: Any) -> Need:
    spec = AgentSpec(kind=kind, options=options)
    return Need("agent", place or PlaceSpec(), partial(room, spec))


def run(work: Awaitable[None]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(whole())


async def taken(workers: Workers, wanted: Need, count: int) -> list[Worker]:
    return [await workers.take(wanted, FakeContext()) for _ in range(count)]


async def begun(cloud: Cloud, workers: Workers, count: int) -> None:
    """Wait until so many workers are there."""
    while sum(worker.hello is not None for worker in workers.there) < count:  # noqa: ASYNC110
        await asyncio.sleep(0)


def names(workers: list[Worker]) -> list[str]:
    return sorted(worker.node.host for worker in workers)


# ---- what a node offers ----


def test_a_node_offers_its_tags_and_what_it_has() -> None:
    big = node("a", "blue", GPU=2.0, memory=8e9)
    assert fits(big, PlaceSpec(gpu=2, cpu=4, memory=8 * 10**9, tags=("blue",)))
    assert not fits(big, PlaceSpec(gpu=3))
    assert not fits(big, PlaceSpec(cpu=5))
    assert not fits(big, PlaceSpec(memory=9 * 10**9))
    assert not fits(big, PlaceSpec(tags=("blue", "red")))
    assert free(big, [PlaceSpec(gpu=1), PlaceSpec(gpu=0.5)], PlaceSpec(gpu=0.5))
    assert not free(big, [PlaceSpec(gpu=1), PlaceSpec(gpu=0.6)], PlaceSpec(gpu=0.5))


def test_a_head_without_cores_gets_what_names_its_tags_alone() -> None:
    head = node("head", "head", CPU=0.0)
    assert not fits(head, PlaceSpec())
    assert fits(head, PlaceSpec(tags=("head",)))


def test_what_nobody_offers_is_said_with_what_there_is_and_what_to_do() -> None:
    said = lacking([node("a", "blue"), node("b", leaving=True)], PlaceSpec(gpu=1, tags=("red",)))
    assert said == (
        "no node offers gpu 1 and tag red; there are a (cpu 4, gpu 0, tag blue); add one with "
        "ray start --address=HEAD:PORT --num-gpus=1 --resources='{\"tag:red\": 1}'"
    )
    assert "there is none at all" in lacking([], PlaceSpec())


# ---- who gets a call ----


def test_nodes_share_calls_and_each_gets_one_worker(staffed: Staffed) -> None:
    async def main() -> None:
        cloud, workers = staffed(node("a"), node("b"), node("c"))
        workers.warm(3)
        await begun(cloud, workers, 3)
        calls = await taken(workers, need(), 9)
        assert names(calls) == list("aaabbbccc")
        assert sorted(cloud.begun) == ["a", "b", "c"]
        for worker in calls[:-1]:
            workers.free(worker, need())
        await workers.close()

    run(main())


def test_a_worker_keeps_nothing_of_agents_whose_calls_are_over(staffed: Staffed) -> None:
    async def main() -> None:
        _, workers = staffed(node("a"))
        needs = [need() for _ in range(5)]
        calls = [(await taken(workers, each, 1))[0] for each in needs]
        for worker, each in zip(calls, needs, strict=True):
            workers.free(worker, each)
        (worker,) = workers.there
        assert len(worker.of) == 0
        await workers.close()

    run(main())


def test_a_call_does_not_wait_for_a_worker_that_has_yet_to_begin(staffed: Staffed) -> None:
    async def main() -> None:
        cloud, workers = staffed(node("a"), node("b"))
        (first,) = await taken(workers, need(), 1)
        (second,) = await taken(workers, need(), 1)
        assert second is first and sorted(cloud.begun) == ["a", "b"], "b begins beside"
        await begun(cloud, workers, 2)
        (third,) = await taken(workers, need(), 1)
        assert third is not first
        await workers.close()

    run(main())


def test_workers_begin_before_there_are_calls_on_few_nodes(staffed: Staffed) -> None:
    async def main() -> None:
        cloud, workers = staffed(*(node(name) for name in "abcd"))
        cloud.broken["a"] = Gone("no")
        workers.warm()
        await begun(cloud, workers, 1)
        assert sorted(cloud.begun) == ["a", "b"] and names(workers.there) == ["b"]
        await workers.close()

    run(main())


def test_one_after_the_other_stays_where_a_worker_is(staffed: Staffed) -> None:
    async def main() -> None:
        cloud, workers = staffed(node("a"), node("b"))
        wanted = need()
        for _ in range(5):
            (worker,) = await taken(workers, wanted, 1)
            workers.free(worker, wanted)
        assert len(cloud.begun) == 1
        await workers.close()

    run(main())


def test_commands_get_as_many_as_a_node_has_cores_and_the_others_wait(staffed: Staffed) -> None:
    async def main() -> None:
        _, workers = staffed(node("a"), node("b", CPU=2.0))
        wanted = need(kind="command", command=["true"])
        calls = await taken(workers, wanted, 6)
        assert names(calls) == list("aaaabb")
        order: list[int] = []

        async def wait(number: int) -> None:
            await workers.take(wanted, FakeContext())
            order.append(number)

        waiting = [asyncio.create_task(wait(number)) for number in range(3)]
        await asyncio.sleep(0.01)
        assert order == []
        waiting[1].cancel()
        for worker in calls[:2]:
            workers.free(worker, wanted)
        await asyncio.gather(*waiting, return_exceptions=True)
        assert order == [0, 2], "who came first goes first, and who has left is passed over"
        await workers.close()

    run(main())


def test_what_asks_for_a_gpu_has_it_for_itself(staffed: Staffed) -> None:
    async def main() -> None:
        cloud, workers = staffed(node("a", GPU=2.0), node("b"))
        wanted = need(PlaceSpec(gpu=1))
        calls = await taken(workers, wanted, 2)
        assert names(calls) == ["a", "a"] and calls[0] is not calls[1]
        half = need(PlaceSpec(gpu=0.5))
        waiting = asyncio.create_task(workers.take(half, FakeContext()))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        workers.free(calls[0], wanted)
        await waiting
        assert cloud.ended == ["a"], "one that does nothing makes room"
        await workers.close()

    run(main())


def test_a_node_that_leaves_ends_when_its_calls_have(staffed: Staffed) -> None:
    async def main() -> None:
        cloud, workers = staffed(node("a"), node("b"))
        wanted = need()
        workers.warm()
        await begun(cloud, workers, 2)
        calls = {worker.node.host: worker for worker in await taken(workers, wanted, 2)}
        cloud.there = [node("a", leaving=True), node("b")]
        async with asyncio.timeout(10):
            while names(await taken(workers, wanted, 2)) != ["b", "b"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "a" not in cloud.ended, "it has a call"
        for worker in workers.there:
            while worker.node.host == "a" and worker.calls:
                workers.free(worker, wanted)
        assert cloud.ended == ["a"] and calls["a"] not in workers.there
        await workers.close()

    run(main())


def test_a_worker_that_does_not_begin_is_begun_elsewhere(staffed: Staffed) -> None:
    async def main() -> None:
        cloud, workers = staffed(node("a"), node("b"))
        cloud.broken["a"] = Gone("no")
        calls = await taken(workers, need(), 1)
        assert names(calls) == ["b"] or cloud.begun.count("a") < 3
        cloud.broken["b"] = Gone("no")
        workers.drop(calls[0])
        with pytest.raises(AgentError, match="no worker could be begun: no"):
            await workers.take(need(), FakeContext())
        await workers.close()

    run(main())


def test_a_node_of_another_version_is_left_out_and_said(staffed: Staffed) -> None:
    async def main() -> None:
        cloud, workers = staffed(node("a"), node("b"))
        cloud.broken["a"] = Refused("node a has Hocket 0.0.1")
        contexts = [FakeContext() for _ in range(4)]
        calls = [await workers.take(need(), context) for context in contexts]
        assert names(calls) == list("bbbb")
        said = [text for context in contexts for _, text in context.shown]
        assert said == ["node a has Hocket 0.0.1\n"]
        cloud.broken["b"] = Refused("node b has Hocket 0.0.2")
        workers.drop(calls[0])
        with pytest.raises(AgentError, match=r"Hocket 0.0.[12]") as refused:
            await workers.take(need(), FakeContext())
        assert refused.value.fault.kind == "permanent"
        await workers.close()

    run(main())


def test_nodes_of_other_versions_hide_none_that_will_do(staffed: Staffed) -> None:
    async def main() -> None:
        cloud, workers = staffed(*(node(name) for name in "abcde"))
        for name in "abcd":
            cloud.broken[name] = Refused(f"node {name} has Hocket 0.0.1")
        assert names(await taken(workers, need(), 1)) == ["e"]
        await workers.close()
        cloud, workers = staffed(*(node(name) for name in "abcd"))
        cloud.broken = {name: Refused(f"node {name} has Hocket 0.0.1") for name in "abcd"}
        with pytest.raises(AgentError, match=r"node a has Hocket 0.0.1") as refused:
            await workers.take(need(), FakeContext())
        assert refused.value.fault.kind == "permanent"
        await workers.close()

    run(main())


class Told(FakeContext):
    """A context that is told what its call waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[str] = []

    def waits(self, what: str) -> None:
        if self.waited[-1:] != [what]:
            self.waited.append(what)


def test_a_call_says_what_it_waits_for_until_it_has_a_worker(staffed: Staffed) -> None:
    async def main() -> None:
        cloud, workers = staffed(node("a"))
        context = Told()
        red = need(PlaceSpec(tags=("red",)))
        waiting = asyncio.create_task(workers.take(red, context))
        await asyncio.sleep(0)
        assert context.waited == ["a node that offers tag red"]
        cloud.there.append(node("b", "red"))
        await waiting
        assert context.waited[1:] == ["a worker", ""]
        whole, full = need(PlaceSpec(cpu=4)), Told()
        (held,) = await taken(workers, whole, 1)
        waiting = asyncio.create_task(workers.take(need(PlaceSpec(cpu=4, tags=("red",))), Told()))
        await waiting
        waiting = asyncio.create_task(workers.take(whole, full))
        await asyncio.sleep(0)
        assert full.waited == ["room for cpu 4 on the cluster"]
        workers.free(held, whole)
        await waiting
        assert full.waited[-1] == ""
        await workers.close()

    run(main())


def test_nodes_that_fall_all_at_once_are_no_failed_attempts(
    staffed: Staffed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grounds, "LOOK", 0.02)

    async def main() -> None:
        cloud, workers = staffed(*(node(name) for name in "abcd"))

        async def has_ended(node: Node) -> bool:
            return node.id != "e"

        monkeypatch.setattr(module, "has_ended", has_ended)
        context = FakeContext()
        waiting = asyncio.create_task(workers.take(need(), context))
        while not context.shown:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert sorted(cloud.begun) == list("abcd")
        assert "there is none at all" in context.text("err")
        # It is told of for as long as Ray believes in the others.
        cloud.there.append(node("e"))
        assert (await waiting).node.host == "e"
        await workers.close()

    run(main())


def test_nodes_that_fall_are_not_waited_for_for_ever(
    staffed: Staffed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOOK", "_FALLEN"):
        monkeypatch.setattr(module, name, 0.02)

    async def has_ended(node: Node) -> bool:
        return True

    async def main() -> None:
        _, workers = staffed(node("a"), node("b"), patience=0.3)
        monkeypatch.setattr(module, "has_ended", has_ended)
        with pytest.raises(AgentError, match="none has joined within"):
            await workers.take(need(), FakeContext())
        await workers.close()

    run(main())


def test_what_comes_behind_a_new_head_is_waited_for(
    staffed: Staffed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grounds, "LOOK", 0.02)

    async def main() -> None:
        cloud, workers = staffed(node("a"))
        idle, busy = await taken(workers, need(), 2)
        workers.free(idle, need())
        cloud.there, cloud.anew = [], True
        while cloud.anew:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        context = FakeContext()
        waiting = asyncio.create_task(workers.take(need(), context))
        while not context.shown:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        cloud.there = [node("b")]
        assert (await waiting).node.host == "b"
        workers.free(busy, need())
        assert names(workers.there) == ["b"]
        await workers.close()

    run(main())


def test_what_other_supervisors_hold_is_waited_for(
    staffed: Staffed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_START", "_PAUSE", "LOOK"):
        monkeypatch.setattr(module, name, 0.02)

    async def main() -> None:
        cloud, workers = staffed(node("a"))
        cloud.held = {"a"}
        context = FakeContext()
        waiting = asyncio.create_task(workers.take(need(PlaceSpec(cpu=1)), context))
        async with asyncio.timeout(20):
            while len(cloud.begun) < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not waiting.done(), "that is no failed attempt"
        cloud.held.clear()
        assert (await waiting).node.host == "a"
        assert "others hold cpu 1 of a" in context.text("err")
        await workers.close()

    run(main())


def test_a_worker_soon_gives_back_what_others_may_wait_for(
    staffed: Staffed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        cloud, workers = staffed(node("a"), node("b"))
        apart, any_ = need(PlaceSpec(cpu=1)), need()
        for wanted in (apart, any_):
            (worker,) = await taken(workers, wanted, 1)
            workers.free(worker, wanted)
        monkeypatch.setattr(module, "_IDLE", 0.0)
        async with asyncio.timeout(20):
            while not cloud.ended:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [worker.place for worker in workers.there] == [PlaceSpec()], "that holds nothing"
        await workers.close()

    assert module._IDLE < 10
    run(main())


# ---- how it is said ----

FILE = """
version: 1
agents:
  coder: {scripted: {}, place: {gpu: 0.5, memory: 2GB, tag: [red, blue]}}
plans:
  p:
    steps:
      a: {agent: coder, prompt: hi}
      b: {command: ["true"], place: {cpu: 2}}
      c: {call: "m:f", place: {tag: red}}
"""


def test_a_file_says_what_agents_and_steps_need(tmp_path: Path) -> None:
    path = tmp_path / "hocket.yaml"
    path.write_text(FILE)
    places = {name: agent.place for name, agent in load_plan(path).agents.items()}
    assert places == {
        "coder": PlaceSpec(gpu=0.5, memory=2 * 10**9, tags=("blue", "red")),
        "b": PlaceSpec(cpu=2),
        "c": PlaceSpec(tags=("red",)),
    }


def test_without_a_cluster_it_says_nothing(tmp_path: Path) -> None:
    coder = hocket.Agent("coder", scripted={}, place={"gpu": 8, "tag": "nowhere"})
    plan = hocket.Plan("p")
    plan.step("a", coder, "hi")
    assert hocket.Engine(tmp_path, memory=True).run_sync(plan)["a"] == "hi"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"gpus": 1}, "unknown key 'gpus'; did you mean 'gpu'?"),
        ({"gpu": -1}, "gpu is a number that is at least 0"),
        ({"gpu": 1.5}, "more than one GPU is a whole number"),
        ({"memory": "many"}, "is no size: write a number of bytes, or a text like 16GB"),
        ({"tag": "two words"}, "is no tag"),
        (3, "a place is a mapping"),
    ],
)
def test_what_means_nothing_is_refused(place: Any, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        hocket.Agent("a", scripted={}, place=place)
    assert said in str(refused.value)


def test_a_function_that_is_handed_over_has_no_place() -> None:
    with pytest.raises(SpecError, match="runs where the program does"):
        hocket.Agent("a", function=len, place={"gpu": 1})
