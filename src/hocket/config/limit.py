"""Limits and budgets, as a Python program states them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from hocket.config.amounts import read_count, read_money, read_rate, read_spending
from hocket.config.limit_names import budget_name, is_endpoint
from hocket.core.errors import Problem, SpecError, suggest
from hocket.core.specs import LimitSpec, OnExceed, Rate
from hocket.core.values import DAY, Json, parse_duration
from hocket.limits.presets import PRESETS

Rates: TypeAlias = str | Rate | Sequence[str | Rate]
"""So much in some time, as ``"9/min"``; several of them all hold."""
Money: TypeAlias = str | float | int
"""Dollars: a number, or a text like ``"$1.00"``."""
Spendings: TypeAlias = Money | Rate | Sequence[Money | Rate]
"""Dollars in some time, as ``"0.50/day"``, or in all, as ``1.00``."""
Duration: TypeAlias = str | int | float

A = TypeVar("A")
T = TypeVar("T")


class Limit:
    """A bound that calls share: those of an agent, of a plan's runs, or of steps that use units.

    Args:
        name: What it is called; by default all runs of the state folder that claim a limit of
            this name share it. The name of a model, as ``openai:gpt-5.2``, means that model's own.
        requests: Calls that start, as ``"9/min"`` or ``["9/min", "500/day"]``.
        tokens: Tokens read and written together, as ``"32k/min"``.
        tokens_in: Tokens read.
        tokens_out: Tokens written.
        cost: Dollars, as ``"0.50/day"``.
        concurrency: Units in use at once.
        spacing: The least time between two starts.
        margin: How much later than it was sent a request may be counted by the server.
        shared: Whether all runs of the state folder share it; if not, each run has its own.
        adaptive: Whether refusals and the provider's headers narrow it; by default if it has
            windows of requests or tokens, or nothing at all.
        on_exceed: What becomes of a call that does not fit and will not by waiting for calls in
            flight: ``wait``, ``pause`` the run, ``fail``, or ``fallback``.
        preset: A provider's tier to begin with, as ``openai/tier-1``.

    Raises:
        SpecError: Something cannot be read.
    """

    __slots__ = ("name", "spec")

    def __init__(
        self,
        name: str,
        *,
        requests: Rates = (),
        tokens: Rates = (),
        tokens_in: Rates = (),
        tokens_out: Rates = (),
        cost: Spendings = (),
        concurrency: int | None = None,
        spacing: Duration | None = None,
        margin: Duration | None = None,
        shared: bool = True,
        adaptive: bool | None = None,
        on_exceed: OnExceed = "wait",
        preset: str | None = None,
    ) -> None:
        self.name: Final = name
        given: dict[str, Json] = {
            "requests": _each(name, "requests", requests, read_rate),
            "tokens": _each(name, "tokens", tokens, read_rate),
            "tokens_in": _each(name, "tokens_in", tokens_in, read_rate),
            "tokens_out": _each(name, "tokens_out", tokens_out, read_rate),
            "cost": _each(name, "cost", cost, read_spending),
            "concurrency": concurrency,
            "spacing": None if spacing is None else _time(name, "spacing", spacing),
            "margin": None if margin is None else _time(name, "margin", margin),
            "shared": None if shared else False,
            "adaptive": adaptive,
            "on_exceed": None if on_exceed == "wait" else on_exceed,
        }
        base = LimitSpec() if preset is None else _preset(name, preset)
        changes = {key: value for key, value in given.items() if value not in ((), None)}
        spec = msgspec.structs.replace(base, **changes)
        if adaptive is None and not adapts(spec) and not is_endpoint(name):
            spec = msgspec.structs.replace(spec, adaptive=False)
        self.spec: Final = spec

    def __repr__(self) -> str:
        return f"Limit({self.name!r})"


class Budget:
    """The most that may be spent; a call's maximum is reserved before it is made.

    Args:
        cost: Dollars.
        tokens: Tokens read and written, as ``"500k"``.
        per: Whether each run has it, or all runs of the state folder within 24 hours.
        on_exceed: What becomes of a call that does not fit: ``pause`` the run, ``fail``, or
            ``fallback``.

    Raises:
        SpecError: It says nothing, or something cannot be read.
    """

    __slots__ = ("per", "spec")

    def __init__(
        self,
        cost: Money | None = None,
        *,
        tokens: str | int | None = None,
        per: Literal["run", "day"] = "run",
        on_exceed: Literal["pause", "fail", "fallback"] = "pause",
    ) -> None:
        if cost is None and tokens is None:
            raise _refuse("budget", "", "a budget says how much: cost, or tokens, or both")
        for key, value, known in (
            ("per", per, ("run", "day")),
            ("on_exceed", on_exceed, ("pause", "fail", "fallback")),
        ):
            if value not in known:
                said = f"{key} is one of {', '.join(known)}, not {value!r}"
                raise _refuse("budget", key, said)
        self.per: Final = per
        self.spec: Final = budget_of(
            None if cost is None else _read("budget", "cost", cost, read_money),
            None if tokens is None else _read("budget", "tokens", tokens, read_count),
            daily=per == "day",
            on_exceed=on_exceed,
        )

    def __repr__(self) -> str:
        return f"Budget(per={self.per!r})"


def adapts(limit: LimitSpec) -> bool:
    """Tell whether a refusal may be this limit's doing, if nobody says so.

    That of a provider's window it may be, and of a limit that is there for nothing else; that of a
    GPU, of licences or of money it is not.
    """
    windows = (limit.requests, limit.tokens, limit.tokens_in, limit.tokens_out)
    others = limit.cost or limit.spacing or limit.concurrency is not None
    return any(windows) or not others


def budget_of(cost: int | None, tokens: int | None, *, daily: bool, on_exceed: str) -> LimitSpec:
    """Give the limit that a budget is: of each run, or of all runs within 24 hours."""
    per = DAY if daily else 0
    changes: dict[str, Json] = {"shared": daily, "adaptive": False, "on_exceed": on_exceed}
    if cost is not None:
        changes["cost"] = (Rate(cost, per),)
    if tokens is not None:
        changes["tokens"] = (Rate(tokens, per),)
    return LimitSpec(**changes)


def limits_of(given: Sequence[Limit] | Limit | None) -> dict[str, LimitSpec]:
    """Give the specs of limits by name."""
    several = [given] if isinstance(given, Limit) else given or ()
    return {limit.name: limit.spec for limit in several}


def budgets_of(
    owner: str, name: str, given: Sequence[Budget] | Budget | Money | None
) -> dict[str, LimitSpec]:
    """Give the specs of the budgets of an agent or a plan, by name."""
    if given is None:
        return {}
    if isinstance(given, Budget):
        several: Sequence[Budget] = [given]
    elif isinstance(given, str | int | float):
        several = [Budget(given)]
    else:
        several = given
    found = {budget_name(owner, name, daily=b.per == "day"): b.spec for b in several}
    if len(found) < len(several):
        raise _refuse(name, "budget", "there is one budget per run and one per day")
    return found


def _preset(name: str, preset: str) -> LimitSpec:
    if preset not in PRESETS:
        hint = suggest(preset, PRESETS) or "hocket limits --presets lists them"
        raise _refuse(name, "preset", f"unknown preset {preset!r}", hint)
    return PRESETS[preset].limit


def _each(
    name: str, key: str, given: Spendings, read: Callable[[object], Rate]
) -> tuple[Rate, ...]:
    several = [given] if isinstance(given, str | int | float | Rate) else given
    return tuple([_read(name, key, item, read) for item in several])


def _time(name: str, key: str, value: Duration) -> int:
    return _read(name, key, value, parse_duration)


def _read(name: str, key: str, value: A, read: Callable[[A], T]) -> T:
    try:
        return read(value)
    except ValueError as error:
        raise _refuse(name, key, f"{key}: {error}") from None


def _refuse(name: str, key: str, message: str, hint: str = "") -> SpecError:
    where = ("limits", name, key) if key else ("limits", name)
    return SpecError([Problem(where=where, message=message, hint=hint)])
