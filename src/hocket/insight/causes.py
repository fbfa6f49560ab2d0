"""What time goes to: the causes that every timeline, account and picture names alike."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias, get_args

Kind: TypeAlias = Literal[
    "model",
    "tool",
    "rate",
    "refused",
    "slot",
    "budget",
    "share",
    "backoff",
    "approval",
    "input",
    "rework",
    "cache",
    "pause",
    "down",
    "coordinator",
    "idle",
    "unknown",
]
"""The kinds of causes.

model: a model writes something that counts.
tool: a tool, a command or a function works on something that counts.
rate: room in a window of requests, tokens or spending, or the spacing between calls.
refused: a limit that was closed after a refusal, or an endpoint that was down.
slot: a free slot of a concurrency limit.
budget: a budget that is spent.
share: having given way to another run.
backoff: the time before another try.
approval: a person's approval.
input: a person's or an outside event's input.
rework: a call that came to nothing: stale, discarded, cancelled, refused, failed or lost.
cache: the answer to the same question, which was being asked already.
pause: a pause that a person asked for.
down: nothing is recorded: the process that drove the run ended, nobody knows when, and another took
    it up at the end of that time.
coordinator: the engine itself: its commits, its loop, its journal's word on shared limits.
idle: nothing was ready; a timer was waited for.
unknown: the source does not say.
"""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""All kinds in the order in which they are listed and drawn."""

WAITS: Final[frozenset[Kind]] = frozenset(
    {"rate", "refused", "slot", "budget", "share", "backoff", "approval", "input", "cache"}
)
"""The kinds in which something was ready and held back, or a person was waited for."""


class Cause(NamedTuple):
    """What a stretch of time went to.

    Fields:
        kind: Which kind of cause.
        detail: Which one: the agent of ``model`` and ``tool``, the limit of ``rate``, ``refused``,
            ``slot`` and ``budget`` (``run`` and ``agent:NAME`` for their own slots), the step of
            ``approval`` and ``input``, the fate of ``rework`` (``lost`` if
            the call was in flight when its process ended), the part of another program whose own
            time it was of ``coordinator``; "" for the others.
    """

    kind: Kind
    detail: str = ""


_OF_WAIT: Final[dict[str, Kind]] = {
    "rate": "rate",
    "spacing": "rate",
    "closed": "refused",
    "breaker": "refused",
    "slot": "slot",
    "reserved": "slot",
    "budget": "budget",
    "share": "share",
    "claim": "coordinator",
    "commit": "coordinator",
    "own": "coordinator",
    "tool": "tool",
    "model": "model",
    "cache": "cache",
    "backoff": "backoff",
    "pause": "pause",
    "unknown": "unknown",
}


def cause_of(wait: str) -> Cause:
    """Give the cause that `hocket.core.events.Wait.cause` states."""
    name, _, detail = wait.partition(":")
    kind = _OF_WAIT.get(name)
    return Cause("unknown", wait) if kind is None else Cause(kind, detail)
