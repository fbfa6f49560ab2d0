"""A process with calls under shared limits, for tests that run several, stop them, or kill them.

With ``count``, it makes calls under a limit of so many at once, and notes in a file of its own when
each begins and ends, by the machine's monotonic clock.
With ``serve``, it is driven by lines on stdin and answers each with a line on stdout.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hocket.core import events as ev
from hocket.core.specs import PlanSpec, RunSpec, StepSpec
from hocket.core.values import SECOND, Call
from hocket.journal.sharing import Told
from hocket.journal.sqlite import SqliteJournal
from hocket.limits.claim import Claim, Entry

KEEP = {"slots": 0, "window": 3600 * SECOND}


def started(run: str) -> ev.RunStarted:
    spec = RunSpec(workflow=PlanSpec(name="demo", steps=(StepSpec(name="s", agent="a"),)))
    return ev.RunStarted(
        at=1, run=run, spec=spec, digest="", inputs={}, seed=1, versions={"plan": 1}, program="t"
    )


def event(number: int) -> ev.CallFinished:
    return ev.CallFinished(at=number, call=Call("s", number))


def shown(told: Told) -> dict[str, Any]:
    return {
        "entries": sorted([e.key, e.sent, e.over, e.claim.tokens_in] for e in told.entries),
        "forgotten": sorted(key for _, key in told.forgotten),
    }


async def count(
    journal: SqliteJournal, name: str, most: int, calls: int, notes: Path, together: int
) -> None:
    """Be the plainest limiter: so many rows, as far as this process was told.

    It begins when as many processes are there.
    """
    rung = asyncio.Event()
    ledger = journal.ledger(rung.set)
    others: set[str] = set()
    log = await journal.start(started(name))
    while len(journal.runs()) < together:  # noqa: ASYNC110 - other processes bring it about
        await asyncio.sleep(0.01)

    def take(told: Told) -> None:
        for item in told.entries:
            (others.discard if item.over else others.add)(item.key)
        others.difference_update(key for _, key in told.forgotten)

    with notes.open("w") as file:
        for number in range(calls):
            key = f"{name}#{number}"
            while True:
                rung.clear()
                take(await ledger.sync(["slots"], time.time_ns()))
                if len(others) >= most:
                    await asyncio.wait_for(rung.wait(), 30)
                    continue
                entry = Entry("slots", key, 1, Claim())
                (granted,), told = await ledger.reserve([entry], time.time_ns(), KEEP)
                take(told)
                if granted:
                    break
            await log.durable(log.append([event(number + 1)], (), [key]))
            ledger.sent(key, time.time_ns())
            begin = time.monotonic_ns()
            await asyncio.sleep(0.002)
            print(begin, time.monotonic_ns(), file=file, flush=True)
            ledger.settle([Entry("slots", key, 1, Claim(), None, True)], time.time_ns())
    await log.close()


async def serve(journal: SqliteJournal, name: str, read: Callable[[], Any]) -> None:
    """Do as the lines on stdin say; ``rung`` comes by itself."""
    ledger = journal.ledger(lambda: print("rung", flush=True))
    log = await journal.start(started(name))
    events = 0
    print("ready", flush=True)
    while words := (await read()).split():
        what, *keys = words
        now = time.time_ns()
        entries = [Entry("window", key, 1, Claim(tokens_in=7)) for key in keys]
        answer: Any = "ok"
        if what == "reserve":
            granted, told = await ledger.reserve(entries, now, KEEP)
            answer = {"granted": granted, **shown(told)}
        elif what == "claim":
            events += 1
            await log.durable(log.append([event(events)], (), keys))
        elif what == "sent":
            for key in keys:
                ledger.sent(key, now)
        elif what == "settle":
            over = [Entry("window", key, 1, Claim(tokens_in=1), None, True) for key in keys]
            ledger.settle(over, now)
        elif what == "sync":
            answer = shown(await ledger.sync(["window"], now))
        print(json.dumps(answer), flush=True)


async def main() -> None:
    what, state, name, lease, *rest = sys.argv[1:]
    with SqliteJournal(Path(state), lease=float(lease)) as journal:
        if what == "count":
            most, calls, notes, together = rest
            await count(journal, name, int(most), int(calls), Path(notes), int(together))
        else:
            loop = asyncio.get_running_loop()
            await serve(journal, name, lambda: loop.run_in_executor(None, sys.stdin.readline))


if __name__ == "__main__":
    asyncio.run(main())
