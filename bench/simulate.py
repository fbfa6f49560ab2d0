"""How fast runs are simulated: events and simulated hours a second, and studies of seven agents.

The machines and the queue are the engine's own; only the calls are drawn.
Timed is CPU time, and beside it a fixed loop of plain Python that does nothing of Hocket, before
and after: where others use the cores, that takes longer as well.
Each case is measured round after round, and the medians are printed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from math import exp
from pathlib import Path
from statistics import median
from typing import NamedTuple

import measure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.simulator import policies  # noqa: E402

from hocket.core.specs import (  # noqa: E402
    AgentSpec,
    LimitSpec,
    PlanSpec,
    Rate,
    RunSpec,
    StepSpec,
)
from hocket.core.values import HOUR, MINUTE  # noqa: E402
from hocket.simulator.agents import Cast, Latency, Player  # noqa: E402
from hocket.simulator.parts import Keep  # noqa: E402
from hocket.simulator.play import Stage, play, prepare  # noqa: E402

AGENTS = 10
SIGMA = 0.5
MEAN = 3 * MINUTE
# Half of the calls of a lognormal distribution take less than this, and the mean is the mean.
CAST = Cast({}, Player(latency=Latency(round(MEAN / exp(SIGMA**2 / 2)), SIGMA)))
HEAD = ["what", "events", "events/s", "simulated h/s", "µs an event", "plain loops"]


class Took(NamedTuple):
    """One measurement: events, simulated hours, CPU seconds, and the fixed loop's meanwhile."""

    events: int
    hours: float
    seconds: float
    loop: float


def loop() -> float:
    """Do what machines do without doing anything: calls, small objects, look-ups."""

    def note(known: dict[int, tuple[int, str]], key: int) -> int:
        known[key & 1023] = (key, "x")
        return len(known[key & 1023])

    began, known, count = time.process_time(), dict[int, tuple[int, str]](), 0
    for key in range(200_000):
        count += note(known, key)
    assert count == 400_000
    return time.process_time() - began


def timed(work: Callable[[], tuple[int, float]]) -> Took:
    before, began = loop(), time.process_time()
    events, hours = work()
    seconds = time.process_time() - began
    return Took(events, hours, seconds, (before + loop()) / 2)


def chains(calls: int, limit: LimitSpec | None) -> Stage:
    """Ten agents with a chain of calls each, none of which waits for another agent's."""
    steps = [
        StepSpec(
            name=f"a{agent}_{i}",
            agent=f"g{agent}",
            needs=(f"a{agent}_{i - 1}",) if i else (),
            timeout=HOUR,
            input="go on",
        )
        for agent in range(AGENTS)
        for i in range(calls)
    ]
    limits = {} if limit is None else {"api": limit}
    agents = {f"g{a}": AgentSpec(kind="scripted", limits=tuple(limits)) for a in range(AGENTS)}
    workflow = PlanSpec(name="p", steps=tuple(steps))
    return prepare(RunSpec(workflow=workflow, agents=agents, limits=limits))


def played(stage: Stage, keep: Keep) -> Callable[[], tuple[int, float]]:
    def work() -> tuple[int, float]:
        run = play(stage, {}, CAST, 1, keep=keep)
        return run.sums.events, run.took / HOUR

    return work


def folded(stage: Stage) -> Callable[[], tuple[int, float]]:
    """The machine alone: its events are known, and it says after each what is to be done."""
    run = play(stage, {}, CAST, 1)

    def work() -> tuple[int, float]:
        machine = stage.machine()
        for event in run.events:
            machine.apply(event)
            machine.drain()
        return len(run.events), run.took / HOUR

    return work


def seven(policy: str, limited: bool, runs: int) -> Callable[[], tuple[int, float]]:
    """Seven agents, five of a fast model and two of a slow one, under 9 and 2 calls a minute."""
    stage = prepare(policies.spec_of(policies.consensus(policy), limited))
    cast = policies.drawn()

    def work() -> tuple[int, float]:
        events, took = 0, 0
        for seed in range(runs):
            run = play(stage, {}, cast, seed, keep="sums")
            events += run.sums.events
            took += run.took
        return events, took / HOUR

    return work


def cases(calls: int, runs: int) -> dict[str, Callable[[], tuple[int, float]]]:
    free = chains(calls, None)
    wide = chains(calls, LimitSpec(requests=(Rate(1_000, MINUTE),)))
    tight = chains(calls, LimitSpec(requests=(Rate(3, MINUTE),)))
    return {
        "the machine alone: events folded, commands drained": folded(free),
        "ten agents, no limits, nothing kept": played(free, "sums"),
        "ten agents, no limits, all events kept": played(free, "events"),
        "ten agents, a window that suffices": played(wide, "sums"),
        "ten agents, a window for which calls wait": played(tight, "sums"),
        **{
            f"seven agents, {policy}, {'9/min + 2/min' if limited else 'no limits'}": seven(
                policy, limited, runs
            )
            for policy in ("once", "restart_all")
            for limited in (True, False)
        },
    }


def beside(seconds: float) -> float:
    """Count the events a second of one of several processes, by the wall's clock."""
    work = played(chains(100, None), "sums")
    work()
    began, events = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds:
        events += work()[0]
    return events / took


def row(name: str, found: list[Took]) -> list[str]:
    events = found[0].events
    seconds = median(one.seconds for one in found)
    loops = median(one.seconds / one.loop for one in found)
    return [
        name,
        f"{events:,}",
        f"{events / seconds:,.0f}",
        f"{found[0].hours / seconds:,.0f}",
        f"{seconds / events * 1e6:.1f}",
        f"{loops:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five rounds, and fewer seeds")
    parser.add_argument("--rounds", type=int, help="how many (15)")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    rounds = given.rounds or (5 if given.quick else 15)
    runs = 40 if given.quick else 200
    todo = cases(300, runs)
    found: dict[str, list[Took]] = {name: [] for name in todo}
    for _ in range(rounds):
        for name, work in todo.items():
            found[name].append(timed(work))
    print("\n".join(measure.machine()), "\n")
    print(measure.table(HEAD, [row(name, took) for name, took in found.items()], 1))
    print(
        f"\nMedians of {rounds} rounds, CPU time, one process. Plain loops: how often the fixed "
        "loop would have run meanwhile.\nTen agents: calls of three minutes on average. Of seven "
        f"agents {runs} runs, whose calls take seconds."
    )
    late = []
    for policy in ("once", "restart_all"):
        name = f"seven agents, {policy}, 9/min + 2/min"
        seconds = median(one.seconds for one in found[name]) / runs * 1_000
        print(f"1,000 simulations of {name}: {seconds:.1f} s")
        if seconds > 10:
            late.append(f"{name}: {seconds:.1f} s for 1,000 simulations")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        one = pool.map(beside, [2.0])
        two = pool.map(beside, [2.0, 2.0], chunksize=1)
    print(f"By the wall's clock, one process: {one[0]:,.0f} events/s; two: {sum(two):,.0f}")
    if given.json:
        whole = {name: [one._asdict() for one in took] for name, took in found.items()}
        given.json.write_text(json.dumps(whole | {"one": one, "two": two}, indent=1) + "\n")
    if late:
        raise SystemExit("; ".join(late))


if __name__ == "__main__":
    main()
