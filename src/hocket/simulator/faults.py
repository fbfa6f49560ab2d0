"""What goes wrong in a simulation: providers that are down, calls that hang, a process that dies.

A mishap happens to calls by their own names, so that the same calls suffer in every variant.
Instants count from the beginning of the run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from hocket.agents.base import Estimate
from hocket.core.errors import Fault, NotFound, suggest
from hocket.core.specs import RunSpec
from hocket.core.values import SECOND, format_duration, parse_duration
from hocket.simulator.agents import Act, Asked, SimulatedAgents
from hocket.simulator.calibrate import NEVER


class Down(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody answers: calls fail as ``unavailable``, those in flight with them.

    Fields:
        who: An agent, a limit for all agents that claim it, a model for all that use it.
        at: Since when.
        lasts: For how long.
        takes: After how long a call fails that is begun meanwhile.
    """

    who: str
    at: int = 0
    lasts: int
    takes: int = 0


class Hang(msgspec.Struct, frozen=True, kw_only=True):
    """Calls never end by themselves, and run into their timeouts.

    Fields:
        share: How many of them.
        who: As in `Down`; "" for every agent.
    """

    share: float
    who: str = ""


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """Calls fail as ``unavailable`` when they would have ended.

    Fields:
        share: How many of them.
        who: As in `Down`; "" for every agent.
    """

    share: float
    who: str = ""


class Refuse(msgspec.Struct, frozen=True, kw_only=True):
    """The provider refuses calls.

    Fields:
        share: How many of them.
        who: As in `Down`; "" for every agent.
        retry_after: How long it says to wait; None if it says nothing.
        takes: After how long a call is refused.
    """

    share: float
    who: str = ""
    retry_after: int | None = None
    takes: int = 50_000_000


class Slow(msgspec.Struct, frozen=True, kw_only=True):
    """Calls take longer that begin meanwhile.

    Fields:
        factor: How many times as long.
        who: As in `Down`; "" for every agent.
        at: Since when.
        lasts: For how long; None for ever.
    """

    factor: float
    who: str = ""
    at: int = 0
    lasts: int | None = None


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """The process that drives the run dies, and another one takes the run up.

    Fields:
        at: When.
        back: After how long it is taken up.
    """

    at: int
    back: int = SECOND


Mishap: TypeAlias = Down | Hang | Fail | Refuse | Slow | Death


class Faulty:
    """Agents to which mishaps happen.

    Args:
        agents: Them, as they would be without.
        mishaps: What happens; the first one that happens to a call decides.
        spec: What is run, for who claims which limit and uses which model.

    Attributes:
        struck: The places of the mishaps that have happened to a call since somebody cleared it.

    Raises:
        NotFound: A mishap names nobody.
    """

    def __init__(self, agents: SimulatedAgents, mishaps: Sequence[Mishap], spec: RunSpec) -> None:
        self._agents = agents
        self.struck: set[int] = set()
        self._struck: dict[str, list[tuple[int, Mishap]]] = {name: [] for name in spec.agents}
        for number, mishap in enumerate(mishaps):
            if not isinstance(mishap, Death):
                for name in whom(mishap.who, spec):
                    self._struck[name].append((number, mishap))

    def act(self, asked: Asked) -> Act:
        """Say how a call turns out."""
        act = self._agents.act(asked)
        for number, mishap in self._struck.get(asked.agent, ()):
            struck = _strike(mishap, act, asked, f"mishap {number}")
            if struck is not act:
                self.struck.add(number)
                if not isinstance(mishap, Slow):
                    return struck
            act = struck
        return act

    def estimate(self, asked: Asked) -> Estimate:
        """Say what a call is expected to take: nobody expects a mishap."""
        return self._agents.estimate(asked)


def deaths_of(mishaps: Sequence[Mishap]) -> tuple[tuple[int, int], ...]:
    """Give when processes die, and when others take the run up, in their order."""
    deaths = [(one.at, one.at + one.back) for one in mishaps if isinstance(one, Death)]
    return tuple(sorted(deaths))


def words_of(mishap: Mishap) -> str:
    """Say what goes wrong, as it is written."""
    who = "" if isinstance(mishap, Death) or not mishap.who else f"{mishap.who} "
    match mishap:
        case Down(lasts=lasts, at=at):
            return f"{who}down {format_duration(lasts)} at {format_duration(at)}"
        case Hang(share=share):
            return f"{who}{100 * share:g}% hang"
        case Fail(share=share):
            return f"{who}{100 * share:g}% fail"
        case Refuse(share=share):
            return f"{who}refuses {100 * share:g}%"
        case Slow(factor=factor):
            return f"{who}slow x{factor:g}"
        case Death(at=at):
            return f"machine dies at {format_duration(at)}"


def whom(who: str, spec: RunSpec) -> list[str]:
    """Name the agents that a mishap strikes: one, those of a limit or of a model, or all.

    Raises:
        NotFound: There is no agent, limit or model of that name.
    """
    if not who or who in spec.claims:
        return list(spec.agents)
    if who in spec.agents:
        return [who]
    found = [
        name
        for name, agent in spec.agents.items()
        if who in agent.limits or who == agent.options.get("model")
    ]
    if not found:
        models = [str(agent.options.get("model", "")) for agent in spec.agents.values()]
        known = list(dict.fromkeys([*spec.agents, *spec.limits, *filter(None, models)]))
        hint = suggest(who, known) or f"there are {', '.join(known)}"
        raise NotFound(f"no agent, limit or model is called {who!r}; {hint}")
    return found


def _strike(mishap: Mishap, act: Act, asked: Asked, draw: str) -> Act:
    """Give how a call turns out under a mishap: the very same act if it goes by."""
    match mishap:
        case Down(who=who, at=at, lasts=lasts, takes=takes):
            fault = Fault(kind="unavailable", message=f"{who} is down")
            if at <= asked.at < at + lasts:
                return Act(takes, fault)
            if asked.at < at < asked.at + act.lasts:
                return Act(at - asked.at, fault)
        case Hang(share=share) if asked.draw(draw) < share:
            return Act(NEVER)
        case Fail(share=share) if asked.draw(draw) < share:
            return Act(act.lasts, Fault(kind="unavailable", message="a simulated failure"))
        case Refuse(share=share, retry_after=wait, takes=takes) if asked.draw(draw) < share:
            return Act(takes, Fault(kind="rate_limited", message="refused", retry_after=wait))
        case Slow(factor=factor, at=at, lasts=lasts):
            if at <= asked.at and (lasts is None or asked.at < at + lasts):
                heard = None if act.heard is None else round(act.heard * factor)
                slower = round(act.lasts * factor)
                return msgspec.structs.replace(act, lasts=slower, heard=heard)
        case _:
            pass
    return act


# -- reading --------------------------------------------------------------------------------

_WHO: Final = r"(?:(?P<who>\S+) )?"
_LASTS: Final = r"(?P<lasts>\S+)"
_SHARE: Final = r"(?P<share>\S+)%"


def _down(found: dict[str, str | None]) -> Mishap:
    lasts = _time(found["lasts"])
    return Down(who=_text(found["who"]), lasts=lasts, at=_time(found["at"] or "0s"))


def _hang(found: dict[str, str | None]) -> Mishap:
    return Hang(share=_share(found["share"]), who=found["who"] or "")


def _fail(found: dict[str, str | None]) -> Mishap:
    return Fail(share=_share(found["share"]), who=found["who"] or "")


def _refuse(found: dict[str, str | None]) -> Mishap:
    wait = None if found["wait"] is None else _time(found["wait"])
    return Refuse(share=_share(found["share"]), who=found["who"] or "", retry_after=wait)


def _slow(found: dict[str, str | None]) -> Mishap:
    text = _text(found["factor"])
    try:
        factor = float(text)
    except ValueError:
        factor = -1.0
    if not 0 < factor < 1e6:
        raise ValueError(f"x{text} is no factor; write it like x3 or x1.5")
    lasts = None if found["lasts"] is None else _time(found["lasts"])
    return Slow(factor=factor, who=found["who"] or "", at=_time(found["at"] or "0s"), lasts=lasts)


def _death(found: dict[str, str | None]) -> Mishap:
    return Death(at=_time(found["at"]), back=_time(found["back"] or "1s"))


_FORMS: Final[list[tuple[str, str, Callable[[dict[str, str | None]], Mishap]]]] = [
    ("machine dies at 2m back 30s", r"machine dies at (?P<at>\S+)(?: back (?P<back>\S+))?", _death),
    ("flash down 30s at 1m", rf"(?P<who>\S+) down {_LASTS}(?: at (?P<at>\S+))?", _down),
    ("5% hang, flash 5% hang", rf"{_WHO}(?:{_SHARE} hangs?|hangs? (?P<also>\S+)%)", _hang),
    ("5% fail, flash 5% fail", rf"{_WHO}(?:{_SHARE} fails?|fails? (?P<also>\S+)%)", _fail),
    (
        "pro refuses 10%, pro refuses 10% retry after 20s",
        rf"{_WHO}(?:refuses? {_SHARE}|(?P<also>\S+)% refused)"
        r"(?: (?:for|retry after) (?P<wait>\S+))?",
        _refuse,
    ),
    (
        "flash slow x3, flash slow x3 from 1m for 30s",
        rf"{_WHO}slow x(?P<factor>\S+)(?: from (?P<at>\S+))?(?: for {_LASTS})?",
        _slow,
    ),
]


def parse_fault(text: str) -> Mishap:
    """Read what goes wrong.

    It is written like ``flash down 30s at 1m``, ``5% hang``, ``flash 5% fail``,
    ``pro refuses 10% retry after 20s``, ``flash slow x3 from 1m for 30s`` or
    ``machine dies at 2m back 30s``.
    A refusal's time is what the provider says to wait (``for`` says the same), a slow spell's how
    long it lasts.

    Raises:
        ValueError: It says nothing of that kind.
    """
    words = " ".join(text.split())
    for _, pattern, make in _FORMS:
        match = re.fullmatch(pattern, words)
        if match is not None:
            found = match.groupdict()
            found["share"] = found.get("share") or found.get("also")
            try:
                return make(found)
            except ValueError as error:
                raise ValueError(f"{text!r}: {error}") from error
    forms = "; ".join(form for form, _, _ in _FORMS)
    raise ValueError(f"{text!r} says nothing that can go wrong; write it like one of: {forms}")


def _text(found: str | None) -> str:
    return found or ""


def _time(found: str | None) -> int:
    return parse_duration(_text(found))


def _share(found: str | None) -> float:
    try:
        share = float(_text(found)) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"{found}% is no share; write it like 5% or 0.5%, up to 100%")
    return share
