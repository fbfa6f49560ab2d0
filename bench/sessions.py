"""Coding agents kept warm beside a process for each prompt: 18 review calls, with the real CLIs.

    python bench/sessions.py [--cli FOLDER] [--rounds 3] [--json FILE]

Claude Code and Codex are installed from npm into a folder of the user's cache, once.
Their model is a server on the loopback that answers at once, so that what is measured is theirs and
Hocket's alone; the server also sees whether a session knows anything of another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import measure

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.agents.coding_agents import home, options_of, session_agent
from tests.agents.coding_server import CodingServer
from tests.agents.context import FakeContext, request

from hocket.agents.session_group import members, memory

PACKAGES = {"claude": "@anthropic-ai/claude-code", "codex": "@openai/codex"}
REVIEWERS, CALLS, AT_ONCE = 6, 3, 4
PROMPTS = 12
LINES = ("-    value_{0} = read(source, {0})\n", "+    value_{0} = parse({0})\n")
DIFF = "".join(line.format(i) for i in range(40) for line in LINES)


class Row(NamedTuple):
    """What 18 calls took.

    Fields:
        wall: Seconds from the first call to the last reply.
        cpu: Seconds of the processor, of the programs alone.
        processes: How many were started.
        memory: MB that they took at the end, shared memory by its share; 0 if none stays.
        leaks: How many calls saw words of another.
    """

    wall: float
    cpu: float
    processes: int
    memory: float
    leaks: int


def install(folder: Path) -> dict[str, Path]:
    """Install the CLIs unless they are there."""
    programs = {kind: folder / "node_modules" / ".bin" / kind for kind in PACKAGES}
    if not all(program.exists() for program in programs.values()):
        folder.mkdir(parents=True, exist_ok=True)
        flags = ["--no-audit", "--no-fund", "--omit-lockfile-registry-resolved"]
        subprocess.run(
            ["npm", "install", *flags, "--prefix", str(folder), *PACKAGES.values()], check=True
        )
    return programs


def version(program: Path) -> str:
    done = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def ended() -> float:
    """Give the seconds of the processor that all took that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def alive(pid: int) -> float:
    """Give the seconds that a process and all it began have taken until now."""
    ticks = 0
    for one in members(pid):
        fields = Path(f"/proc/{one}/stat").read_bytes().rpartition(b")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


async def review(kind: str, program: Path, one_shot: str) -> Row:
    """Have 6 reviewers look at 3 things each, 4 at once."""
    with tempfile.TemporaryDirectory() as folder:
        async with CodingServer("approve") as server:
            variables = home(Path(folder) / "home", server.url)
            options = options_of(kind, str(program), variables, one_shot=one_shot)
            agent = session_agent(Path(folder) / "state", **options)
            room = asyncio.Semaphore(AT_ONCE)
            names = [f"marker-{i}-{j}" for i in range(REVIEWERS) for j in range(CALLS)]

            async def one(name: str) -> None:
                async with room:
                    await agent.call(request(f"Review {name}:\n{DIFF}"), FakeContext())

            used, began = ended(), time.perf_counter()
            await asyncio.gather(*(one(name) for name in names))
            wall = time.perf_counter() - began
            pids = agent.pools.pids() if one_shot == "never" else []
            held = sum(memory(pid) for pid in pids) / 1e6
            took = sum(alive(pid) for pid in pids)
            processes = agent.pools.state()[0].spawned
            if one_shot == "always":
                # They end by themselves, and are reaped by a thread, a moment later.
                await asyncio.sleep(1)
                took = ended() - used
            await agent.close()
            leaks = sum(
                sum(name in seen.all for name in names) != 1 for seen in server.prompts()
            ) + abs(len(server.prompts()) - len(names))
    return Row(wall, took, processes, held, leaks)


async def prompts(kind: str, program: Path, one_shot: str) -> list[float]:
    """Ask one prompt after the other, and give the milliseconds of each."""
    with tempfile.TemporaryDirectory() as folder:
        async with CodingServer("approve") as server:
            variables = home(Path(folder) / "home", server.url)
            options = options_of(kind, str(program), variables, one_shot=one_shot, pool=1)
            agent = session_agent(Path(folder) / "state", **options)
            took = []
            for i in range(PROMPTS):
                began = time.perf_counter()
                await agent.call(request(f"Review {i}:\n{DIFF}"), FakeContext())
                took.append((time.perf_counter() - began) * 1000)
            await agent.close()
    return took


def median(rows: list[Row]) -> Row:
    return Row(*(statistics.median(values) for values in zip(*rows, strict=True)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--cli", type=Path, default=cache / "hocket-bench" / "cli")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    os.environ["ANTHROPIC_API_KEY"] = "a-key-for-the-loopback"
    programs = install(args.cli)
    found: dict[str, Any] = {"load": os.getloadavg()[0], "cores": os.cpu_count()}
    head = (
        *("CLI", "", "wall s", "CPU s", "processes", "MB", "leaks"),
        *("1st prompt ms", "2nd", "median of the rest", "worst"),
    )
    lines: list[tuple[str, ...]] = []
    bad = 0
    for kind, program in programs.items():
        name = f"{kind} {version(program)}"
        rows: dict[str, list[Row]] = {"warm": [], "one-shot": []}
        for _ in range(args.rounds):
            # In turn, so that a busy minute of the machine is shared.
            rows["warm"].append(asyncio.run(review(kind, program, "never")))
            rows["one-shot"].append(asyncio.run(review(kind, program, "always")))
        for mode, measured in rows.items():
            row = median(measured)
            one_shot = "never" if mode == "warm" else "always"
            rounds = [asyncio.run(prompts(kind, program, one_shot)) for _ in range(args.rounds)]
            firsts, seconds = ([took[i] for took in rounds] for i in (0, 1))
            rest = [value for took in rounds for value in took[1:]]
            second = statistics.median(seconds)
            each = (statistics.median(firsts), second, statistics.median(rest), max(rest))
            lines.append(
                (
                    *(name, mode, f"{row.wall:.2f}", f"{row.cpu:.2f}", f"{row.processes:.0f}"),
                    *(f"{row.memory:.0f}", f"{row.leaks:.0f}"),
                    *(f"{value:.0f}" for value in each),
                )
            )
            found[f"{name} {mode}"] = {"18 calls": row._asdict(), "prompts ms": rounds}
            bad += int(row.leaks) + (mode == "warm" and second > 200)
    print(measure.table(head, lines, 2))
    if args.json:
        args.json.write_text(json.dumps(found, indent=2))
    print(f"\nload {found['load']:.1f} before, {os.getloadavg()[0]:.1f} after. {measure.NOISE}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
