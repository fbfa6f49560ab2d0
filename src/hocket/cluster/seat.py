"""A seat on a node: a process of Ray that hosts one object of ours, and the handle to it.

Ray starts it, tells of its death, and does nothing else: nothing is repeated, nothing restarted.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, Final
from weakref import WeakSet

import msgspec

from hocket.cluster.versions import Hello, check, hello
from hocket.core.errors import (
    HocketError,
    JournalError,
    NotFound,
    OwnershipLost,
    PeerError,
    Refused,
)
from hocket.core.specs import PlaceSpec

MOST: Final = 10_000
"""How many questions may be open at one seat at once."""

TAG: Final = "tag:"
"""How a tag of a node begins as the name of a resource of Ray."""

TAG_SHARE: Final = 0.001
"""What a process takes of a tag: there is always some left for another one."""

_ALIVE: Final = "alive"
_FORSAKEN: Final = "the head of its cluster has begun anew"

_KNOWN: Final[dict[str, type[HocketError]]] = {
    kind.__name__: kind for kind in (Refused, NotFound, JournalError, OwnershipLost)
}


class Gone(PeerError):
    """The process at a seat has died, or its node has: nobody knows how its work ended."""


class Crowded(Gone):
    """The process at a seat has not begun: others hold what it needs of its node."""


class Fallen(Gone):
    """The node of a process is gone."""


class Unreachable(Gone):
    """The process at a seat cannot be reached at present; it may be there again."""


class Seat:
    """The process's side: hosts the object that an entry makes.

    The object is made in the event loop, when it is first asked something.

    Args:
        entry: ``module:attribute`` of what makes it.
        options: The named arguments that it is made with.
    """

    def __init__(self, entry: str, options: Mapping[str, Any]) -> None:
        self._entry = entry
        self._options = options
        self._made: Any = None

    async def hello(self) -> dict[str, Any]:
        """Say which versions of everything are here, whoever asks."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        told: dict[str, Any] = msgspec.to_builtins(hello(ray.__version__, node))
        return told

    async def alive(self) -> bool:
        """Give a sign of life, also while the object holds its loop up."""
        return True

    async def ask(self, method: str, *args: Any) -> tuple[str, Any]:
        """Call a method of the object; gives ``""`` and what it gave, or an error's kind and text.

        What is awaitable is awaited.
        """
        try:
            if self._made is None:
                module, _, name = self._entry.partition(":")
                self._made = getattr(import_module(module), name)(**self._options)
            result = getattr(self._made, method)(*args)
            return "", (await result) if inspect.isawaitable(result) else result
        except HocketError as error:
            return type(error).__name__, str(error)
        except Exception as error:
            return "Exception", "".join(traceback.format_exception(error))


class Seated:
    """The handle to a seat; for one event loop at a time.

    Args:
        actor: Ray's own handle.
        entry: What it hosts.
    """

    def __init__(self, actor: Any, entry: str) -> None:
        self.actor: Final = actor
        self._entry = entry
        self._forsaken = False
        self._awaited: set[asyncio.Future[Any]] = set()
        _ALL.add(self)

    def forsake(self) -> None:
        """Hope no more: whoever waits for it finds that it is gone. Any thread may say so."""
        self._forsaken = True
        for answer in tuple(self._awaited):
            with suppress(RuntimeError):
                # A loop that is closed waits for nothing.
                answer.get_loop().call_soon_threadsafe(answer.cancel)

    async def hello(self, here: Hello | None = None) -> Hello:
        """Wait until the process is there, and see that it is of the same versions.

        Args:
            here: What this process says of itself; None to ask nothing of the other.

        Raises:
            Gone: It could not be started, or has died.
            Refused: It is of another version, or Hocket cannot be imported there.
        """
        from ray.exceptions import RayError

        try:
            told = await self._answer("hello")
        except RayError as error:
            raise _unborn(error) from error
        there = msgspec.convert(told, Hello)
        if here is not None:
            check(here, there)
        return there

    async def ask(self, method: str, *args: Any) -> Any:
        """Call a method of the object that is hosted there.

        Raises:
            Gone: The process has died, or dies before it has answered.
            Unreachable: It cannot be reached at present.
            Refused, NotFound, JournalError, OwnershipLost: As the method.
            PeerError: The method raised something else; the message has its traceback.
        """
        from ray.exceptions import ActorUnavailableError, RayError

        try:
            kind, result = await self._answer("ask", method, *args)
        except ActorUnavailableError as error:
            raise Unreachable(_line(error)) from error
        except RayError as error:
            raise Gone(_line(error)) from error
        if not kind:
            return result
        known = _KNOWN.get(kind)
        if known is not None:
            raise known(result)
        raise PeerError(f"{self._entry}.{method} failed on its node: {result}")

    async def alive(self, patience: float) -> bool:
        """Tell whether the process gives a sign of life within so many seconds."""
        from ray.exceptions import RayError

        try:
            async with asyncio.timeout(patience):
                told: bool = await self._answer(_ALIVE)
        except (RayError, Gone, TimeoutError):
            return False
        return told

    def end(self) -> None:
        """End the process at once, whatever it does."""
        import ray

        if not self._forsaken:
            ray.kill(self.actor, no_restart=True)

    async def _answer(self, method: str, *args: Any) -> Any:
        """Wait for what a method of the process gives.

        Raises:
            Gone: It has been forsaken.
        """
        if self._forsaken:
            raise Gone(_FORSAKEN)
        asked = getattr(self.actor, method)
        if method == _ALIVE:
            asked = asked.options(concurrency_group=_ALIVE)
        answer = asyncio.wrap_future(asked.remote(*args).future())
        self._awaited.add(answer)
        try:
            return await answer
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._forsaken or (task is not None and task.cancelling()):
                raise
            raise Gone(_FORSAKEN) from None
        finally:
            self._awaited.discard(answer)


def forsake_all() -> None:
    """Forsake whatever this process has begun: Ray keeps no handle beyond its connection."""
    for seated in tuple(_ALL):
        seated.forsake()


_ALL: Final[WeakSet[Seated]] = WeakSet()


def begin(
    entry: str,
    options: Mapping[str, Any],
    *,
    node: str | None = None,
    place: PlaceSpec | None = None,
    strategy: Any = None,
) -> Seated:
    """Begin a process that hosts an object; `Seated.hello` waits for it.

    It ends with this process, and when the handle to it is let go.

    Args:
        entry: ``module:attribute`` of what makes the object, which must be importable there.
        options: The named arguments that it is made with, as plain data.
        node: The id of the node that it must be on; None for any that has what it needs.
        place: What it holds of its node for as long as it lives; None for nothing.
        strategy: Where it shall be instead, in Ray's own words: its part of a placement group.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if not ray.is_initialized():
        # There is no connection at present: it is gone before it was there.
        stillborn = Seated(None, entry)
        stillborn.forsake()
        return stillborn
    held = place or PlaceSpec()
    told: dict[str, Any] = {
        "num_cpus": held.cpu,
        "num_gpus": held.gpu,
        "resources": {TAG + tag: TAG_SHARE for tag in held.tags},
        "max_restarts": 0,
        "max_task_retries": 0,
        "max_concurrency": MOST,
    }
    if held.memory:
        told["memory"] = held.memory
    if node is not None:
        told["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
    if strategy is not None:
        told["scheduling_strategy"] = strategy
    return Seated(_kind().options(**told).remote(entry, dict(options)), entry)


@cache
def _kind() -> Any:
    """Give Ray's class of seats: it asks the head whenever it is given another one."""
    import ray

    # A thread of its own answers whether it is alive.
    return ray.remote(concurrency_groups={_ALIVE: 1})(Seat)  # type: ignore[call-overload]


def _unborn(error: Exception) -> HocketError:
    """Say why a process could not be started."""
    text = str(error)
    if "No module named 'hocket" in text:
        return Refused(
            "Hocket is not installed where a node of the cluster runs its Python: there, "
            f"pip install 'hocket[cluster]' and start its Ray again ({_line(error)})"
        )
    return Gone(_line(error))


def _line(error: Exception) -> str:
    """Give what an error of Ray says, without its pages of advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:400]}"
