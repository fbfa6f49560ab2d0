"""What a group of nodes does around its processes; no Ray is needed for it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hocket.cluster import populations
from hocket.cluster.connection import Node
from hocket.cluster.population_attempt import Ended, Job, _files
from hocket.cluster.population_seat import PopulationSeat, saved_in
from hocket.cluster.populations import NodeGroups, _able, _enough, _meet, _placed
from hocket.cluster.seat import Gone
from hocket.core.errors import Refused
from hocket.core.specs import PlaceSpec
from hocket.population.files import HEAD

SETTINGS: dict[str, Any] = {"example": "explorers", "agents": 200, "ticks": 3}


class Listening:
    """A call's context, as far as a population needs it."""

    def __init__(self) -> None:
        self.hard = False
        self.said: list[str] = []

    def emit(self, text: str, stream: str = "out") -> None:
        self.said.append(text)


def checkpoint(folder: Path, tick: int) -> None:
    folder.mkdir(exist_ok=True)
    names = {"population": f"population-{tick}.npz", "means": f"means-{tick}.npz"}
    for name in names.values():
        (folder / name).write_text(f"{name} itself")
    (folder / HEAD).write_text(json.dumps({"tick": tick, **names, "film": None}))


def in_a_step(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    work: Callable[..., Awaitable[Ended]],
    given: dict[str, Any],
) -> tuple[NodeGroups, Listening, Callable[[], Awaitable[Any]]]:
    monkeypatch.setattr(populations, "perform", work)
    groups, context = NodeGroups(None), Listening()  # type: ignore[arg-type]

    async def run() -> Any:
        return await groups.run(given, folder, folder, PlaceSpec(gpu=1), context)  # type: ignore[arg-type]

    return groups, context, run


def test_files_that_settings_name_go_to_nodes_and_are_named_as_they_are_there() -> None:
    settings: dict[str, Any] = {
        "model": "models/a.gmn",
        "groups": {"b": {"model": "../b.gmn"}, "c": {"agents": 3}},
        "continues": {"population": "/blobs/1", "settings": "/blobs/2", "digest": "both"},
    }
    files = _files(settings, Path("base"))
    assert files == {
        "read/models/a.gmn": Path("base/models/a.gmn"),
        "read-1/b.gmn": Path("base/../b.gmn"),
        "read-2/1": Path("/blobs/1"),
        "read-3/2": Path("/blobs/2"),
    }
    assert settings == {
        "model": "read/models/a.gmn",
        "groups": {"b": {"model": "read-1/b.gmn"}, "c": {"agents": 3}},
        "continues": {"population": "read-2/1", "settings": "read-3/2", "digest": "both"},
    }


def test_nodes_that_offer_too_little_or_are_about_to_leave_do_not_count() -> None:
    def node(name: str, *tags: str, leaving: bool = False, **resources: float) -> Node:
        return Node(
            id=name,
            host=name,
            address="",
            port=1,
            resources=dict(resources),
            tags=frozenset(tags),
            leaving=leaving,
        )

    nodes = [
        *(node("head"), node("a", CPU=1), node("b", "big", CPU=4, GPU=1)),
        node("c", "big", leaving=True, CPU=4, GPU=2),
    ]
    assert _able(nodes, PlaceSpec()) == 2
    assert _able(nodes, PlaceSpec(cpu=2)) == _able(nodes, PlaceSpec(gpu=1)) == 1
    assert _able(nodes, PlaceSpec(tags=("big",))) == 1
    assert _able(nodes, PlaceSpec(gpu=2)) == 0


def test_what_is_missing_is_counted_in_words() -> None:
    class Empty:
        def nodes(self) -> list[Node]:
            return []

    job = Job(settings={}, base=Path(), nodes=1, target=lambda name, there: None)
    with pytest.raises(Refused, match=r"of 1 node needs .* there are 0 among the 0"):
        asyncio.run(_enough(Empty(), job, 1, None, asyncio.Event(), None))  # type: ignore[arg-type]


def test_a_seat_that_never_comes_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Never:
        here = None

        async def hello(self, here: None) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(populations, "_BIRTH", 0.01)
    with pytest.raises(Gone, match="no process within"):
        asyncio.run(_meet([Never()], Never()))  # type: ignore[list-item,arg-type]


def test_a_step_asks_for_its_nodes_and_place_and_answers_as_one_process_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Job] = []

    async def work(connection: Any, job: Job, listener: Any, stop: asyncio.Event) -> Ended:
        seen.append(job)
        listener.note("tick 3 of 3", {"tick": 3, "ticks": 3})
        return Ended(stopped=False, answer=b'{"output": {}}')

    _, context, run = in_a_step(monkeypatch, tmp_path, work, {**SETTINGS, "nodes": 4})
    assert asyncio.run(run()).status == 0
    (job,) = seen
    assert (job.nodes, job.place.gpu, job.checkpoint) == (4, 1, tmp_path / "checkpoint")
    assert job.target("means.npz", "results/means.npz") == tmp_path / "results/means.npz"
    assert (tmp_path / "answer.json").read_bytes() == b'{"output": {}}'
    assert context.said == ["tick 3 of 3\n"]


def test_mistakes_in_what_it_is_told_are_its_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def work(*_: Any) -> Ended:
        raise AssertionError("never begun")

    *_, run = in_a_step(monkeypatch, tmp_path, work, {**SETTINGS, "tiks": 3})
    assert asyncio.run(run()).status == 0
    assert "tiks" in json.loads((tmp_path / "answer.json").read_bytes())["problems"][0]


@pytest.mark.parametrize("hard", [False, True])
def test_a_cancelled_step_saves_first_unless_there_is_no_time(
    hard: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    begun = asyncio.Event()

    async def work(connection: Any, job: Job, listener: Any, stop: asyncio.Event) -> Ended:
        begun.set()
        try:
            await stop.wait()
            await asyncio.sleep(0.01)
            told.append("saved")
            return Ended(stopped=True)
        finally:
            told.append("ended")

    async def cancelled() -> None:
        _, context, run = in_a_step(monkeypatch, tmp_path, work, SETTINGS)
        context.hard = hard
        task = asyncio.ensure_future(run())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert told == (["ended"] if hard else ["saved", "ended"])


def test_a_checkpoint_is_handed_over_whole_though_it_is_replaced_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seat = PopulationSeat()
    try:
        folder = seat._kept
        checkpoint(folder, 5)
        given = seat.saved()
        assert set(given) == {"population-5.npz", "means-5.npz", HEAD}
        for name in saved_in(folder).files:  # type: ignore[union-attr]
            (folder / name).unlink()
        checkpoint(folder, 10)
        assert seat.read(given["population-5.npz"], 0) == b"population-5.npz itself"
        assert seat.read(given["population-5.npz"], 100) == b""
        assert not seat.saved(), "one after the other"
        seat.let_go()
        assert "population-10.npz" in seat.saved()
        seat.let_go()
        assert not seat.saved(), "each but once"
    finally:
        seat.close()
    assert list(tmp_path.iterdir()) == []


def test_what_killed_seats_have_left_goes_with_the_next_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    at_work = PopulationSeat()
    left = tmp_path / "hocket-population-left"
    left.mkdir()
    (left / "in-use.lock").write_text("a process that is no more")
    seat = PopulationSeat()
    try:
        assert not left.exists() and at_work._folder.exists()
    finally:
        seat.close()
        at_work.close()
    assert os.listdir(tmp_path) == []


class Deaf:
    """A seat whose process answers no more."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.ended = False

    async def hello(self, here: object) -> object:
        return here

    async def ask(self, method: str) -> None:
        self.asked.set()
        await asyncio.Event().wait()

    def end(self) -> None:
        self.ended = True


def test_who_is_cancelled_twice_leaves_no_node_held(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray.util.placement_group")
    seats: list[Deaf] = []
    removed: list[object] = []

    class Group:
        def wait(self, seconds: int) -> bool:
            return True

    def begin(entry: str, options: object, **where: object) -> Deaf:
        seats.append(Deaf())
        return seats[-1]

    monkeypatch.setattr(ray, "placement_group", lambda bundles, strategy: Group())
    monkeypatch.setattr(ray, "remove_placement_group", removed.append)
    monkeypatch.setattr(populations, "begin", begin)

    async def main() -> None:
        there, connection = asyncio.Event(), SimpleNamespace(here=None)
        job: Any = SimpleNamespace(place=PlaceSpec(cpu=1))

        async def hold() -> None:
            listener, stop = Listening(), asyncio.Event()
            async with _placed(connection, job, 2, listener, stop):  # type: ignore[arg-type]
                there.set()
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        async with asyncio.timeout(30):
            await there.wait()
            holding.cancel()
            await seats[1].asked.wait()
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
        assert holding.cancelled()

    asyncio.run(main())
    assert len(removed) == 1
    assert [seat.ended for seat in seats] == [True, True]
