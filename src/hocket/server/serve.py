"""Runs the server: its socket, its runs, its end.

What it drives goes on at another server of the journal, or at the next one, however it has ended.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import uvicorn

from hocket.app.ending import DRAIN, asked_to_end
from hocket.app.engine import Engine
from hocket.app.host import MOST, Host
from hocket.app.journals import journal_address
from hocket.app.state import lease_seconds
from hocket.app.supervisor import Posted, journal_told
from hocket.cluster.supervisors import Orders, Supervisors
from hocket.core.errors import Refused
from hocket.insight.alerts import DEFAULTS, Rule
from hocket.journal.bell import sweep
from hocket.server.app import make_app
from hocket.server.connections import protocols
from hocket.server.listening import Listener, listening, seldom_collected
from hocket.server.live import Live
from hocket.server.public import check
from hocket.server.settings import Settings
from hocket.server.site import Site
from hocket.server.tokens import Tokens, tokens_of
from hocket.server.watch import Watch, document
from hocket.server.webhooks import Webhook, read_address

WHERE: Final = "server.json"
"""The file in the state folder that says where the server is, while there is one."""

_LARGEST_MESSAGE: Final = 64 << 10
_GRACE: Final = 2


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is; its tokens stand in a file of their own.

    Fields:
        url: Its address.
        pid: Its process.
        state: Its state folder.
    """

    url: str
    pid: int
    state: str


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to tell when a server answers.

    Fields:
        where: Where it is.
        tokens: Who may do what.
        host: Drives its runs.
    """

    where: Where
    tokens: Tokens
    host: Host

    def page(self, *, view: bool = False) -> str:
        """Give the page's address, with a token behind the hash, which no browser sends on."""
        token = self.tokens.view if view else self.tokens.operate
        return f"{self.where.url}/#token={token}"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """How a server has ended.

    Fields:
        stopped: The runs that it was driving, which go on at the next server.
    """

    stopped: tuple[str, ...]


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the work a server does itself, and how it leaves it.

    Fields:
        most: How many runs it drives at once, or may wait for others to drive them; see `Host`.
        drive: How many runs it drives itself, while others drive those beyond; None for all.
        drain: How many seconds calls in flight have to end after SIGTERM.
        cluster: The address of the cluster on which supervisors drive the runs; "" for none.
        supervisors: How many there are; None for one on each node.
    """

    most: int = MOST
    drive: int | None = None
    drain: float = DRAIN
    cluster: str = ""
    supervisors: int | None = None


_ALL: Final = Share()


async def serve(
    settings: Settings,
    offered: Sequence[Path] = (),
    share: Share = _ALL,
    *,
    ready: Callable[[Ready], None],
    ending: Callable[[], None] = lambda: None,
    new_tokens: bool = False,
    webhook: str = "",
    webhook_secret: str = "",
    rules: Sequence[Rule] = DEFAULTS,
) -> Served:
    """Serve the user's state folder until a signal ends it; a second one ends it at once.

    SIGTERM lets calls in flight end first; other signals cut them off.

    Args:
        settings: How to listen.
        offered: The files whose plans may be started.
        share: Which part of the work it does itself.
        ready: Told once it answers.
        ending: Told when it was asked to end.
        new_tokens: Make new tokens; the old ones count no more.
        webhook: The address that questions and alerts are posted to; "" for none.
        webhook_secret: What they are signed with.
        rules: When to alert.

    Raises:
        Refused: It would be open to others without TLS, its port is taken, a file is wrong, the
            address of the webhook is none, or the cluster cannot be used.
        JournalError: The journal or the state folder cannot be used.
    """
    check(settings)
    if webhook:
        read_address(webhook)
    with listening(settings) as (sock, settings):
        async with Engine() as engine:
            # What cannot be read is said at once, and not by every page.
            await asyncio.to_thread(engine.journal.orphans, 1)
            engine.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            sweep(engine.state)
            tokens = tokens_of(engine.state, new=new_tokens)
            host = Host(engine, offered, most=share.most, drive=share.drive)
            async with (
                _site(host, settings, tokens, rules) as site,
                _posting(site, webhook, webhook_secret),
                _supervised(site, share) as supervisors,
            ):
                leaving = partial(_Leaving, host, supervisors, share.drain)
                return await _serve(site, sock, leaving, ready, ending)


async def _serve(
    site: Site,
    sock: socket.socket,
    leaves: Callable[[uvicorn.Server], _Leaving],
    ready: Callable[[Ready], None],
    ending: Callable[[], None],
) -> Served:
    """Answer until a signal ends it."""
    host, state = site.host, site.host.engine.state
    where = Where(url=site.settings.url, pid=os.getpid(), state=str(state))
    told = Ready(where=where, tokens=site.tokens, host=host)
    server = Listener(_config(site), lambda: ready(told))
    leaving = leaves(server)

    def heard(gently: bool) -> None:
        leaving.begin(gently)
        ending()

    with (
        _said(state, where),
        asked_to_end(heard, partial(_unsay, state)),
        seldom_collected(),
    ):
        await server.serve([sock])
        return Served(stopped=await leaving.done())


class _Leaving:
    """Ends a server and the driving of its runs.

    Args:
        host: Drives its runs.
        supervisors: Drive them in a cluster, if there is one.
        seconds: How long calls in flight have to end, if they are let.
        server: The server.
    """

    def __init__(
        self,
        host: Host,
        supervisors: Supervisors | None,
        seconds: float,
        server: uvicorn.Server,
    ) -> None:
        self._host = host
        self._supervisors = supervisors
        self._seconds = seconds
        self._server = server
        self._draining: asyncio.Task[tuple[str, ...]] | None = None

    def begin(self, gently: bool) -> None:
        """Begin to end; the server answers until calls in flight have ended, if they are let."""
        if gently:
            self._draining = asyncio.create_task(self._drain(self._seconds), name="drain")
            self._draining.add_done_callback(lambda _: self._exit())
        else:
            self._exit()

    def _exit(self) -> None:
        self._server.should_exit = True

    async def done(self) -> tuple[str, ...]:
        """Give every run up that is still driven; gives those that were given up in all."""
        return await (self._draining or self._drain(0))

    async def _drain(self, seconds: float) -> tuple[str, ...]:
        if self._supervisors is None:
            return await self._host.drain(seconds)
        here, there = await asyncio.gather(
            self._host.drain(seconds), self._supervisors.drain(seconds)
        )
        return tuple(sorted(here + there))


@asynccontextmanager
async def _supervised(site: Site, share: Share) -> AsyncIterator[Supervisors | None]:
    """Have runs driven in a cluster, if there is to be one.

    Raises:
        Refused: The journal is not one that a cluster can reach, or the cluster cannot be used.
    """
    if not share.cluster:
        yield None
        return
    address = journal_address()
    if "://" not in address:
        raise Refused(
            "with --cluster the journal has to be one that all machines reach: "
            "hocket --journal postgresql://user@host/database serve --cluster …"
        )
    orders = Orders(
        address=share.cluster,
        entry=f"{Posted.__module__}:{Posted.__name__}",
        journal=journal_told(),
        lease=lease_seconds(),
        most=share.most,
        count=share.supervisors,
    )
    supervisors = Supervisors(orders)
    site.health.needs("cluster", lambda: supervisors.there)
    try:
        await supervisors.open()
        yield supervisors
    finally:
        await supervisors.close()


@asynccontextmanager
async def _site(
    host: Host, settings: Settings, tokens: Tokens, rules: Sequence[Rule]
) -> AsyncIterator[Site]:
    """Open all that routes work with."""
    live = Live(host.engine.journal, host.engine.state, host.driven)
    sessions = host.engine.sessions

    def exhausted() -> int:
        return sum(pool.exhausted for pool in sessions.state())

    watching = Watch(host, rules, frame=lambda: live.largest, exhausted=exhausted)
    site = Site(host, settings, tokens, live, watch=watching)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(host.close)
        stack.push_async_callback(site.close)
        await host.open()
        for name, work in (("watch", site.watch.run()), ("pulse", site.health.run())):
            await stack.enter_async_context(_beside(asyncio.create_task(work, name=name)))
        yield site


@asynccontextmanager
async def _beside(task: asyncio.Task[None]) -> AsyncIterator[None]:
    """Have something done as long as the block lasts."""
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _posting(site: Site, url: str, secret: str) -> AsyncIterator[None]:
    """Post questions and alerts to an address, if there is one."""
    if not url:
        yield
        return
    hook = Webhook(url, site.inbox.questions, site.host, secret=secret)
    site.watch.tell(lambda alert: hook.tell({"kind": "alert", **document(alert)}))
    async with _beside(asyncio.create_task(hook.run(), name="webhook")):
        yield


def _config(site: Site) -> uvicorn.Config:
    settings = site.settings
    return uvicorn.Config(
        make_app(site),
        lifespan="off",
        # Whoever reads a log must not find what was asked, and by whom.
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        **protocols(settings),
        ws_max_size=_LARGEST_MESSAGE,
        # A window for each client would take more memory than what it saves on one machine.
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=_LARGEST_MESSAGE,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_GRACE,
    )


@contextmanager
def _said(state: Path, where: Where) -> Iterator[None]:
    """Say in the state folder where the server is, as long as it is."""
    path = state / WHERE
    draft = path.with_name(f"{WHERE}.{where.pid}")
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(where))
        draft.replace(path)
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror}") from error
    try:
        yield
    finally:
        _unsay(state)


def _unsay(state: Path) -> None:
    """Remove what says where this process's server is; another one's stays."""
    found = where_is(state)
    if found is not None and found.pid == os.getpid():
        (state / WHERE).unlink(missing_ok=True)


def where_is(state: Path) -> Where | None:
    """Give where the server of a state folder says that it is; None if there is none.

    One that was killed cannot take its words back.
    """
    try:
        return msgspec.json.decode((state / WHERE).read_bytes(), type=Where)
    except (OSError, msgspec.MsgspecError):
        return None
