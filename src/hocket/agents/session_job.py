"""One call of a session agent, as the driver of its protocol sees it."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import msgspec

from hocket.agents.base import Context
from hocket.agents.output import clip
from hocket.agents.session_options import Permissions, SessionOptions
from hocket.agents.session_pipe import Message, Pipe
from hocket.agents.terminal import plain, visible
from hocket.core.errors import AgentError
from hocket.core.events import Usage
from hocket.core.people import Consent

_TOLD: Final = 200
_MOST_DENIED: Final = 10


class Misunderstood(Exception):
    """The program does not speak the warm protocol."""

    def __init__(self, error: AgentError) -> None:
        super().__init__(str(error))
        self.error = error


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn gave.

    Fields:
        text: The last thing that was said.
        usage: What was spent by this turn alone, or None if nothing is known.
    """

    text: str
    usage: Usage | None = None


class Job:
    """One call: what is asked, where, and what comes of it while it runs.

    Args:
        prompt: What is asked.
        system: What is told before, if it is not what the agent is always told; else "".
        folder: The working folder.
        permissions: Who decides what the agent asks for.
        context: What the engine lends to the call.
    """

    def __init__(
        self, prompt: str, system: str, folder: str, permissions: Permissions, context: Context
    ) -> None:
        self.prompt = prompt
        self.system = system
        self.folder = folder
        self.context = context
        self.notes: list[str] = []
        self.spent = Usage()
        """What is known to have been spent."""
        self.asking = 0
        """How many questions a person is thinking about."""
        self.loop = asyncio.get_running_loop()
        self.heard = self.loop.time()
        """When the agent last gave a sign of life."""
        self._permissions = permissions
        self._open = False
        self._denied: dict[str, None] = {}

    def hear(self) -> None:
        """The agent gave a sign of life."""
        self.heard = self.loop.time()

    def say(self, text: str) -> None:
        """Show a piece of the answer."""
        if text:
            self._open = not text.endswith("\n")
            self.context.emit(text)

    def tool(self, name: str, about: object = None) -> None:
        """Show that a tool is used, as a line."""
        if self._open:
            self._open = False
            self.context.emit("\n")
        self.context.emit(f"[{name}] {shown(about)}".rstrip() + "\n", "err")

    def note(self, text: str) -> None:
        """Tell the reader something, once."""
        if text not in self.notes:
            self.notes.append(text)

    def deny(self, what: str, why: str = "") -> None:
        """Tell the reader what the agent was not allowed to do, each thing once.

        Args:
            what: What it was going to do.
            why: Why it may not.
        """
        told = clip(" ".join(plain(what).split()), _TOLD)
        if told in self._denied:
            return
        self._denied[told] = None
        if len(self._denied) <= _MOST_DENIED:
            self.note(f"permission was denied: {told}{f': {why}' if why else ''}")
        else:
            self.note("more was denied than is noted here")

    def spend(self, usage: Usage) -> None:
        """Say what the call has spent until now."""
        self.spent = usage
        self.context.spend(usage)

    async def allowed(self, what: str) -> str | None:
        """Decide on what the agent asks permission for, or have a person decide.

        Args:
            what: All that it is going to do, as it will be shown.

        Returns:
            None if it is allowed, or else why it is not, for the agent.
        """
        if self._permissions == "allow":
            return None
        if self._permissions == "deny":
            self.deny(what, "permissions are set to deny")
            return "The operator allows nothing here."
        self.asking += 1
        try:
            consent = await self.context.ask(visible(what))
        except AgentError as error:
            consent = Consent(False, error.fault.message)
        finally:
            self.asking -= 1
            self.hear()
        if consent:
            return None
        self.deny(what, consent.why)
        return f"The operator has not allowed it: {consent.why or 'no reason is given'}."


class Driver(Protocol):
    """One process's side of a protocol."""

    pipe: Pipe

    async def open(self) -> None:
        """Shake hands.

        Raises:
            Misunderstood: The program does not speak this protocol.
        """

    async def fresh(self, job: Job) -> None:
        """Have a new session for a call; nothing of the call has been sent before.

        Raises:
            AgentError: There is none to be had of this process.
        """

    async def turn(self, job: Job) -> Answer:
        """Send the prompt and wait for the answer.

        Raises:
            AgentError: The call failed.
        """

    def interrupt(self, job: Job) -> None:
        """Ask to end a turn; `turn` then returns or raises."""


class Made(Protocol):
    """How a process is started and talked to."""

    def argv(self, options: SessionOptions) -> tuple[str, ...]:
        """Give the program and its arguments."""

    def __call__(self, options: SessionOptions, pipe: Pipe) -> Driver:
        """Talk to a process."""


def shown(about: object, most: int = 200) -> str:
    """Write what a tool is going to do in one line."""
    if about is None or about == {}:
        return ""
    if isinstance(about, dict):
        for key in ("command", "cmd", "file_path", "path", "pattern", "url", "description"):
            value = about.get(key)
            if isinstance(value, str) and value:
                return clip(" ".join(plain(value).split()), most)
    text = about if isinstance(about, str) else msgspec.json.encode(about).decode()
    return clip(" ".join(plain(text).split()), most)


def asked(title: str, about: Any, folder: str) -> str:
    """Write what an agent asks permission for, whole, as a person will see it."""
    lines = [title, f"in {folder}"]
    if isinstance(about, dict):
        for key, value in about.items():
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            lines.append(f"{key}: {text}" if "\n" not in text else f"{key}:\n{text}")
    elif about is not None:
        lines.append(about if isinstance(about, str) else msgspec.json.encode(about).decode())
    return "\n".join(lines)


class Waiting:
    """Futures that a message fulfils, by what it names; all fail when the process is lost."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Any, asyncio.Future[Message]] = {}
        self.error: AgentError | None = None

    def expect(self, key: object) -> asyncio.Future[Message]:
        """Wait for the message of a key."""
        future: asyncio.Future[Message] = self._loop.create_future()
        future.add_done_callback(lambda done: self._forget(key, done))
        if self.error is not None:
            future.set_exception(self.error)
        else:
            self._waiting[key] = future
        return future

    def _forget(self, key: object, future: asyncio.Future[Message]) -> None:
        if self._waiting.get(key) is future:
            del self._waiting[key]
        if not future.cancelled():
            future.exception()  # whoever waited may have been cancelled meanwhile

    def came(self, key: object, message: Message) -> bool:
        """Fulfil; tell whether anybody waits."""
        future = self._waiting.pop(key, None)
        if future is None or future.done():
            return False
        future.set_result(message)
        return True

    def fail(self, error: AgentError) -> None:
        """Fail all that is and will be waited for."""
        self.error = error
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(error)
