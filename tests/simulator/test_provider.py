"""A provider's own window is found from whom it refused, and holds in simulations."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import msgspec
import pytest
from tests.simulator.policies import consensus, drawn, spec_of
from tests.simulator.records import again, played, rate, record, wide, workers

from hocket.core.errors import Fault
from hocket.core.machine import JobSpec
from hocket.core.specs import LimitSpec, Retry, RunSpec
from hocket.core.values import DAY, HOUR, MINUTE, SECOND
from hocket.simulator.agents import Act, Asked, Cast, SimulatedAgents
from hocket.simulator.assume import Assumed
from hocket.simulator.calibrate import Simulated
from hocket.simulator.observed import Observed
from hocket.simulator.parts import Played
from hocket.simulator.provider import Provider, Refusing, Window, window_of

SEEDS = range(12)


class Server:
    """Agents whose provider refuses what is beyond its windows, for one run."""

    def __init__(self, cast: Cast, windows: dict[str, int], tells: bool = True) -> None:
        self._cast = cast
        self._windows = windows
        self._tells = tells
        self._served: dict[str, list[int]] = {name: [] for name in windows}

    def act(self, asked: Asked) -> Act:
        served = self._served.get(asked.agent)
        if served is None:
            return self._cast.act(asked)
        recent = [at for at in served if at > asked.at - MINUTE]
        if len(recent) >= self._windows[asked.agent]:
            wait = recent[0] + MINUTE - asked.at if self._tells else None
            refused = Fault(kind="rate_limited", message="slow down", retry_after=wait)
            return Act(SECOND // 20, refused)
        served.append(asked.at)
        return self._cast.act(asked)

    def estimate(self, asked: Asked) -> None:
        raise AssertionError("nothing counts tokens here")


def server(tells: bool = True) -> SimulatedAgents:
    return Server(drawn(), {"flash": 9, "pro": 2}, tells)  # type: ignore[return-value]


def refused(run: Played) -> int:
    return sum(made.how == "refused" for made in run.calls)


def sums(spec: RunSpec, agents: Callable[[], SimulatedAgents]) -> tuple[float, float]:
    runs = [played(spec, agents(), seed) for seed in SEEDS]
    return median(run.took for run in runs) / SECOND, median(refused(run) for run in runs)


@pytest.mark.parametrize("tells", [True, False])
def test_limits_that_keep_within_the_window_are_not_refused(tells: bool) -> None:
    free = spec_of(consensus("once"), False)
    real = played(free, server(tells), 5)
    assert refused(real) >= 2
    known = record(real)
    assert {str(how.window) for how in known.windows} <= {
        "9 requests in 1 m 00 s",
        "2 requests in 1 m 00 s",
    }
    assert any("a window of 2 requests in 1 m 00 s" in words for words in known.assumed)
    assert not any("whatever its limits are" in words for words in known.assumed)
    limited = spec_of(consensus("once"), True)
    for spec in (free, limited):
        true, simulated = sums(spec, lambda: server(tells)), sums(spec, lambda: again(real))
        assert simulated[0] == pytest.approx(true[0], rel=0.15)
        assert simulated[1] == pytest.approx(true[1], abs=1)
    assert sums(limited, lambda: again(real))[1] == 0


def test_a_limit_beyond_the_window_is_still_refused() -> None:
    real = played(spec_of(consensus("once"), False), server(), 5)
    wider = {"flash": LimitSpec(requests=rate(20)), "pro": LimitSpec(requests=rate(5))}
    spec = msgspec.structs.replace(spec_of(consensus("once"), True), limits=wider)
    assert sums(spec, lambda: again(real))[1] >= 1


def test_each_run_has_the_whole_window_again() -> None:
    free = spec_of(consensus("once"), False)
    agents = again(played(free, server(), 5))
    first = [played(free, agents, seed).digest() for seed in (1, 1, 2, 1)]
    fresh = [played(free, again(played(free, server(), 5)), seed).digest() for seed in (1, 2)]
    assert first == [fresh[0], fresh[0], fresh[1], fresh[0]]


def test_another_run_is_told_by_its_chance_and_by_its_calls() -> None:
    job = JobSpec(
        agents=("a",), effects=(False,), retry=Retry(), timeout=1, output=None, options={}
    )
    one = Provider(Refusing(["a"], Window(1, MINUTE), True, Observed(0.0, 0.0)))

    def refuses(path: str, seed: int, at: int) -> bool:
        return one.refuses(Asked("run", "a", path, 1, "", job, seed, at)) is not None

    assert [refuses(path, 1, 0) for path in "abc"] == [False, True, True]
    assert not refuses("a", 1, 0)
    assert refuses("b", 1, MINUTE - 1)
    assert not refuses("c", 2, MINUTE - 1)
    assert refuses("d", 2, MINUTE)
    assert not refuses("e", 2, 2 * MINUTE)
    assert not refuses("f", 2, 0)


def test_what_is_assumed_of_refusals_goes_before_the_window() -> None:
    free = spec_of(consensus("once"), False)
    known = record(played(free, server(), 5))
    sound = {"pro": Assumed(refusing=0.0), "flash": Assumed(refusing=0.0)}
    assert refused(played(free, Simulated(free, sound, known))) == 0


def test_refusals_by_chance_are_no_window() -> None:
    fault = Fault(kind="rate_limited", message="no", retry_after=3 * SECOND)
    spec = msgspec.structs.replace(wide(60), max_parallel=4)
    known = record(played(spec, workers(60, 2, 0.5, failing=0.3, fault=fault)))
    assert known.windows == []


@pytest.mark.parametrize(
    ("through", "out", "window"),
    [
        ([0, 1, 2], [3, 4], Window(3, MINUTE)),
        # In the next minute there is room again.
        ([0, 1, 2, 60.5, 61.5], [3, 59], Window(3, MINUTE)),
        # One that was let through in spite of it: it is not that window, but a shorter one.
        ([0, 0.1, 0.2, 3], [0.3, 0.4], Window(3, SECOND)),
        ([0, 100, 200, 4000], [300, 400], Window(3, HOUR)),
        ([0, 4000, 8000], [12_000, 13_000], Window(3, DAY)),
        # Whoever arrives at once is told apart by a moment.
        ([0, 0.01, 0.02], [0.005, 0.006], Window(3, MINUTE)),
        ([0, 1, 2], [3], Window(3, MINUTE)),
        # What was refused when all was quiet is no window.
        ([0, 1, 2], [100_000, 200_000], None),
    ],
)
def test_windows_are_found(through: list[float], out: list[float], window: Window | None) -> None:
    found = window_of([round(at * SECOND) for at in through], [round(at * SECOND) for at in out])
    assert found == window
