"""What is read of agents is read some at a time, and what is free is asked of the system."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from hocket.population import Grid, Group, Model, Population, rows
from hocket.population.results import agents_table
from hocket.population.sizes import free_memory
from hocket.population.worlds.sampled import SampledWorld

MEMINFO = "MemTotal: 2000000 kB\nMemAvailable:  1000 kB\n"


def sown(devices: int) -> Population:
    """Agents with long beliefs: 4.8 MB of them."""
    chance = np.random.default_rng(0)
    model = Model.of([chance.dirichlet(np.ones(3), size=400).T], [Grid(20, 20)])
    group = Group(name="walkers", model=model, agents=3000)
    return Population([group], SampledWorld(model), devices=devices)


def peak_of(work: Callable[[], object]) -> int:
    """How many bytes it takes besides, at most."""
    work()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("devices", [1, 2])
def test_nobody_copies_all_beliefs_to_look_at_them(
    devices: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = sown(devices)
    at_once, slots = here.checksum(), here.slots("walkers")
    told = slots.summary()
    monkeypatch.setattr(rows, "AT_ONCE", 4000)
    assert here.checksum() == at_once
    assert slots.summary() == told
    assert slots.mean_belief(0) == pytest.approx(slots.beliefs()[0].mean(0), abs=1e-6)
    beliefs = here.memory()["belief"]
    for work in (
        here.checksum,
        slots.summary,
        lambda: slots.mean_belief(0),
        lambda: agents_table(here),
        lambda: here.save(tmp_path / "kept.npz"),
    ):
        assert peak_of(work) < beliefs / 4


def test_an_agent_of_long_beliefs_is_read_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "AT_ONCE", 1)
    places = np.arange(3), np.arange(3)
    assert [len(some[0]) for some in rows.stretches(places, 400)] == [1, 1, 1]


def system(root: Path, **files: str) -> int | None:
    """What is free by a system's files; `_` in their names stands for `/`."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return free_memory(jax.devices(), root)


MINE = {"proc__meminfo": MEMINFO, "proc__self__cgroup": "0::/job/step\n"}
TOP, JOB, STEP = "sys__fs__cgroup__", "sys__fs__cgroup__job__", "sys__fs__cgroup__job__step__"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 1_024_000),
        ({f"{STEP}memory.max": "max\n", f"{STEP}memory.current": "9"}, 1_024_000),
        ({f"{STEP}memory.max": "700\n", f"{STEP}memory.current": "300\n"}, 400),
        ({f"{JOB}memory.max": "700\n", f"{JOB}memory.current": "300\n"}, 400),
        ({f"{TOP}memory.max": "700\n", f"{TOP}memory.current": "900\n"}, 0),
        (
            {
                f"{STEP}memory.max": "700",
                f"{STEP}memory.current": "650",
                f"{STEP}memory.stat": "anon 500\ninactive_file 100\n",
            },
            150,
        ),
        ({f"{STEP}memory.max": "9000000000", f"{STEP}memory.current": "0"}, 1_024_000),
    ],
)
def test_a_control_groups_bound_counts(
    files: dict[str, str], free: int | None, tmp_path: Path
) -> None:
    assert system(tmp_path, **MINE, **files) == free


@pytest.mark.parametrize("seen", ["job__", ""])
def test_a_bound_of_the_first_version_counts(seen: str, tmp_path: Path) -> None:
    folder = f"sys__fs__cgroup__memory__{seen}"
    free = system(
        tmp_path,
        proc__meminfo=MEMINFO,
        proc__self__cgroup="5:cpu,memory:/job\n3:cpuset:/\n0::/\n",
        **{
            f"{folder}memory.limit_in_bytes": "800\n",
            f"{folder}memory.usage_in_bytes": "300\n",
            f"{folder}memory.stat": "inactive_file 7\ntotal_inactive_file 50\n",
        },
    )
    assert free == 550
