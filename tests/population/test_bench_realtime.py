"""How many agents are in time: sought up and down, and never said better than it was tried."""

from typing import Any

import numpy as np
import pytest

from hocket.population.bench import phases, scaling, sections
from hocket.population.bench.timing import Timings


class Crowd:
    """Agents whose tick takes as long as a machine would take."""

    def __init__(self, agents: int, *, horizon: int) -> None:
        self.agents = agents


def sought(monkeypatch: pytest.MonkeyPatch, each: float, late: float, **options: Any) -> Any:
    """Seek on a machine that takes so long for an agent, and now and then for a tick."""

    def ticks(people: Crowd, *, iterations: int, least: int, **_: Any) -> Timings:
        assert least == min(iterations, 100)
        walls = np.full(iterations, people.agents * each)
        walls[::50] += late
        return Timings(walls, 0.0)

    monkeypatch.setattr(scaling, "crowd", Crowd)
    monkeypatch.setattr(scaling, "tick_times", ticks)
    asked = {"iterations": 100, "seconds": 1.0, "start": 5_000, "most": 10_000, **options}
    return scaling.measure_realtime(3, 0.010, tell=lambda _: None, **asked)


def test_it_comes_close_to_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sought(monkeypatch, 5e-6, 0.0)
    assert 1_900 <= found["agents_p50"] == found["agents_tail"] <= 2_000
    assert found["tail"] == "p99"
    assert sections._in_time(found, "p50") == f"{found['agents_p50']:,}"


def test_where_no_guess_fitted_it_goes_down(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sought(monkeypatch, 1e-6, 0.0099)
    assert found["agents_p50"] > 5_000
    assert 0 < found["agents_tail"] <= 100
    assert sections._in_time(found, "tail") == f"{found['agents_tail']:,}"


def test_the_most_that_may_be_tried_is_no_limit_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = sought(monkeypatch, 1e-8, 0.0)
    said = "at least 10,000, the most that was tried"
    assert sections._in_time(found, "p50") == sections._in_time(found, "tail") == said


def test_none_in_time_names_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sought(monkeypatch, 1e-8, 0.02, start=40, iterations=60)
    assert found["agents_tail"] == 0
    assert found["tail"] == "largest of 60"
    tried = [one["agents"] for one in found["tried"]]
    assert tried[0] == 1
    told = ", ".join(f"{count:,}" for count in tried)
    assert sections._in_time(found, "tail") == f"none of those tried ({told})"


def test_a_phase_within_the_noise_is_in_no_sum() -> None:
    found = dict.fromkeys(phases.PHASES, (1.0, 2.0, 3.0))
    found["world"], found["choose"] = (-1.0, 0.5, 2.0), (-3.0, -2.0, -1.0)
    account = phases._account(found, 12.0)
    assert account["below_noise"] == ["choose", "world"]
    assert (account["sum"], account["remainder"]) == (10.0, 2.0)
    row = {"agents": 50, **account}
    told = dict((cells[0], cells[1]) for cells in sections._phases({"phases": [row]}).rows)
    assert told["choose"] == told["world"] == "below noise"
    assert told["infer"] == "2,000 ms"
    assert told["remainder"] == "2,000 ms (16.7 %)"
