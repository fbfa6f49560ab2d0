"""The engine's shell lives through many seeds: everything goes wrong, and nothing is lost."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.simulated.shell import FAULTS, simulate

ROOT = Path(__file__).parents[2]
ENOUGH = 300
"""With this many seeds or more, each kind of fault has happened."""


class Lived(NamedTuple):
    """What one process says of its seeds."""

    digests: dict[int, str]
    events: int
    faults: Counter[str]


def begin(first: int, count: int, hash_seed: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.simulated.shell"]
    return subprocess.Popen(
        [*command, "--first", str(first), "--count", str(count)],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> Lived:
    out, errors = process.communicate(timeout=600)
    if process.returncode:
        pytest.fail(errors[-6_000:], pytrace=False)
    *seeds, faults = [line.split() for line in out.splitlines()]
    counts = Counter({name: int(count) for name, count in (item.split("=") for item in faults)})
    return Lived({int(s[0]): s[1] for s in seeds}, sum(int(s[2]) for s in seeds), counts)


@pytest.fixture(scope="module")
def lived(request: pytest.FixtureRequest) -> Lived:
    """All seeds, shared out among processes whose hashes differ."""
    seeds = request.config.getoption("--shell-seeds")
    shares = min(os.cpu_count() or 1, 8, seeds)
    edges = [seeds * i // shares for i in range(shares + 1)]
    processes = [
        begin(edges[i], edges[i + 1] - edges[i], hash_seed=str(i + 1)) for i in range(shares)
    ]
    try:
        parts = [end(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    digests = {seed: digest for part in parts for seed, digest in part.digests.items()}
    assert list(digests) == list(range(seeds))
    faults = sum((part.faults for part in parts), Counter[str]())
    return Lived(digests, sum(part.events for part in parts), faults)


def test_every_seed_keeps_its_promises(lived: Lived) -> None:
    assert lived.events >= 100 * len(lived.digests) or len(lived.digests) < ENOUGH


def test_each_kind_of_fault_has_happened(lived: Lived) -> None:
    if len(lived.digests) < ENOUGH:
        pytest.skip(f"only {len(lived.digests)} seeds")
    assert [name for name in FAULTS if not lived.faults[name]] == []


def test_a_seed_gives_the_same_trace_in_another_process(lived: Lived) -> None:
    count = min(60, len(lived.digests))
    again = end(begin(0, count, hash_seed="4242"))
    assert again.digests == {seed: lived.digests[seed] for seed in range(count)}


def test_a_seed_gives_the_same_trace_twice_in_a_process_in_any_order(lived: Lived) -> None:
    for seed in reversed(range(min(30, len(lived.digests)))):
        assert simulate(seed).digest == lived.digests[seed]


def test_other_seeds_give_other_traces(lived: Lived) -> None:
    assert len(set(lived.digests.values())) == len(lived.digests)
