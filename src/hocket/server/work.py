"""A process that drives runs for the servers of its journal, and listens to nobody.

Only whether it is alive and ready is told, if a port is given for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn

from hocket.app.ending import DRAIN, asked_to_end
from hocket.app.host import MOST
from hocket.app.supervisor import Supervisor
from hocket.server.health import Health
from hocket.server.listening import Listener, listening, seldom_collected
from hocket.server.settings import Settings


async def work(
    *,
    most: int = MOST,
    drain: float = DRAIN,
    health: tuple[str, int] | None = None,
    cluster: str | None = None,
    ready: Callable[[int | None], None],
    ending: Callable[[], None] = lambda: None,
) -> tuple[str, ...]:
    """Drive runs of the user's journal until a signal ends it; a second one ends it at once.

    SIGTERM lets calls in flight end first; other signals cut them off.

    Args:
        most: How many runs it drives at once.
        drain: How many seconds calls in flight have to end after SIGTERM.
        health: The address and port at which it says how it is; None for nowhere.
        cluster: The address of a cluster whose workers do the calls; None for this process.
        ready: Told the port of that, or None, once it takes runs up.
        ending: Told when it was asked to end.

    Returns:
        The runs that it gave up, for others to drive.

    Raises:
        Refused: The port is taken, or there is no such cluster.
        JournalError: The journal cannot be used.
    """
    supervisor = Supervisor(most=most, cluster=cluster)
    asked: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def heard(gently: bool) -> None:
        asked.set_result(gently)
        ending()

    try:
        # What cannot be read is said at once, and not when there is a run.
        await asyncio.to_thread(supervisor.engine.journal.orphans, 1)
        with asked_to_end(heard), seldom_collected():
            async with _answering(supervisor, health) as port:
                await supervisor.open()
                ready(port)
                return await supervisor.drain(drain if await asked else 0)
    finally:
        await supervisor.close()


@asynccontextmanager
async def _answering(
    supervisor: Supervisor, where: tuple[str, int] | None
) -> AsyncIterator[int | None]:
    """Say how the process is at an address; gives the port."""
    if where is None:
        yield None
        return
    host = supervisor.host
    health = Health(host.engine.journal, lambda: host.draining)
    with listening(Settings(host=where[0], port=where[1])) as (sock, settings):
        config = uvicorn.Config(
            health,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            ws="none",
        )
        server = Listener(config, lambda: None)
        tasks = [
            asyncio.create_task(server.serve([sock]), name="health"),
            asyncio.create_task(health.run(), name="pulse"),
        ]
        try:
            yield settings.port
        finally:
            server.should_exit = True
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
