"""A process that owns a run, for tests that stop it, kill it, or take its run over.

It is driven by lines on stdin and answers each with a line on stdout.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from hocket.core import events as ev
from hocket.core.errors import JournalError, OwnershipLost
from hocket.core.specs import PlanSpec, RunSpec, StepSpec
from hocket.core.values import Call
from hocket.journal.base import Posted, Store
from hocket.journal.postgres import PostgresJournal
from hocket.journal.sqlite import SqliteJournal


def started(run: str) -> ev.RunStarted:
    spec = RunSpec(workflow=PlanSpec(name="demo", steps=(StepSpec(name="s", agent="a"),)))
    return ev.RunStarted(
        at=1, run=run, spec=spec, digest="", inputs={}, seed=1, versions={"plan": 1}, program="t"
    )


def opened(place: str, lease: float) -> Store:
    """The journal of a state folder, or of a database."""
    if "://" in place:
        return PostgresJournal(place, lease=lease)
    return SqliteJournal(Path(place), lease=lease)


async def main(place: str, run: str, lease: float) -> None:
    journal = opened(place, lease)
    log = await journal.start(started(run))

    def posted(posts: Sequence[Posted]) -> None:
        if posts:
            print("posted", *(post.id for post in posts), flush=True)

    log.watch(lambda seq: None, posted)
    print("owned", flush=True)
    loop = asyncio.get_running_loop()
    while (line := (await loop.run_in_executor(None, sys.stdin.readline)).strip()) != "":
        try:
            event = ev.CallFinished(at=2, call=Call(line, 1), output=line)
            await log.durable(log.append([event]))
            print("durable", log.seq, flush=True)
        except (OwnershipLost, JournalError) as error:
            print(type(error).__name__, error, flush=True)
    journal.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
