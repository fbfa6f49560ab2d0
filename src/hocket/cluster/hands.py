"""Does calls for a supervisor on another machine: hires the agents here, and says what they say.

Nothing that is true lives here: who dies with it loses its calls in flight, and no more.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

import msgspec

from hocket.agents.base import Agent, Reply
from hocket.agents.scratch import claim, sweep
from hocket.cluster.frames import (
    BEAT,
    Answer,
    Ask,
    Cancelled,
    Emitted,
    Failed,
    Fetch,
    Finished,
    Order,
    Outbox,
    Spent,
    Store,
    Told,
    Unmade,
    answer_of,
    encode,
    order_of,
)
from hocket.core.errors import AgentError, Fault, Refused
from hocket.core.events import Usage
from hocket.core.people import Consent
from hocket.core.specs import AgentSpec
from hocket.core.values import FileRef
from hocket.engine.flight import unforeseen
from hocket.limits.claim import Quota

FORGET: Final = 60.0
"""Seconds after which a call that nobody asks for is ended, and one that is over forgotten."""

_PREFIX: Final = "hocket-worker-"
REMEMBER: Final = 600.0
"""Seconds for which a call that was given up is known as such: nobody asks for it that late."""

_LOOK: Final = 5.0


class Crew(Protocol):
    """Makes agents in this process."""

    def hire(self, name: str, spec: AgentSpec) -> Agent:
        """Make an agent.

        Raises:
            SpecError: Its options don't make sense.
        """

    async def close(self) -> None:
        """Give back what agents share."""


class Abroad:
    """What a call sees of its supervisor; it is the `Context` of its agent.

    Args:
        outbox: Takes in what is said.
        folder: Where copies of files go.

    Attributes:
        hard: While being cancelled: whether to end at once.
        files: The files that are to be stored, by the number of the wish.
    """

    def __init__(self, outbox: Outbox, folder: Path) -> None:
        self.hard = False
        self.files: dict[int, Path] = {}
        self._outbox = outbox
        self._folder = folder
        self._wishes: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0

    def emit(self, text: str, stream: str = "out") -> None:
        """Show text while it comes."""
        self._outbox.say(Emitted(_clean(text), stream))

    def spend(self, usage: Usage) -> None:
        """Say what has been spent until now."""
        self._outbox.say(Spent(usage))

    def sent(self, ago: int = 0) -> None:
        """Say that the request leaves, or left so many nanoseconds ago."""
        self._outbox.sent(ago)

    def told(self, quotas: Sequence[Quota]) -> None:
        """Say that the peer begins to answer, and what it says of its limits."""
        self._outbox.say(Told(tuple(quotas)))

    async def store(self, path: Path, name: str) -> FileRef:
        """Have a file stored by content.

        Raises:
            AgentError: It cannot be read or stored.
        """
        try:
            size = os.stat(path).st_size
        except OSError as error:
            message = f"{name} cannot be stored: {error.strerror or error}"
            raise AgentError(Fault(kind="permanent", message=message)) from error
        number = self._next()
        self.files[number] = path
        try:
            answer = await self._wish(number, Store(number, name, size))
        finally:
            del self.files[number]
        return answer.ref or FileRef(digest="", size=0, name=name)

    async def fetch(self, ref: FileRef) -> Path:
        """Give a read-only copy of a stored file on this machine's disk.

        Raises:
            AgentError: It is not stored.
        """
        number = self._next()
        path = self.place(number, ref.name)
        await asyncio.to_thread(_made, path)
        await self._wish(number, Fetch(number, ref))
        path.chmod(0o400)
        return path

    async def ask(self, shown: str) -> Consent:
        """Have a person asked, and wait for the answer.

        Raises:
            AgentError: What is to be shown cannot be recorded.
        """
        number = self._next()
        answer = await self._wish(number, Ask(number, shown))
        return Consent(answer.yes, answer.why)

    def place(self, number: int, name: str) -> Path:
        """Give the path of a file that is fetched under a number."""
        # A name from an output is only ever a last part here, so it cannot lead out of the folder.
        return self._folder / str(number) / (PurePosixPath(name).name or "file")

    def answer(self, answer: Answer) -> None:
        """Take in what the call has asked for."""
        wish = self._wishes.get(answer.number)
        if wish is not None and not wish.done():
            wish.set_result(answer)

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _wish(self, number: int, frame: Store | Fetch | Ask) -> Answer:
        wish = self._wishes[number] = asyncio.get_running_loop().create_future()
        self._outbox.say(frame)
        try:
            answer: Answer = await wish
        finally:
            del self._wishes[number]
        if answer.fault is not None:
            raise AgentError(answer.fault)
        return answer


class _Doing:
    """A call that is done here, or has just ended."""

    def __init__(self, folder: Path, beat: float) -> None:
        self.outbox = Outbox(beat=beat)
        self.context = Abroad(self.outbox, folder)
        self.folder = folder
        self.task: asyncio.Task[None] | None = None
        self.stopped = False
        self.asked_at = _now()


class Hands:
    """Does the calls of one supervisor.

    Args:
        crew: ``module:attribute`` of what makes agents here.
        beat: Seconds after which a call that has nothing to say says so.
        forget: Seconds after which a call that nobody asks for is ended.
    """

    def __init__(self, crew: str, beat: float = BEAT, forget: float = FORGET) -> None:
        module, _, name = crew.partition(":")
        self._crew: Crew = getattr(import_module(module), name)()
        self._beat = beat
        self._forget = forget
        self._agents: dict[str, Agent] = {}
        self._calls: dict[str, _Doing] = {}
        self._given_up: dict[str, float] = {}
        """Calls that nobody asked for, and when: who asks for one must not have it done again."""
        base = Path(tempfile.gettempdir())
        self._scratch = claim(base, _PREFIX)
        # Beside the first call: what was left may be large.
        threading.Thread(target=sweep, args=(base, _PREFIX), daemon=True).start()
        self._count = 0
        self._warden: asyncio.Task[None] | None = None

    async def call(self, call: str, given: bytes) -> bytes:
        """Begin a call, unless it has begun, and give its first batch.

        Raises:
            Refused: It was begun, and nobody has asked for it for too long.
        """
        if call not in self._calls and call not in self._given_up:
            order = order_of(given)
            for ended in order.ended:
                self._calls.pop(ended, None)
                self._given_up.pop(ended, None)
            doing = self._calls[call] = _Doing(self._scratch.path / str(self._count), self._beat)
            self._count += 1
            doing.task = asyncio.create_task(self._do(doing, order), name=f"call {call}")
            if self._warden is None:
                self._warden = asyncio.create_task(self._watch(), name="what nobody asks for")
        return await self.more(call, 0)

    async def more(self, call: str, got: int) -> bytes:
        """Give what a call has said since its batch number `got`.

        Raises:
            Refused: There is no such call, or nobody has asked for it for too long.
        """
        doing = self._doing(call)
        doing.asked_at = float("inf")
        try:
            return await doing.outbox.batch(got)
        finally:
            doing.asked_at = _now()

    def stop(self, call: str, hard: bool) -> None:
        """Cancel a call; a second time only to make it `hard`."""
        doing = self._calls.get(call)
        if doing is None or doing.task is None or (doing.stopped and not hard):
            return
        doing.stopped = True
        doing.context.hard = hard
        doing.task.cancel()

    async def read(self, call: str, number: int, start: int, size: int) -> bytes:
        """Read a piece of a file that a call wants to have stored.

        Raises:
            Refused: There is no such call or file, or it cannot be read.
        """
        path = self._doing(call).context.files.get(number)
        if path is None:
            raise Refused("the call wants nothing more of it")
        return await asyncio.to_thread(_read, path, start, size)

    async def write(self, call: str, number: int, name: str, start: int, data: bytes) -> None:
        """Write a piece of a file that a call has fetched.

        Raises:
            Refused: There is no such call, or it cannot be written.
        """
        path = self._doing(call).context.place(number, name)
        await asyncio.to_thread(_write, path, start, data)

    def answer(self, call: str, given: bytes) -> None:
        """Give a call what it has asked for."""
        doing = self._calls.get(call)
        if doing is not None:
            doing.context.answer(answer_of(given))

    async def dismiss(self, crew: str) -> None:
        """Close an agent that gets no more calls."""
        agent = self._agents.pop(crew, None)
        if agent is not None:
            await agent.close()

    async def close(self) -> None:
        """End everything."""
        if self._warden is not None:
            self._warden.cancel()
        tasks = [doing.task for doing in self._calls.values() if doing.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        agents, self._agents = list(self._agents.values()), {}
        await asyncio.gather(*(agent.close() for agent in agents), return_exceptions=True)
        await self._crew.close()
        await asyncio.to_thread(self._scratch.drop)

    # -- within -----------------------------------------------------------------------------

    def _doing(self, call: str) -> _Doing:
        doing = self._calls.get(call)
        if doing is None or call in self._given_up:
            raise Refused("there is no such call here, or nobody has asked for it for too long")
        return doing

    async def _do(self, doing: _Doing, order: Order) -> None:
        """Do a call, and say how it ended."""
        say = doing.outbox.say
        try:
            say(await self._made(doing, order))
        except AgentError as error:
            usage = error.usage if isinstance(error.usage, Usage) else None
            say(Failed(error.fault, usage))
        except asyncio.CancelledError as error:
            # One that nobody has cancelled awaited something that was.
            say(Cancelled() if doing.stopped else Failed(unforeseen(error)))
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            say(Failed(unforeseen(error)))
        finally:
            if doing.folder.exists():
                await asyncio.to_thread(shutil.rmtree, doing.folder, ignore_errors=True)

    async def _made(self, doing: _Doing, order: Order) -> Finished | Unmade:
        agent = self._agents.get(order.crew)
        if agent is None:
            for path in reversed(order.paths):
                if path not in sys.path:
                    sys.path.insert(0, path)
            try:
                agent = self._crew.hire(order.name, order.spec)
            except Exception as error:
                return Unmade(f"{type(error).__name__}: {error}")
            self._agents[order.crew] = agent
        reply: Any = await agent.call(order.request, doing.context)
        if type(reply) is not Reply or not isinstance(reply.usage, Usage | None):
            raise TypeError(f"{reply!r:.100} is no reply with its usage")
        return Finished(msgspec.Raw(encode(reply)))

    async def _watch(self) -> None:
        """End what nobody asks for any more: whoever asked for it takes it for lost."""
        while True:
            await asyncio.sleep(min(_LOOK, self._forget / 2))
            late = _now() - self._forget
            for call, doing in list(self._calls.items()):
                if doing.asked_at < late:
                    self._given_up[call] = _now()
                    self.stop(call, True)
                    if doing.outbox.over:
                        del self._calls[call]
            for call, since in list(self._given_up.items()):
                if since < _now() - REMEMBER:
                    del self._given_up[call]


def _now() -> float:
    return asyncio.get_running_loop().time()


def _read(path: Path, start: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)
    except OSError as error:
        raise Refused(f"{path.name} cannot be read: {error.strerror or error}") from error


def _made(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _write(path: Path, start: int, data: bytes) -> None:
    try:
        with path.open("r+b") as file:
            file.seek(start)
            file.write(data)
    except OSError as error:
        raise Refused(f"{path.name} cannot be written: {error.strerror or error}") from error


def _clean(text: str) -> str:
    """Replace what UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
