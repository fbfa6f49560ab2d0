"""What a call on another machine and its supervisor tell each other, in order.

What a call says there goes home in batches: the first thing said waits for `GATHER`, its end for
nothing.
A batch is told again until the next one is asked for, so that an answer lost on its way costs
nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from hocket.agents.base import Reply, Request
from hocket.core.errors import Fault
from hocket.core.events import Usage
from hocket.core.specs import AgentSpec
from hocket.core.values import FileRef
from hocket.limits.claim import Quota

GATHER: Final = 0.05
"""Seconds for which what is said is gathered."""

BEAT: Final = 10.0
"""Seconds after which a call that has nothing to say says so."""

PIECE: Final = 4 << 20
"""How many bytes of a file travel at once."""


class Order(msgspec.Struct, frozen=True, array_like=True):
    """What is to be done.

    Fields:
        crew: Whose agent it is; agents of one number are the same one.
        name: The agent's name.
        spec: The agent's spec.
        paths: Where its functions may lie besides.
        request: The call.
        ended: Calls whose ends have come home, and which may be forgotten.
    """

    crew: str
    name: str
    spec: AgentSpec
    paths: tuple[str, ...]
    request: Request
    ended: tuple[str, ...] = ()


class Emitted(msgspec.Struct, frozen=True, array_like=True, tag="emitted"):
    """Text while it comes."""

    text: str
    stream: str


class Spent(msgspec.Struct, frozen=True, array_like=True, tag="spent"):
    """What has been spent until now."""

    usage: Usage


class Sent(msgspec.Struct, frozen=True, array_like=True, tag="sent"):
    """The request left, at an instant of the node's own clock in nanoseconds."""

    at: int


class Told(msgspec.Struct, frozen=True, array_like=True, tag="told"):
    """The peer answers, and says this of its limits."""

    quotas: tuple[Quota, ...]


class Store(msgspec.Struct, frozen=True, array_like=True, tag="store"):
    """A file is to be stored, and waits for `Stored` under this number."""

    number: int
    name: str
    size: int


class Fetch(msgspec.Struct, frozen=True, array_like=True, tag="fetch"):
    """A stored file is wanted, under this number."""

    number: int
    ref: FileRef


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """A person is to be asked, under this number."""

    number: int
    shown: str


class Finished(msgspec.Struct, frozen=True, array_like=True, tag="finished"):
    """The call gave this: a `Reply`, encoded."""

    reply: msgspec.Raw


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """The call failed."""

    fault: Fault
    usage: Usage | None = None


class Cancelled(msgspec.Struct, frozen=True, array_like=True, tag="cancelled"):
    """The call was cancelled, and all that it had begun is stopped."""


class Unmade(msgspec.Struct, frozen=True, array_like=True, tag="unmade"):
    """The agent could not be made there."""

    message: str


Said: TypeAlias = (
    Emitted | Spent | Sent | Told | Store | Fetch | Ask | Finished | Failed | Cancelled | Unmade
)
ENDS: Final = (Finished, Failed, Cancelled, Unmade)
"""After one of these a call says nothing more."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What a call has said since the batch before.

    Fields:
        number: Counts a call's batches from 1.
        now: The node's clock when it left.
        said: What was said, in order.
    """

    number: int
    now: int
    said: tuple[Said, ...] = ()


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a call had asked for under a number.

    Fields:
        number: Which.
        ref: The stored file.
        yes: What a person said.
        why: Why it was no.
        fault: Why there is no answer.
    """

    number: int
    ref: FileRef | None = None
    yes: bool = False
    why: str = ""
    fault: Fault | None = None


encode: Final = msgspec.msgpack.Encoder().encode
order_of: Final = msgspec.msgpack.Decoder(Order).decode
batch_of: Final = msgspec.msgpack.Decoder(Batch).decode
reply_of: Final = msgspec.msgpack.Decoder(Reply).decode
answer_of: Final = msgspec.msgpack.Decoder(Answer).decode


class Outbox:
    """What a call has said and nobody has fetched; of one event loop.

    Args:
        clock: The node's clock in nanoseconds.
        gather: Seconds for which what is said is gathered.
        beat: Seconds after which an empty batch goes.
    """

    def __init__(
        self,
        clock: Callable[[], int] = time.monotonic_ns,
        *,
        gather: float = GATHER,
        beat: float = BEAT,
    ) -> None:
        self._clock = clock
        self._gather = gather
        self._beat = beat
        self._said: list[Said] = []
        self._first = asyncio.Event()
        self._over = asyncio.Event()
        self._number = 0
        self._last = b""
        self._turn = asyncio.Lock()

    @property
    def over(self) -> bool:
        """Whether the call has said its last."""
        return self._over.is_set()

    def say(self, said: Said) -> None:
        """Take a frame in; never blocks."""
        if self._over.is_set():
            return
        self._said.append(said)
        self._first.set()
        if isinstance(said, ENDS):
            self._over.set()

    def sent(self, ago: int) -> None:
        """Take in that a request left so many nanoseconds ago."""
        self.say(Sent(self._clock() - ago))

    async def batch(self, got: int) -> bytes:
        """Give the batch after number `got`, as soon as there is something to say.

        The last one is given again if it has not come home.
        """
        async with self._turn:
            if got >= self._number:
                await self._ready()
                said, self._said = self._said, []
                self._first.clear()
                self._number = got + 1
                self._last = encode(Batch(self._number, self._clock(), tuple(said)))
            return self._last

    async def _ready(self) -> None:
        """Wait until there is something to say, or for so long that this has to be said."""
        if self._over.is_set():
            return
        try:
            async with asyncio.timeout(self._beat):
                await self._first.wait()
        except TimeoutError:
            return
        await self._gathered()

    async def _gathered(self) -> None:
        """Wait a little for what else is said, but not behind the end."""
        try:
            async with asyncio.timeout(self._gather):
                await self._over.wait()
        except TimeoutError:
            return
