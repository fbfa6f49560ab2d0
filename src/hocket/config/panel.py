"""Who contributes to a panel, and for how long it is waited, as a Python program says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, Unpack

from hocket.config.agent import Agent
from hocket.config.amounts import read_quantile
from hocket.config.told import Duration, Work
from hocket.core.errors import Problem, SpecError
from hocket.core.specs import Learned as LearnedSpec
from hocket.core.values import parse_duration

O_co = TypeVar("O_co", covariant=True)


class Learned:
    """A time limit that is learned from what earlier calls took, when a run begins.

    Args:
        cap: The longest that it may be; it holds where nothing is known.
        floor: The shortest.
        quantile: The share of earlier calls that took less, as ``p95``.

    Raises:
        SpecError: One of them cannot be read.
    """

    __slots__ = ("spec",)

    def __init__(self, cap: Duration, *, floor: Duration = 0, quantile: str = "p95") -> None:
        try:
            self.spec = LearnedSpec(
                cap=parse_duration(cap),
                floor=parse_duration(floor),
                quantile=read_quantile(quantile),
            )
        except ValueError as error:
            raise SpecError([Problem(where=("within",), message=str(error))]) from None


class Contributor(Generic[O_co]):
    """Who contributes to a panel, selects or replies, and what it is told.

    Args:
        who: An agent, or a function.
        prompt: What it gets, instead of the panel's question: a text, or what a function takes.
            ``{{NAME}}`` in texts is another contributor's, ``{{question}}`` the question; for who
            replies ``{{contributions}}`` and ``{{missing}}`` are all, by name.
        about: What it is good at, for who selects.
        output: The type of what it gives, if it is not the agent's.
        told: See `Work`; `needs` are names of other contributors.
    """

    __slots__ = ("about", "output", "prompt", "told", "who")

    def __init__(
        self,
        who: Agent[O_co] | Callable[..., Any],
        prompt: Any = None,
        *,
        about: str = "",
        output: type[Any] | None = None,
        **told: Unpack[Work],
    ) -> None:
        self.who = who
        self.prompt = prompt
        self.about = about
        self.output: Any = output
        self.told: dict[str, Any] = dict(told)
