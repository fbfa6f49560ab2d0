"""Rules that say when somebody should look, and what they have found.

    quiet ──the rule holds──> firing ──it holds no more──> over

An alert is about one subject: a run's step, a run's budget, or the whole server.
It fires once, and again only after it was over.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from hocket.core.errors import Refused, suggest
from hocket.core.values import MINUTE, SECOND, format_duration, parse_duration

Watched: TypeAlias = Literal[
    "step", "plan_timeouts", "exhausted", "memory", "refused", "budget", "errors"
]
"""What rules look at.

step: for how long a step has been at work, in nanoseconds.
plan_timeouts: the share of the last hour's ended runs whose plan took longer than it may.
exhausted: how often in the last minute a pool of sessions had no worker free.
memory: the bytes that the server's process holds.
refused: the calls of the last hour that a provider would not have.
budget: the share of a budget that is spent; it is told when it passes 50, 80 and 95 per cent.
errors: the share of the last hour's calls that failed.
"""

MOST: Final = 200
"""So many alerts are remembered; the oldest that are over go first."""

_RULE: Final = re.compile(r"\s*([a-z_]+)\s*(>=?)\s*([0-9][0-9a-zA-Z_. %]*)\s*")
_DURATIONS: Final = frozenset({"step"})
_SHARES: Final = frozenset({"plan_timeouts", "budget", "errors"})
_SIZES: Final = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "b": 1, "": 1}
_SIZE: Final = re.compile(r"([0-9.]+)\s*([a-z]*)")


class Rule(msgspec.Struct, frozen=True):
    """When to alert: what is watched, and what it must pass.

    Fields:
        watched: What it looks at.
        above: Nanoseconds, bytes, a share from 0 to 1, or a count.
        words: The rule as it was written.
        reached: Whether to reach it is enough.
    """

    watched: Watched
    above: float
    words: str
    reached: bool = False

    def holds(self, value: float) -> bool:
        """Tell whether it holds of a value."""
        return value >= self.above if self.reached else value > self.above


DEFAULTS: Final = (
    Rule("step", float(MINUTE), "step > 60s"),
    Rule("plan_timeouts", 0.1, "plan_timeouts > 10%"),
    Rule("exhausted", 0.0, "exhausted > 0"),
    Rule("memory", 500e6, "memory > 500MB"),
    Rule("refused", 0.0, "refused > 0"),
    Rule("budget", 0.8, "budget >= 80%", reached=True),
)
"""The rules that hold unless others are given."""


def read_rule(words: str) -> Rule:
    """Read a rule, as in ``step > 2m``, ``memory > 1GB``, ``budget >= 95%``.

    Raises:
        Refused: It is none.
    """
    match = _RULE.fullmatch(words)
    if match is None:
        raise Refused(f"{words!r} is no rule: write NAME > VALUE, as in step > 2m")
    name, value = match[1], match[3].strip()
    known: dict[str, Watched] = {rule.watched: rule.watched for rule in DEFAULTS}
    known["errors"] = "errors"
    watched = known.get(name)
    if watched is None:
        hint = suggest(name, known) or f"there are {', '.join(known)}"
        raise Refused(f"{words!r}: nothing called {name!r} is watched; {hint}")
    try:
        above, reached = _amount(watched, value), match[2] == ">="
        return Rule(watched, above, " ".join(words.split()), reached)
    except ValueError as error:
        raise Refused(f"{words!r}: {error}") from error


def _amount(watched: Watched, value: str) -> float:
    if watched in _DURATIONS:
        return float(parse_duration(value))
    if watched in _SHARES:
        if not value.endswith("%"):
            raise ValueError(f"{watched} is a share: write it in per cent, as in 80%")
        return float(value.removesuffix("%")) / 100
    if watched == "memory":
        match = _SIZE.fullmatch(value.lower())
        if match is None or match[2] not in _SIZES:
            raise ValueError("memory is a size: write it as in 500MB")
        return float(match[1]) * _SIZES[match[2]]
    return float(value)


def rules_with(given: Sequence[str]) -> tuple[Rule, ...]:
    """Give the rules that hold: the defaults, but for what is watched by one that is given.

    Raises:
        Refused: One is no rule.
    """
    read = {rule.watched: rule for rule in map(read_rule, given)}
    kept = [rule for rule in DEFAULTS if rule.watched not in read]
    return (*kept, *read.values())


class Reading(msgspec.Struct, frozen=True):
    """What something that is watched is at.

    Fields:
        watched: What.
        subject: Of what: ``RUN STEP`` for a step, ``RUN BUDGET`` for a budget, "" for the server.
        value: How much, as `Rule.above` counts.
        run: The run that it is about, or "".
        step: The step of it, or "".
    """

    watched: Watched
    subject: str
    value: float
    run: str = ""
    step: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that has held.

    Fields:
        id: Its number, counted from 1.
        rule: The rule's words.
        watched: What it looks at.
        subject: Of what.
        message: One line for a person.
        value: How much it was when it fired.
        since: When it fired.
        until: Since when it holds no more; None as long as it does.
        seen: Whether somebody has said to have seen it.
        run: The run that it is about, or "".
        step: The step of it, or "".
    """

    id: int
    rule: str
    watched: Watched
    subject: str
    message: str
    value: float
    since: int
    until: int | None = None
    seen: bool = False
    run: str = ""
    step: str = ""


class Recent:
    """How much of something there was lately.

    Args:
        window: For how many nanoseconds it counts.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._parts: deque[tuple[int, float]] = deque()
        self._last: float | None = None

    def note(self, at: int, total: float) -> float:
        """Take in how much there was in all; gives how much of it is recent.

        What there was at the first time is not.
        """
        if self._last is not None and total > self._last:
            self._parts.append((at, total - self._last))
        self._last = total
        while self._parts and self._parts[0][0] <= at - self._window:
            self._parts.popleft()
        return sum(amount for _, amount in self._parts)


class Alerts:
    """What rules have found so far.

    Args:
        rules: The rules.
    """

    def __init__(self, rules: Sequence[Rule] = DEFAULTS) -> None:
        self.rules = tuple(rules)
        self._all: dict[int, Alert] = {}
        self._firing: dict[tuple[str, str], int] = {}
        self._count = 0

    def look(self, at: int, readings: Iterable[Reading]) -> list[Alert]:
        """Hold what is known against the rules; gives the alerts that have fired now.

        What nothing is said of holds no more.
        """
        by_watched: dict[Watched, list[Reading]] = {}
        for reading in readings:
            by_watched.setdefault(reading.watched, []).append(reading)
        fired: list[Alert] = []
        holds: dict[tuple[str, str], None] = {}
        for rule in self.rules:
            for reading in by_watched.get(rule.watched, ()):
                if not rule.holds(reading.value):
                    continue
                key = (rule.words, reading.subject)
                holds[key] = None
                if key not in self._firing:
                    fired.append(self._fire(key, rule, reading, at))
        for key in [key for key in self._firing if key not in holds]:
            number = self._firing.pop(key)
            if number in self._all:
                self._all[number] = msgspec.structs.replace(self._all[number], until=at)
        self._forget()
        return fired

    def see(self, number: int) -> bool:
        """Note that somebody has seen an alert; tells whether there is one of that number."""
        alert = self._all.get(number)
        if alert is None:
            return False
        self._all[number] = msgspec.structs.replace(alert, seen=True)
        return True

    def all(self) -> list[Alert]:
        """Give all that are remembered, newest first."""
        return list(reversed(self._all.values()))

    @property
    def unseen(self) -> int:
        """How many nobody has said to have seen."""
        return sum(not alert.seen for alert in self._all.values())

    def _fire(self, key: tuple[str, str], rule: Rule, reading: Reading, at: int) -> Alert:
        self._count += 1
        alert = Alert(
            id=self._count,
            rule=rule.words,
            watched=rule.watched,
            subject=reading.subject,
            message=_message(reading, rule),
            value=reading.value,
            since=at,
            run=reading.run,
            step=reading.step,
        )
        self._all[alert.id] = alert
        self._firing[key] = alert.id
        return alert

    def _forget(self) -> None:
        over = [number for number, alert in self._all.items() if alert.until is not None]
        for number in over[: max(0, len(self._all) - MOST)]:
            del self._all[number]


_SAYS: Final[Mapping[Watched, str]] = {
    "plan_timeouts": "{value:.0%} of the last hour's runs took longer than their plan may",
    "exhausted": "every warm session was at work {value:.0f} times in the last minute",
    "refused": "providers refused {value:.0f} calls in the last hour",
    "budget": "{value:.0%} of {subject} is spent",
    "errors": "{value:.0%} of the last hour's calls failed",
}


def _message(reading: Reading, rule: Rule) -> str:
    if reading.watched == "step":
        took = format_duration(int(reading.value) // SECOND * SECOND)
        return f"step {reading.step} of {reading.run} has been at work for {took}"
    if reading.watched == "memory":
        most = rule.above / 1e6
        return f"the server holds {reading.value / 1e6:.0f} MB of memory, over {most:.0f} MB"
    return _SAYS[reading.watched].format(value=reading.value, subject=reading.subject)
