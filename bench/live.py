"""What it costs to watch a run: bytes, frames, and what the run itself loses by it.

A server in a process of its own drives runs of 1,000 steps whose calls say 20 KB each; three
clients watch over real WebSockets. One opens a step and loses its connection twenty times, one
just watches, one does not read until the run is over. In the end each must show what the journal
says.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import measure
import msgspec
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from hocket.app.engine import Engine
from hocket.app.host import Host
from hocket.core.errors import HocketError
from hocket.core.events import CallFinished, CallStarted, Recorded, Usage, Wait
from hocket.core.specs import AgentSpec, PlanSpec, RunSpec, StepSpec
from hocket.core.values import Call
from hocket.journal.sqlite import SqliteJournal
from hocket.report.board import Board
from hocket.server.app import make_app
from hocket.server.feed import new_machine
from hocket.server.live import Live
from hocket.server.settings import Settings
from hocket.server.site import Site
from hocket.server.tokens import tokens_of
from hocket.simulator.agents import Asked, Cast, Latency, Player
from hocket.simulator.play import play
from hocket.workflows.check import complete

WIDTH = 25
SLOTS = 32
CHUNK = 500
CHUNKS = 40
DROPS = 20
OPENED = 0.4
"""Which step is opened: that one of all that stands so far down."""
LIMIT = 50_000
encode = msgspec.json.Encoder().encode


def chunk(number: int) -> str:
    """A piece of a log, of exactly so many bytes."""
    return f" {number:04d}" + "".join(chr(97 + (7 * number + i) % 26) for i in range(CHUNK - 5))


def plan(steps: int, seconds: float) -> RunSpec:
    """Layers of steps that each say 20 KB while they run."""
    text = "".join(chunk(number) for number in range(CHUNKS))
    reply = {"output": text[:200], "after": f"{seconds}s", "tokens_in": 900, "tokens_out": 5_000}
    by = {".*": [{**reply, "output": text, "stream": True, "cost": 0.01}]}
    agents = {"talker": AgentSpec(kind="scripted", options={"by": by})}
    return complete(
        RunSpec(
            workflow=PlanSpec(name="watched", steps=tuple(_layers(steps))),
            agents=agents,
            max_parallel=SLOTS,
        )
    )


def _layers(steps: int) -> Iterator[StepSpec]:
    draw = random.Random(5)
    for number in range(steps):
        layer = number // WIDTH
        before = range((layer - 1) * WIDTH, layer * WIDTH)
        needs = sorted(draw.sample(before, draw.randint(1, 3))) if layer else []
        yield StepSpec(
            name=f"step-{number}",
            agent="talker",
            input=f"Do part {number}.",
            needs=tuple(f"step-{need}" for need in needs),
        )


# -- the server, in a process of its own ----------------------------------------------------------


async def serve(state: Path, steps: int, seconds: float) -> None:
    """Serve, and start a run whenever a line with its name is read."""
    bound = socket.create_server(("127.0.0.1", 0))
    # The kernel would keep megabytes for a client that does not read, and nothing would stall.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    spec = plan(steps, seconds)
    async with Engine(state, look_ahead=0) as engine:
        host = Host(engine)
        await host.open()
        tokens = tokens_of(state)
        live = Live(engine.journal, engine.state, host.driven)
        site = Site(host, Settings(port=bound.getsockname()[1]), tokens, live)
        config = uvicorn.Config(make_app(site), lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([bound]))
        told = {"port": site.settings.port, "token": tokens.view}
        print(json.dumps(told), flush=True)
        while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
            cpu, wall = time.process_time(), time.perf_counter()
            await host.start_spec(spec, {}, run_id=name)
            run = host.driven(name)
            assert run is not None
            await run.result()
            spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            print(json.dumps(spent), flush=True)
        server.should_exit = True
        await serving
        await live.close()
        await site.close()
        await host.close()


class Server:
    """The server's process."""

    def __init__(self, state: Path, steps: int, seconds: float) -> None:
        self.state = state
        self._args = ["--serve", str(state), "--steps", str(steps), "--seconds", str(seconds)]
        self.port = 0
        self.token = ""

    async def __aenter__(self) -> Server:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            *self._args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        told = await self._line()
        self.port, self.token = told["port"], told["token"]
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def run(self, name: str) -> dict[str, float]:
        """Run the plan once; gives its seconds by the wall and of processor."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n".encode())
        return await self._line()

    async def _line(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise SystemExit("the server has ended; what it said is above")
        return json.loads(line)


# -- those who watch ------------------------------------------------------------------------------


class Watcher:
    """A client that keeps what it is sent, as the page does."""

    def __init__(self, server: Server, run: str, log: str = "") -> None:
        self.server, self.run, self.log_path = server, run, log
        self.head: dict[str, Any] = {}
        self.rows: dict[str, Any] = {}
        self.calls: dict[str, Any] = {}
        self.log = ""
        self.log_end = 0
        self.log_over = False
        self.seen: dict[str, int | None] = {"run": None, "calls": None}
        self.halfway = {"run": False, "calls": False}
        self.bytes = self.frames = self.largest = self.drops = 0
        self.snapshots = self.lags = 0

    def link(self, **more: Any) -> connect:
        """A new connection."""
        return connect(
            f"ws://127.0.0.1:{self.server.port}/api/live",
            subprotocols=[Subprotocol("hocket"), Subprotocol(f"token.{self.server.token}")],
            compression=None,
            ping_interval=None,
            **more,
        )

    @property
    def whole(self) -> bool:
        """Whether it has all of a run that has ended."""
        seq = self.head.get("seq")
        there = self.seen == {"run": seq, "calls": seq} and not any(self.halfway.values())
        return self.head.get("ended") is not None and there and (self.log_over or not self.log_path)

    async def watch(self, link: ClientConnection) -> None:
        """Say what is watched, and how far it has come."""
        topics: list[dict[str, Any]] = [
            {"topic": kind, "run": self.run, "after": None if self.halfway[kind] else seen}
            for kind, seen in self.seen.items()
        ]
        if self.log_path:
            place = {"path": self.log_path, "attempt": 1, "from": self.log_end}
            topics.append({"topic": "log", "run": self.run, **place})
        await link.send(json.dumps({"watch": topics}))

    async def follow(self, drop_every: float | None = None) -> None:
        """Watch until all is there; lose the connection now and then."""
        draw = random.Random(3)
        while not self.whole:
            async with self.link() as link:
                await self.watch(link)
                until = None
                if drop_every is not None and self.drops < DROPS:
                    until = time.monotonic() + drop_every * draw.uniform(0.3, 1.7)
                try:
                    await self._take_until(link, until)
                except ConnectionClosed:
                    continue
                if not self.whole:
                    self.drops += 1
                    link.transport.abort()

    async def _take_until(self, link: ClientConnection, until: float | None) -> None:
        while not self.whole:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    data = await link.recv(decode=False)
            except TimeoutError:
                return
            self.take(data)

    def take(self, data: bytes) -> None:
        """Take a frame in."""
        self.bytes += len(data)
        self.frames += 1
        self.largest = max(self.largest, len(data))
        frame = json.loads(data)
        kind = frame.get("t")
        if kind == "log":
            assert frame["o"] == self.log_end
            self.log, self.log_end = self.log + frame["d"], frame["e"]
            self.log_over = frame.get("end", False)
        elif kind in self.seen:
            if frame.get("snap") and frame["page"] == 0:
                self.snapshots += 1
                (self.rows if kind == "run" else self.calls).clear()
            else:
                assert frame["p"] == self.seen[kind], (frame["p"], self.seen)
            self.seen[kind] = frame["s"]
            self.halfway[kind] = frame.get("more", False)
            self.head |= frame.get("head", {})
            self.rows |= {row["id"]: row for row in frame.get("rows", ())}
            self.calls |= {call["c"]: call for call in frame.get("calls", ())}
        elif kind == "lag":
            self.lags += 1
        else:
            raise SystemExit(f"unexpected: {data[:300]!r}")


async def watched(server: Server, name: str, steps: int, seconds: float) -> dict[str, Any]:
    """Run the plan with three watchers."""
    opened = f"step-{int(steps * OPENED)}"
    broken, steady = Watcher(server, name, opened), Watcher(server, name)
    stalled = Watcher(server, name)
    wall = asyncio.create_task(server.run(name))
    await asyncio.sleep(0.3)
    least = seconds * steps / WIDTH
    small = socket.create_connection(("127.0.0.1", server.port))
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    async with stalled.link(sock=small, max_queue=1) as link:
        await stalled.watch(link)
        watching = asyncio.gather(broken.follow(least / (DROPS + 4)), steady.follow())
        spent = await wall
        await watching
        # Only now the third begins to read; if it was let go meanwhile, it comes again.
        try:
            await stalled._take_until(link, time.monotonic() + 60)
        except ConnectionClosed:
            stalled.drops += 1
    await stalled.follow()
    return {**spent, "watchers": (broken, steady, stalled)}


def compare(state: Path, run: str, watchers: Sequence[Watcher]) -> None:
    """Each watcher shows what the journal says."""
    board, texts = Board(new_machine()), {}
    with SqliteJournal(state) as journal:
        for recorded in journal.read(run):
            board.add(recorded)
    rows = json.loads(encode({row.id: row for row in board.rows()}))
    calls, head = json.loads(encode(board.calls)), json.loads(encode(board.head()))
    for place, watcher in enumerate(watchers):
        if watcher.rows != rows or watcher.calls != calls:
            raise SystemExit(f"watcher {place} does not show what the journal says")
        if {name: watcher.head[name] for name in head} != head:
            raise SystemExit(f"watcher {place} has another head than the journal says")
        if watcher.log_path:
            texts[place] = watcher.log
            if watcher.log != "".join(chunk(number) for number in range(CHUNKS)):
                raise SystemExit(f"watcher {place} has another log than was said")
        if watcher.largest > LIMIT:
            raise SystemExit(f"watcher {place} got a frame of {watcher.largest:,} bytes")


# -- what others would have sent ------------------------------------------------------------------


def others(state: Path, run: str, opened: str) -> list[tuple[str, int, int, int]]:
    """Messages, bytes and the largest message of other ways to tell the same, exactly."""
    board, rows = Board(new_machine()), dict[str, dict[str, Any]]()
    logs: dict[str, int] = {}
    whole = [0, 0, 0]
    patch, patch_one = [0, 0, 0], [0, 0, 0]
    total = 0
    for update in _trace(state, run):
        if isinstance(update, Recorded):
            seen = board.seq
            board.add(update)
            names = [c.name for c in board.since(seen)] if seen else board.names()
            ops = []
            for row in board.rows(names):
                now = msgspec.to_builtins(row)
                before = rows.get(row.id)
                total += len(encode(now)) - (0 if before is None else len(encode(before)))
                if before is None:
                    # The comma and the empty list of what it says.
                    total += 10
                    ops.append({"op": "add", "path": f"/steps/{row.id}", "value": now})
                else:
                    ops += _ops(row.id, before, now)
                rows[row.id] = now
            size = len(encode(ops))
            if ops:
                _count(patch, size)
                _count(patch_one, size)
        else:
            path, text = update
            data = len(encode(text)) + 1
            logs[path] = logs.get(path, 0) + data
            total += data
            op = [{"op": "add", "path": f"/steps/{path}/log/-", "value": text}]
            _count(patch, len(encode(op)))
            if path == opened:
                _count(patch_one, len(encode(op)))
        _count(whole, total + len(encode(board.head())))
    return [
        ("the whole state, with each change", *whole),
        ("JSON Patch, with each change", *patch),
        ("JSON Patch, logs of the open step only", *patch_one),
    ]


def _ops(path: str, before: dict[str, Any], now: dict[str, Any]) -> list[dict[str, Any]]:
    ops: list[dict[str, Any]] = []
    for name, value in now.items():
        if name not in before or before[name] != value:
            op = "replace" if name in before else "add"
            ops.append({"op": op, "path": f"/steps/{path}/{name}", "value": value})
    gone = [name for name in before if name not in now]
    return ops + [{"op": "remove", "path": f"/steps/{path}/{name}"} for name in gone]


def _count(sums: list[int], size: int) -> None:
    sums[0] += 1
    sums[1] += size
    sums[2] = max(sums[2], size)


def _trace(state: Path, run: str) -> list[Recorded | tuple[str, str]]:
    """The run's events, and what its calls said, in the order in which it happened."""
    timed: list[tuple[int, int, Recorded | tuple[str, str]]] = []
    began: dict[Call, int] = {}
    with SqliteJournal(state) as journal:
        for recorded in journal.read(run):
            event = recorded.event
            timed.append((event.at, recorded.seq, recorded))
            if isinstance(event, CallStarted):
                began[event.call] = event.at
            elif isinstance(event, CallFinished):
                since, path = began[event.call], event.call.path
                for number in range(CHUNKS):
                    at = since + (event.at - since) * (number + 1) // (CHUNKS + 1)
                    timed.append((at, recorded.seq, (path, chunk(number))))
    timed.sort(key=lambda one: one[:2])
    return [update for _, _, update in timed]


# -- what it costs to fold ------------------------------------------------------------------------


def folding(steps: int) -> tuple[float, float, float, int]:
    """Microseconds of an event in the machine alone, on the board, and with frames each 50."""
    spec = plan(steps, 0.1)
    player = Player(latency=Latency(10**9, 0.5), gives=_given)
    events = play(spec, {}, Cast({}, player), 1, budget=20 * steps).events
    recorded = [Recorded(seq, _waited(event)) for seq, event in enumerate(events, 1)]

    def machine() -> None:
        bare = new_machine()
        for one in recorded:
            bare.apply(one.event)
            bare.drain()

    def board() -> None:
        told = Board(new_machine())
        for one in recorded:
            told.add(one)

    def frames() -> None:
        told, seen = Board(new_machine()), 0
        for place, one in enumerate(recorded):
            told.add(one)
            if place % 50 == 0:
                encode(told.rows([change.name for change in told.since(seen)][:400]))
                encode(told.head(seen))
                seen = told.seq

    each = [_microseconds(work, len(recorded)) for work in (machine, board, frames)]
    return each[0], each[1], each[2], len(recorded)


def _given(asked: Asked) -> str:
    return "done"


def _waited(event: Any) -> Any:
    if isinstance(event, CallStarted):
        wait = Wait("slot:run", event.at - 1_000, event.at)
        return msgspec.structs.replace(event, waits=(wait,))
    if isinstance(event, CallFinished):
        return msgspec.structs.replace(event, usage=Usage(tokens_in=1, tokens_out=2, cost=3))
    return event


def _microseconds(work: Any, count: int) -> float:
    times = []
    for _ in range(3):
        since = time.process_time()
        work()
        times.append(time.process_time() - since)
    return 1e6 * min(times) / count


# -- all of it ------------------------------------------------------------------------------------


async def measured(steps: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Run with and without watchers, in turn."""
    measure.STATE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=measure.STATE) as folder:
        state = Path(folder)
        walls: dict[str, list[dict[str, Any]]] = {"alone": [], "watched": []}
        async with Server(state, steps, seconds) as server:
            await server.run("warm")
            for number in range(rounds):
                for kind in ("alone", "watched") if number % 2 else ("watched", "alone"):
                    name = f"{kind}-{number}"
                    if kind == "alone":
                        walls[kind].append(await server.run(name))
                        continue
                    found = await watched(server, name, steps, seconds)
                    compare(state, name, found["watchers"])
                    walls[kind].append(found)
        opened = f"step-{int(steps * OPENED)}"
        told = others(state, "watched-0", opened)
    return {**walls, "others": told}


def show(found: dict[str, Any], steps: int) -> None:
    """Print the tables."""
    names = ("opens a step, loses its connection", "only watches", "does not read until the end")
    print(f"\n### What is sent: {steps:,} steps, {steps * CHUNK * CHUNKS / 1e6:.0f} MB of logs\n")
    print("| | Messages | Bytes | Largest | Lost connections |\n|---|--:|--:|--:|--:|")
    for place, name in enumerate(names):
        all_of = [round_["watchers"][place] for round_ in found["watched"]]
        one = sorted(all_of, key=lambda watcher: watcher.bytes)[-1]
        largest = max(watcher.largest for watcher in all_of)
        numbers = f"{one.frames:,} | {one.bytes:,} | {largest:,} | {one.drops}"
        print(f"| **Hocket**, who {name} | {numbers} |")
    for name, messages, size, largest in found["others"]:
        print(f"| {name} | {messages:,} | {size:,} | {largest:,} | 0 |")
    alone = [one["wall"] for one in found["alone"]]
    seen = [one["wall"] for one in found["watched"]]
    cpu = [statistics.median([one["cpu"] for one in found[kind]]) for kind in ("alone", "watched")]
    print("\n### What the run loses by it\n")
    print("| | Wall, s: each round | Median | Processor, s |\n|---|---|--:|--:|")
    for name, walls, used in (("alone", alone, cpu[0]), ("three watch", seen, cpu[1])):
        each = " ".join(f"{wall:.2f}" for wall in walls)
        print(f"| {name} | {each} | {statistics.median(walls):.2f} | {used:.2f} |")
    more = statistics.median(seen) / statistics.median(alone) - 1
    print(f"\nWith watchers the run takes {100 * more:+.1f} % of its time more.")
    print("Every watcher showed what the journal says, row by row and call by call.")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 steps, one round")
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=0.6, help="how long each call takes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        asyncio.run(serve(args.serve, args.steps, args.seconds))
        return
    steps, rounds = (200, 1) if args.quick else (args.steps, args.rounds)
    try:
        found = asyncio.run(measured(steps, args.seconds, rounds))
    except HocketError as error:
        raise SystemExit(str(error)) from error
    show(found, steps)
    print("\n### What an event costs the server, µs of processor\n")
    print("| Steps | Events | Machine | Board | Board and frames |\n|--:|--:|--:|--:|--:|")
    for count in (1_000,) if args.quick else (1_000, 10_000):
        machine, board, frames, events = folding(count)
        print(f"| {count:,} | {events:,} | {machine:.1f} | {board:.1f} | {frames:.1f} |")


if __name__ == "__main__":
    main()
