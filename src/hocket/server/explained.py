"""Explanations of runs, made by the command line in processes of their own, and kept a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from hocket.core.events import ENDED
from hocket.journal.base import RunRow
from hocket.limits.words import limit_labels

EVERY: Final = 5.0
"""A run under way is explained anew after so many seconds at the earliest."""
_STILL: Final = 30.0
"""The same where nothing has happened since, so that only what waits has waited longer."""
_SECONDS: Final = 180.0
_KEPT: Final = 8
_CHAIN: Final = 500
"""So many stretches of the chain are given, and so many facts of each finding."""
_EVIDENCE: Final = 50
_HEAVY: Final = frozenset({"activities"})


class Command(Protocol):
    """Runs ``hocket … --json`` and gives what it says."""

    def __call__(self, args: Sequence[str], seconds: float = 60.0) -> Awaitable[Any]:
        """Run a command."""


class _Made(msgspec.Struct, kw_only=True):
    """An explanation, or one on its way.

    Fields:
        seq: After which event.
        at: When it was begun.
        task: What makes it.
        waiting: How many wait for it.
    """

    seq: int
    at: float
    task: asyncio.Task[dict[str, Any]]
    waiting: int = 0


class Explanations:
    """Explains runs, each at most every few seconds, whoever asks.

    Args:
        cli: Runs a command.
        clock: Gives the seconds that have passed since some instant.
    """

    def __init__(self, cli: Command, clock: Callable[[], float]) -> None:
        self._cli = cli
        self._clock = clock
        self._made: OrderedDict[tuple[str, bool], _Made] = OrderedDict()

    async def of(self, row: RunRow, *, simulate: bool) -> dict[str, Any]:
        """Explain a run.

        Args:
            row: The run.
            simulate: Simulate what the findings propose, too.

        Raises:
            CallerError: It cannot be explained.
            PeerError: It took too long.
            TooMany: Too much is under way already.
        """
        made = self._good(row, simulate) or self._begin(row, simulate)
        made.waiting += 1
        try:
            return await asyncio.shield(made.task)
        finally:
            made.waiting -= 1
            if not made.waiting and not made.task.done():
                # Nobody waits for it any more; whoever asks later has it made anew.
                made.task.cancel()
                self._forget(row.id, simulate, made)

    def _good(self, row: RunRow, simulate: bool) -> _Made | None:
        """Find one that is new enough; one with simulations is as good as one without."""
        now = self._clock()
        for kind in (True,) if simulate else (True, False):
            made = self._made.get((row.id, kind))
            if made is None or (kind != simulate and not made.task.done()):
                continue
            if made.task.done() and (made.task.cancelled() or made.task.exception()):
                continue
            over = row.status in ENDED and made.seq == row.events
            age = now - made.at
            if over or not made.task.done() or age < (EVERY if made.seq < row.events else _STILL):
                self._made.move_to_end((row.id, kind))
                return made
        return None

    def _begin(self, row: RunRow, simulate: bool) -> _Made:
        task = asyncio.create_task(self._explain(row, simulate))
        made = _Made(seq=row.events, at=self._clock(), task=task)
        self._made[row.id, simulate] = made
        self._made.move_to_end((row.id, simulate))
        task.add_done_callback(lambda _: self._landed(row.id, simulate, made))
        while len(self._made) > _KEPT:
            key, old = next(iter(self._made.items()))
            if not old.task.done():
                break
            del self._made[key]
        return made

    async def _explain(self, row: RunRow, simulate: bool) -> dict[str, Any]:
        how = "--simulate" if simulate else "--no-simulate"
        told = await self._cli(["explain", how, row.id], _SECONDS)
        return {**slim(told), "seq": row.events}

    def _landed(self, run: str, simulate: bool, made: _Made) -> None:
        if made.task.cancelled() or made.task.exception() is not None:
            self._forget(run, simulate, made)

    def _forget(self, run: str, simulate: bool, made: _Made) -> None:
        if self._made.get((run, simulate)) is made:
            del self._made[run, simulate]


def slim(told: dict[str, Any]) -> dict[str, Any]:
    """Give an explanation without what pages have already: of calls only their names.

    They stand under ``calls`` by their indices, which the other parts speak of.
    What is left out of the chain is counted in ``chain_left_out``; what limits are called before
    people stands under ``labels``.
    """
    calls: list[dict[str, Any]] = told["activities"]
    named: dict[int, None] = {}
    for team in told["chains"]["teams"]:
        for answer in team["answers"]:
            named.update(dict.fromkeys([answer["activity"], *answer["void"]]))
        named.update(dict.fromkeys([line["activity"] for line in team["lines"]]))
        named.update(
            dict.fromkeys([one for seat in team["seats"] for row in seat["chains"] for one in row])
        )
        named.update(dict.fromkeys(team["unexplained"]))
    chain, left_out = _longest(_joined(told["chain"]))
    load = told["load"]
    return {
        **{key: value for key, value in told.items() if key not in _HEAVY},
        "chain": chain,
        "chain_left_out": left_out,
        "labels": limit_labels({*load["limits"], *[use["limit"] for use in told["uses"]]}),
        "critical": {"length": told["critical"]["length"]},
        "calls": {str(one): calls[one]["name"] for one in named if 0 <= one < len(calls)},
        "load": {
            "run": _without_steps(load["run"]),
            "agents": {name: _without_steps(one) for name, one in load["agents"].items()},
            "limits": {name: _without_steps(one) for name, one in load["limits"].items()},
        },
        "uses": [
            {**use, "windows": [_without_steps(window) for window in use["windows"]]}
            for use in told["uses"]
        ],
        "findings": [
            {**one, "evidence": one["evidence"][:_EVIDENCE], "events": len(one["evidence"])}
            for one in told["findings"]
        ],
    }


def _joined(chain: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join stretches that follow one another and went to the same."""
    found: list[dict[str, Any]] = []
    for one in chain:
        last = found[-1] if found else None
        if last is not None and all(last[key] == one[key] for key in ("kind", "detail", "call")):
            last["until"] = one["until"]
        else:
            found.append(dict(one))
    return found


def _longest(chain: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Give the longest stretches in their order, and how many others there are."""
    if len(chain) <= _CHAIN:
        return chain, 0
    order = sorted(range(len(chain)), key=lambda one: chain[one]["since"] - chain[one]["until"])
    return [chain[one] for one in sorted(order[:_CHAIN])], len(chain) - _CHAIN


def _without_steps(course: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in course.items() if key != "steps"}
