"""A plain queue in PostgreSQL: SKIP LOCKED, a lease of two seconds, and an epoch as the fence."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import asyncpg
from tests.cluster.processes import Process
from tests.cluster.steps import doze

from peers.contender import READY, Contender, say_over

TABLE = """
CREATE TABLE jobs (n int PRIMARY KEY, log text, epoch int NOT NULL DEFAULT 0,
    until timestamptz NOT NULL DEFAULT '-infinity', result int);
CREATE INDEX ON jobs (until) WHERE result IS NULL;
CREATE TABLE finished (n int NOT NULL)"""
CLAIM = """
UPDATE jobs SET epoch = epoch + 1, until = now() + '2 s' WHERE n = (
    SELECT n FROM jobs WHERE result IS NULL AND until < now()
    ORDER BY n FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING n, epoch, log"""
FINISH = """
WITH done AS (UPDATE jobs SET result = $3 WHERE n = $1 AND epoch = $2 RETURNING n)
INSERT INTO finished SELECT n FROM done"""
IDLE = 0.05


async def work(url: str, slots: int) -> None:
    """Do jobs for ever; a step of 50 ms is over long before its lease."""
    async with asyncpg.create_pool(url, min_size=slots, max_size=slots) as pool:
        print(READY, flush=True)
        await asyncio.gather(*(_slot(pool) for _ in range(slots)))


async def _slot(pool: Any) -> None:
    while True:
        job = await pool.fetchrow(CLAIM)
        if job is None:
            await asyncio.sleep(IDLE)
            continue
        result = await doze(job["n"], job["log"])
        await pool.execute(FINISH, job["n"], job["epoch"], result)


async def drive(url: str, steps: int, log: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.executemany(
        "INSERT INTO jobs VALUES ($1, $2)", [(n, log) for n in range(steps)]
    )
    while await connection.fetchval("SELECT count(*) FROM jobs WHERE result IS NULL"):  # noqa: ASYNC110
        await asyncio.sleep(IDLE)
    say_over(row["n"] for row in await connection.fetch("SELECT n FROM finished"))


class LeaseQueue(Contender):
    name = "plain lease queue, PostgreSQL"

    def ready(self) -> None:
        server = self.place.server
        self._url = server.url(server.create())
        server.sql(TABLE, self._url.rpartition("/")[2])
        for number in range(self.place.workers):
            self.workers.append(
                self.place.role("lease_queue", "work", self._url, self.place.slots, number)
            )
        for worker in self.workers:
            worker.says(READY)

    def drive(self) -> Process:
        return self.place.role("lease_queue", "drive", self._url, self.place.steps, self.place.log)


if __name__ == "__main__":
    role, url, amount = sys.argv[1:4]
    asyncio.run(work(url, int(amount)) if role == "work" else drive(url, int(amount), sys.argv[4]))
