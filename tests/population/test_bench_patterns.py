"""Object agents, made to act together: all of them act, in every pattern, and claims are judged."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

from hocket.population.bench import objects, patterns
from hocket.population.bench.claims import Claim, judged, verdict
from hocket.population.bench.objects import OBJECTS, NumpyObject
from hocket.population.bench.task import SETTLED, likelihood, task
from hocket.population.bench.timing import Timings, timed


class Counter:
    """An agent that counts its steps."""

    made: ClassVar[list["Counter"]] = []

    def __init__(self, number: int) -> None:
        self.number = number
        self.steps = 0
        self.threads: set[int] = set()
        Counter.made.append(self)

    def step(self) -> int:
        self.steps += 1
        self.threads.add(threading.get_ident())
        return 0


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Counter]]:
    monkeypatch.setattr(Counter, "made", [])
    monkeypatch.setitem(OBJECTS, "counter", Counter)
    yield Counter.made


@pytest.mark.parametrize("pattern", ["in line", "threads", "async"])
def test_every_agent_has_acted_when_a_tick_ends(pattern: str, counters: list[Counter]) -> None:
    with patterns.PATTERNS[pattern]("counter", 20) as tick:
        for done in (1, 2, 3):
            tick()
            assert [agent.steps for agent in counters] == [done] * 20
    here = threading.get_ident()
    used = set().union(*(agent.threads for agent in counters))
    assert (used == {here}) is (pattern == "in line")


@pytest.mark.parametrize("pattern", ["in line", "threads"])
def test_all_are_timed_at_the_same_stage_of_their_lives(
    pattern: str, counters: list[Counter], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[int] = []

    def clock(work: Callable[[], object], *, warm: int, **_: Any) -> Timings:
        for _ in range(warm):
            work()
        stages.extend(agent.steps for agent in counters)
        return timed(work, iterations=2, seconds=1, warm=0)

    monkeypatch.setattr(patterns, "timed", clock)
    for agents in (1, 3):
        patterns.measure_pattern(pattern, "counter", agents, iterations=2, seconds=1)
        assert stages == [SETTLED] * agents
        stages.clear()
        counters.clear()


def test_processes_share_the_agents_and_live_on() -> None:
    found = patterns.measure_pattern("processes", "NumPy object", 3, iterations=5, seconds=1)
    assert len(found["walls"]) == 5
    # A process is started once, and not for each tick.
    assert found["start"] > 5 * np.median(found["walls"])


def test_object_agents_live_in_the_same_task() -> None:
    first, second = NumpyObject(7), NumpyObject(7)
    lived = [first.step() for _ in range(20)]
    assert lived == [second.step() for _ in range(20)]
    assert set(lived) <= set(range(5)) and len(set(lived)) > 1
    assert first.agent.model.policies.shape == (5, 1, 1)
    assert objects.present()[0] == "NumPy object"


def test_what_is_seen_says_where_one_is() -> None:
    seen = likelihood(10)
    assert np.allclose(seen.sum(axis=0), 1)
    assert len(np.unique(seen, axis=1).T) > 1
    assert task().states == (100,) and task().observations == (5,) and task().actions == (5,)
    assert task(horizon=2).policies.shape == (25, 2, 1)


def test_time_is_up_before_the_iterations_are() -> None:
    calls: list[int] = []
    found = timed(lambda: calls.append(1), iterations=1_000_000, seconds=0.0, warm=2, least=7)
    assert len(found.walls) == 7 and len(calls) == 9


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ([60.0, 40.0], "holds"),
        ([60.0, 10.0], "holds in part"),
        ([10.0, 10.0], "does not hold"),
        ([None, 40.0], "holds"),
        ([None, None], "not measured"),
        ([], "not measured"),
    ],
)
def test_a_verdict_follows_from_the_figures(measured: list[float | None], expected: str) -> None:
    promised = [50.0, 30.0]
    claims = [Claim("x", promised[i], "%", value) for i, value in enumerate(measured)]
    assert verdict(claims) == expected
    assert judged("float32", claims, {})["verdict"] == expected


def test_of_some_things_less_is_better() -> None:
    assert Claim("x", 1.2, "×", 1.1, at_most=True).holds
    assert not Claim("x", 1.2, "×", 4.0, at_most=True).holds
