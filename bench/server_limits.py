"""Against a server that really refuses: how many 429s, and how much of what it allows is used.

One server lets 9 and 2 requests of two models through in any 2 s; another one is announced with 10
in 2 s, and lets 5 through.
Each request is on its way for up to 30 ms, drawn at random, before it is counted.
Asked by plans of an `hocket.Engine` on SQLite, and by tasks with an `hocket.Limiter`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import measure

import hocket

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.limits.server import Child, Counted, child, episodes, read_log, worst  # noqa: E402

SECOND = 1_000_000_000
WINDOW = 2
JITTER = "30ms"
SPARE = 3
"""So many windows longer than those that count are asked for: somebody always waits."""
RECOVERY = 20
"""A narrowed limit tries to widen after so many seconds: ten quiet windows."""


class Asked(NamedTuple):
    """A model that is asked.

    Fields:
        server: Which of the servers.
        model: Its name there.
        told: How many requests in a window we are told of.
        real: How many there are.
    """

    server: str
    model: str
    told: int
    real: int

    @property
    def name(self) -> str:
        return f"{self.server}-{self.model}"


ASKED = (
    Asked("honest", "fast", 9, 9),
    Asked("honest", "slow", 2, 2),
    Asked("wrong", "half", 10, 5),
)


async def post(address: str, model: str, leaves: Callable[[], None]) -> float | None:
    """Send one request; gives None, or how long a refusal asks us to wait, in seconds."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        leaves()
        writer.write(f"POST /call?model={model} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    finally:
        writer.close()
    if " 200 " in head.partition("\r\n")[0]:
        return None
    lines = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
    return float(lines["Retry-After"])


# ---- who asks ----


async def by_engine(servers: dict[str, Child], windows: int, folder: Path) -> None:
    """A run for each model, all on one engine."""

    def asks(asked: Asked) -> hocket.Agent[Any]:
        address = servers[asked.server].address

        async def ask(item: int, context: hocket.Context) -> int:
            wait = await post(address, asked.model, context.sent)
            if wait is not None:
                fault = hocket.Fault(
                    kind="rate_limited", message="429", retry_after=int(wait * SECOND)
                )
                raise hocket.AgentError(fault)
            return item

        limit = hocket.Limit(asked.name, requests=f"{asked.told}/{WINDOW}s")
        return hocket.Agent(f"asks-{asked.name}", function=ask, limits=limit)

    async def one(engine: hocket.Engine, asked: Asked) -> None:
        plan = hocket.Plan(asked.name, max_parallel=64, closures=True)
        plan.map("ask", asks(asked), list(range(asked.real * (windows + SPARE))))
        result = await engine.run(plan)
        assert result.status == "succeeded", result.reason

    async with hocket.Engine(folder) as engine:
        await asyncio.gather(*(one(engine, asked) for asked in ASKED))


async def by_limiter(servers: dict[str, Child], windows: int, folder: Path) -> None:
    """A task for each request; one that is refused asks again."""

    async def one(limiter: hocket.Limiter, asked: Asked) -> None:
        while True:
            async with limiter() as permit:
                wait = await post(servers[asked.server].address, asked.model, permit.sent)
                if wait is None:
                    permit.spent()
                    return
                permit.refused(wait)

    calls: list[Coroutine[Any, Any, None]] = []
    for asked in ASKED:
        limiter = hocket.Limiter(f"{asked.told}/{WINDOW}s", name=asked.name)
        calls += [one(limiter, asked) for _ in range(asked.real * (windows + SPARE))]
    await asyncio.gather(*calls)


WAYS = {"engine": ("a plan on an Engine", by_engine), "limiter": ("tasks, a Limiter", by_limiter)}


# ---- what came of it ----


def judge(log: list[Counted], asked: Asked, windows: int) -> dict[str, Any]:
    """Judge what the server has counted of one model."""
    log = sorted((one for one in log if one.model == asked.model), key=lambda one: one.at)
    let_in = [one.at for one in log if one.status == 200]
    # As fast as it is possible, so many go through in so many windows after those of the first.
    took = let_in[asked.real * (windows + 1) - 1] - let_in[asked.real - 1]
    return {
        "worst": worst(log, WINDOW * SECOND, refused=False),
        "refused": sum(one.status == 429 for one in log),
        "episodes": episodes(log, WINDOW * SECOND),
        "seconds": (log[-1].at - log[0].at) / SECOND,
        "share": windows * WINDOW * SECOND / took,
    }


def take(way: str, windows: int, state: Path) -> dict[str, dict[str, Any]]:
    folder = Path(tempfile.mkdtemp(prefix="server-limits-", dir=state))
    logs = {name: folder / f"{name}.jsonl" for name in ("honest", "wrong")}
    honest = [f"--rate={one.model}={one.real}/{WINDOW}s" for one in ASKED if one.server == "honest"]
    wrong = [f"--rate={one.model}={one.real}/{WINDOW}s" for one in ASKED if one.server == "wrong"]
    try:
        with contextlib.ExitStack() as stack:
            servers = {
                name: stack.enter_context(child(*rates, f"--jitter={JITTER}", log=logs[name]))
                for name, rates in (("honest", honest), ("wrong", wrong))
            }
            asyncio.run(WAYS[way][1](servers, windows, folder / "state"))
        return {one.name: judge(read_log(logs[one.server]), one, windows) for one in ASKED}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def row(way: str, asked: Asked, got: dict[str, Any]) -> list[str]:
    allowed = 0 if asked.told == asked.real else 1 + int(got["seconds"] / RECOVERY)
    good = got["worst"] <= asked.real and got["episodes"] <= allowed and got["share"] >= 0.95
    return [
        WAYS[way][0],
        f"told {asked.told}, really {asked.real}",
        str(got["worst"]),
        str(got["refused"]),
        f"{got['episodes']} of {allowed}",
        f"{got['share']:.1%}",
        "hold" if good else "DO NOT HOLD",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="six windows")
    parser.add_argument("--windows", type=int, help="how many windows count (20)")
    parser.add_argument("--by", nargs="+", choices=WAYS, default=list(WAYS), help="these alone")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--state", type=Path, default=measure.STATE, help="where journals stand")
    given = parser.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    windows = given.windows or (6 if given.quick else 20)
    head = measure.machine(["hocket"])
    before = measure.mood(given.state)
    print("\n".join([*head, f"Before: {before}"]), flush=True)
    taken = {way: take(way, windows, given.state) for way in given.by}
    after = measure.mood(given.state)
    print(f"After:  {after}\n")
    columns = ["asked by", f"in {WINDOW} s", "worst counted", "429s", "episodes"]
    columns += ["used of what is allowed", "bounds"]
    rows = [row(way, asked, got[asked.name]) for way, got in taken.items() for asked in ASKED]
    print(measure.table(columns, rows, 2))
    print(
        f"\nThe share is of the {windows} windows after the first. Bounds: never above what is "
        "real; no 429\nwhere we were told the truth, else one episode at most in each "
        f"{RECOVERY} s, which is how long a\nnarrowed limit takes before it tries more; 95 % used."
    )
    if given.json:
        whole: dict[str, Any] = {"machine": head, "before": before, "after": after, "got": taken}
        given.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
