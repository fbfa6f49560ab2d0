"""A process that writes a run into a journal in PostgreSQL and is killed in the middle of it.

It reads jobs from stdin, ``WHAT URL STATE`` a line, and forks a child for each, so that a job costs
no start of an interpreter: it says the child's process id, and at its end how it ended.
What the child was promised to be durable it notes in the file ``acks``, only afterwards.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.crash import plan_run
from tests.crash.worker import acker, recover_in, write_into

from hocket.journal.postgres import PostgresJournal


async def work(what: str, url: str, state: Path) -> None:
    ack = acker(os.open(state / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    journal = PostgresJournal(url)
    if what == "write":
        await write_into(journal, state, ack)
    elif what == "recover":
        await recover_in(journal, ack)
    else:
        await plan_run.begin_in(state, journal)


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        what, url, folder = line.split(maxsplit=2)
        state = Path(folder.strip())
        state.mkdir(parents=True, exist_ok=True)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                asyncio.run(work(what, url, state))
                status = 0
            finally:
                os._exit(status)
        print(pid, flush=True)
        _, ended = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


if __name__ == "__main__":
    main()
