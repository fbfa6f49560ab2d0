"""Runs the server: its socket, its runs, its end.

One process does all of it; what it drives goes on at the next server, however it has ended.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import uvicorn

from hocket.app.engine import Engine
from hocket.app.host import MOST, Host
from hocket.core.errors import Refused
from hocket.insight.alerts import DEFAULTS, Rule
from hocket.journal.bell import sweep
from hocket.server.app import make_app
from hocket.server.connections import protocols
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
_THRESHOLDS: Final = (5_000, 20, 100)
"""After how many new objects, and looks at younger ones, garbage is looked for."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HARD: Final = 130


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


async def serve(
    settings: Settings,
    offered: Sequence[Path] = (),
    *,
    ready: Callable[[Ready], None],
    ending: Callable[[], None] = lambda: None,
    most: int = MOST,
    new_tokens: bool = False,
    webhook: str = "",
    webhook_secret: str = "",
    rules: Sequence[Rule] = DEFAULTS,
) -> Served:
    """Serve the user's state folder until a signal ends it; a second one ends it at once.

    Args:
        settings: How to listen.
        offered: The files whose plans may be started.
        ready: Told once it answers.
        ending: Told when it was asked to end.
        most: How many runs it drives at once.
        new_tokens: Make new tokens; the old ones count no more.
        webhook: The address that questions and alerts are posted to; "" for none.
        webhook_secret: What they are signed with.
        rules: When to alert.

    Raises:
        Refused: It would be open to others without TLS, its port is taken, a file is wrong, or the
            address of the webhook is none.
        JournalError: The state folder cannot be used.
    """
    check(settings)
    if webhook:
        read_address(webhook)
    with _listening(settings) as (sock, settings):
        async with Engine() as engine:
            engine.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            sweep(engine.state)
            tokens = tokens_of(engine.state, new=new_tokens)
            host = Host(engine, offered, most=most)
            async with (
                _site(host, settings, tokens, rules) as site,
                _posting(site, webhook, webhook_secret),
            ):
                where = Where(url=settings.url, pid=os.getpid(), state=str(engine.state))
                told = Ready(where=where, tokens=tokens, host=host)
                server = _Server(_config(site), lambda: ready(told))
                with (
                    _said(engine.state, where),
                    _signals(server, engine.state, ending),
                    _seldom_collected(),
                ):
                    await server.serve([sock])
                    stopped = tuple(sorted(host.runs))
                    await host.close()
    return Served(stopped=stopped)


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
    await host.open()
    watch = asyncio.create_task(site.watch.run(), name="watch")
    try:
        yield site
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await live.close()
        await site.close()
        await host.close()


@asynccontextmanager
async def _posting(site: Site, url: str, secret: str) -> AsyncIterator[None]:
    """Post questions and alerts to an address, if there is one."""
    if not url:
        yield
        return
    hook = Webhook(url, site.inbox.questions, site.host, secret=secret)
    site.watch.tell(lambda alert: hook.tell({"kind": "alert", **document(alert)}))
    task = asyncio.create_task(hook.run(), name="webhook")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


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


class _Server(uvicorn.Server):
    """A server that leaves signals to us, and says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()


@contextmanager
def _listening(settings: Settings) -> Iterator[tuple[socket.socket, Settings]]:
    """Bind the port; gives the settings with the port that it is.

    Raises:
        Refused: It is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((settings.host, settings.port))
            # Only listening tells whether another one does.
            sock.listen(128)
        except OSError as error:
            raise Refused(
                f"cannot listen on port {settings.port} of {settings.host}: {error.strerror}; "
                "end what does, or choose another one: --port 0 takes any that is free"
            ) from error
        sock.setblocking(False)
        yield sock, msgspec.structs.replace(settings, port=sock.getsockname()[1])


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Look for garbage in all of memory seldom, and never in what was there at the start.

    Such a look holds every run, and takes 0.1 s and more where many are driven; what runs leave
    behind is freed without it, but for rings of objects, which are few.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


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


@contextmanager
def _signals(server: uvicorn.Server, state: Path, ending: Callable[[], None]) -> Iterator[None]:
    """End the server at the first signal; the second kills it with all that it runs."""

    def heard() -> None:
        if server.should_exit:
            with suppress(OSError):
                _unsay(state)
            # What runs in other processes dies with this one; runs are taken up by the next.
            os._exit(_HARD)
        server.should_exit = True
        ending()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, heard)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
