"""What it costs that several machines share a population: ticks alone, and over a network.

    python bench/population_nodes.py [--agents N] [--ticks 100] [--rounds 3] [--only WHAT] [--quick]

Machines are network namespaces of this one, a core each; bytes are counted where their cables end.
It needs root for them; without, what needs no network is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.cluster.nets import Nets, missing, nets  # noqa: E402

from hocket.population.place import Place  # noqa: E402

EXAMPLES = {"explorers": 1, "sharers": 20}
"""What lives, and how many times fewer than asked for: sharers have models of several factors."""
PORT = 5001
BEGIN = 20
"""Ticks of the run whose bytes are taken off, as those of its beginning."""

Wrap = Callable[[int, list[str]], list[str]]


class Told(NamedTuple):
    """What a run says of itself."""

    checksum: str
    ticks_per_second: float


class Row(NamedTuple):
    """A row of the table.

    Fields:
        what: The example, and who shares it.
        agents: How many there are.
        tick: Milliseconds of a tick, the median of all rounds.
        least: The least.
        most: The most.
        sent: Bytes that the first machine sends in a tick; None without a network.
        load: Of the last minute, at the end.
        checksum: Of the population at its end.
    """

    what: str
    agents: int
    tick: float
    least: float
    most: float
    sent: int | None
    load: float
    checksum: str


def run(
    example: str, agents: int, ticks: int, processes: int, devices: int, address: str, wrap: Wrap
) -> Told:
    """Run a population by the command, in several processes that know their places."""
    command = [sys.executable, "-P", "-m", "hocket", "population", "run", example, "--json"]
    command += ["--agents", str(agents), "--ticks", str(ticks), "--devices", str(devices)]
    children = []
    for number in range(processes):
        place = {} if processes == 1 else Place(number, processes, address).environment
        children.append(
            subprocess.Popen(
                wrap(number, command),
                env={**os.environ, **place},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    said = [child.communicate() for child in children]
    for child, (_, errors) in zip(children, said, strict=True):
        if child.returncode != 0:
            raise RuntimeError(errors.decode())
    told = json.loads(said[0][0])
    return Told(told["checksum"], told["summary"]["pace"]["ticks_per_second"])


def here(number: int, command: list[str]) -> list[str]:
    """Run it on this machine itself."""
    return command


def measured(
    what: str, rounds: int, once: Callable[[int], Told], ticks: int, agents: int, made: Nets | None
) -> Row:
    """Run it some times; the bytes are those of a long run less those of a short one."""
    before = _sent(made)
    told = [once(ticks) for _ in range(rounds)]
    sent = None
    if made is not None:
        between = _sent(made)
        once(BEGIN)
        each = (between - before) / rounds - (_sent(made) - between)
        sent = round(each / (ticks - BEGIN))
    times = [1000 / one.ticks_per_second for one in told]
    (checksum,) = {one.checksum for one in told}
    load = os.getloadavg()[0]
    return Row(what, agents, statistics.median(times), min(times), max(times), sent, load, checksum)


def _sent(made: Nets | None) -> int:
    """Bytes that the first machine has sent, as counted at the other end of its cable."""
    if made is None:
        return 0
    plug = f"{made.machines[0].name.partition('-')[0]}p0"
    return int(Path(f"/sys/class/net/{plug}/statistics/rx_bytes").read_text())


def rows(example: str, agents: int, ticks: int, rounds: int, made: Nets | None) -> list[Row]:
    """Measure an example in all ways."""
    found = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        loopback = f"127.0.0.1:{free.getsockname()[1]}"
    ways: list[tuple[str, int, int, str, Wrap, Nets | None]] = [
        ("one process, one core", 1, 1, "", here, None),
        ("one process, two cores", 1, 2, "", here, None),
        ("two processes of a core, loopback", 2, 1, loopback, here, None),
    ]
    if made is not None:
        machines = made.machines

        def there(number: int, command: list[str]) -> list[str]:
            return machines[number].within(*command)

        address = f"{machines[0].address}:{PORT}"
        ways.append(("two machines of a core", 2, 1, address, there, made))
    for name, processes, devices, address, wrap, counted in ways:

        def once(
            ticks: int,
            processes: int = processes,
            devices: int = devices,
            address: str = address,
            wrap: Wrap = wrap,
        ) -> Told:
            return run(example, agents, ticks, processes, devices, address, wrap)

        found.append(measured(f"{example}, {name}", rounds, once, ticks, agents, counted))
        print(f"{found[-1].what}: {found[-1].tick:.2f} ms", file=sys.stderr, flush=True)
    return found


def table(found: Sequence[Row]) -> str:
    """Set the table."""
    lines = [
        "| population | agents | tick, ms | least – most | kB sent a tick | load |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in found:
        sent = "–" if row.sent is None else f"{row.sent / 1000:,.1f}"
        lines.append(
            f"| {row.what} | {row.agents:,} | {row.tick:.2f} | {row.least:.2f} – {row.most:.2f} | "
            f"{sent} | {row.load:.1f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--agents", type=int, default=100_000)
    parser.add_argument("--ticks", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="10,000 agents, one round.")
    parser.add_argument("--only", choices=EXAMPLES, help="One of the examples.")
    parser.add_argument("--json", type=Path, help="Also write the rows here.")
    told: Any = parser.parse_args(arguments)
    agents, ticks, rounds = told.agents, told.ticks, told.rounds
    if told.quick:
        agents, ticks, rounds = 10_000, 60, 1
    found: list[Row] = []
    wanted = {told.only: EXAMPLES[told.only]} if told.only else EXAMPLES
    if why := missing():
        print(f"no machines: {why}", file=sys.stderr)
        for example, fewer in wanted.items():
            found += rows(example, agents // fewer, ticks, rounds, None)
    else:
        with nets(2) as made:
            for example, fewer in wanted.items():
                found += rows(example, agents // fewer, ticks, rounds, made)
    print(table(found))
    for example in wanted:
        sums = {row.checksum for row in found if row.what.startswith(example)}
        print(f"{example}: {'one checksum' if len(sums) == 1 else f'DIFFERENT: {sums}'}")
        if len(sums) != 1:
            return 1
    if told.json is not None:
        told.json.write_text(json.dumps([row._asdict() for row in found], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
