"""A process that writes a run into a journal and is killed in the middle of it.

With arguments, ``WHAT STATE``, it does one job.
Else it reads jobs from stdin, ``WHAT AT HOW STATE`` a line, and forks a child for each, so that a
job costs no start of an interpreter; then it says how the child ended.
What the child was promised to be durable it notes in the file ``acks``, only afterwards.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crash import plan_run

from hocket.core import events as ev
from hocket.core.requests import Pause
from hocket.core.specs import PlanSpec, RunSpec, StepSpec
from hocket.core.values import SECOND, Call
from hocket.journal import schema
from hocket.journal.base import Answered, Sample, Taken
from hocket.journal.sqlite import SqliteJournal
from hocket.limits.claim import Claim, Entry

Ack = Callable[..., None]

MODES = {"before": 0, "after": 1, "torn": 2}
BATCHES = 16
EACH = 3

# A small log is merged often, so that the boundaries of merging are met as well.
schema.PRAGMAS = (*schema.PRAGMAS, "PRAGMA wal_autocheckpoint = 8")


def started() -> ev.RunStarted:
    spec = RunSpec(workflow=PlanSpec(name="crash", steps=(StepSpec(name="s", agent="a"),)))
    return ev.RunStarted(
        at=1, run="r", spec=spec, digest="", inputs={}, seed=1, versions={"plan": 1}, program="t"
    )


def batch(number: int) -> list[ev.CallFinished]:
    """Each event says its batch, its place in it, and the size; some are large."""
    output = {"batch": number, "of": EACH, "text": "x" * (40_000 if number % 5 == 4 else 200)}
    return [
        ev.CallFinished(at=number, call=Call(f"b{number}", k), output=output)
        for k in range(1, EACH + 1)
    ]


def held(number: int) -> Entry:
    """What the call of a batch holds of a shared limit."""
    return Entry("window", f"b{number}", 1, Claim(tokens_in=number))


def claims(number: int) -> bool:
    """Whether the call of a batch claims a shared limit."""
    return number % 4 == 1


def kept(number: int) -> list[Answered]:
    """The answers of a batch that are to be given again."""
    if number % 4 != 2:
        return []
    return [
        Answered(key=f"k{number}", at=number, output=event.output) for event in batch(number)[:1]
    ]


def acker(acks: int) -> Ack:
    """Give what notes down a promise."""

    def ack(*words: object) -> None:
        os.write(acks, (" ".join(map(str, words)) + "\n").encode())

    return ack


async def write(state: Path, acks: int) -> None:
    await write_into(SqliteJournal(state), state, acker(acks))


async def write_into(journal: Any, state: Path, ack: Ack) -> None:
    """Write a run of many kinds of commits into any journal, and close it."""
    log = await journal.start(started())
    ack("event", 1)
    ledger = journal.ledger(lambda: None)
    (state / "file").write_bytes(bytes(5000))
    for number in range(BATCHES):
        if number % 4 == 3:
            id = journal.post("r", Pause(by=str(number)))
            ack("posted", id)
            seq = log.append(batch(number), [Taken(id)])
            await log.durable(seq)
            ack("answered", id, seq)
        elif claims(number):
            entry = held(number)
            await ledger.reserve([entry], 1000 + number, {"window": 3600 * SECOND})
            seq = log.append(batch(number), (), [entry.key])
            await log.durable(seq)
            ack("claimed", entry.key)
            ledger.sent(entry.key, 2000 + number)
            if number % 8 == 1:
                over = Entry("window", entry.key, 1, Claim(tokens_in=99), None, True)
                ledger.settle([over], 3000 + number)
        else:
            seq = log.append(batch(number), kept=kept(number))
            await log.durable(seq)
        ack("event", seq)
    ref = journal.blobs.put(state / "file", "file")
    ack("file", ref.digest)
    journal.book.record([Sample(plan="p", step="s", agent="a", took=5)])
    ack("sample")
    seq = log.append([ev.RunEnded(at=99, status="succeeded")])
    await log.close()
    ack("event", seq)
    journal.close()
    ack("closed")


async def recover(state: Path, acks: int) -> None:
    await recover_in(SqliteJournal(state), acker(acks))


async def recover_in(journal: Any, ack: Ack) -> None:
    """Take the run up, write a little more, and close the journal."""
    log = await journal.resume("r")
    for number in range(3):
        seq = log.append([ev.RunResumed(at=100 + number, epoch=log.epoch)])
        await log.durable(seq)
        ack("event", seq)
    journal.close()


async def run_plan(state: Path, acks: int) -> None:
    await plan_run.begin(state)
    os.write(acks, b"ended\n")


JOBS = {"write": write, "recover": recover, "plan": run_plan}


def child(what: str, at: int, how: str, state: Path, library: ctypes.CDLL) -> None:
    state.mkdir(parents=True, exist_ok=True)
    acks = os.open(state / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    library.crash_arm(schema.FILE.encode(), at, MODES[how])
    asyncio.run(JOBS[what](state, acks))
    (state / "count").write_text(str(library.crash_count()))


def main() -> None:
    if len(sys.argv) > 1:
        what, state = sys.argv[1], Path(sys.argv[2])
        acks = os.open(state / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        asyncio.run(JOBS[what](state, acks))
        return
    library = ctypes.CDLL(None)
    library.crash_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int]
    library.crash_count.restype = ctypes.c_long
    print("ready", flush=True)
    for line in sys.stdin:
        what, at, how, state = line.split(maxsplit=3)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child(what, int(at), how, Path(state.strip()), library)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
