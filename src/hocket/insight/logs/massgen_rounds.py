"""Puts what MassGen noted together as rounds: stretches in which one agent worked at one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from hocket.core.events import Usage
from hocket.core.reports import Fate
from hocket.insight.logs.massgen_facts import Fact, Facts

Outcome: TypeAlias = Literal[
    "answer", "vote", "ignored", "injected", "restarted", "final", "failed", "timeout", ""
]
"""How a round ended.

answer, vote, final: it gave that.
ignored: it gave a vote, which was dropped because of a newer answer.
injected: its attempt was dropped, as the agent was told of newer answers.
restarted: another round of the agent began, and this one had given nothing.
failed, timeout: so the agent ended.
"": nothing is said.
"""

_ENDS: Final[dict[str, Outcome]] = {
    "new_answer": "answer",
    "vote_cast": "vote",
    "vote_ignored": "ignored",
    "final_answer": "final",
    "agent_error": "failed",
    "agent_timeout": "timeout",
}
_STATUS: Final = "Changed to status: "
_STATUS_ENDS: Final[dict[str, Outcome]] = {"error": "failed", "timeout": "timeout"}
_FATES: Final[dict[Outcome, Fate | Literal[""]]] = {
    "answer": "useful",
    "vote": "useful",
    "final": "useful",
    "ignored": "stale",
    "injected": "stale",
    "restarted": "stale",
    "failed": "failed",
    "timeout": "cancelled",
    "": "",
}


class Round(msgspec.Struct, kw_only=True):
    """A stretch in which one agent worked at one thing.

    Fields:
        agent: Whose it is.
        began: When it was given the others' answers.
        sees: The labels of these.
        records: Where its beginning and its end stand.
        ended: When it ended; None if the log does not say.
        outcome: How it ended.
        label: The label of the answer that it gave, or of what it voted for.
        answers: How many answers there were when it voted, as the log says.
        erased: Whether it gave a vote that a later answer has made void.
        first: Whether the agent had given no answer before.
        final: Whether it is the last one, in which the winner presents its answer.
        usage: What it spent, as far as the log says.
        needs: The indices of the rounds that it came after; the last one is last.
    """

    agent: str
    began: int
    sees: tuple[str, ...] = ()
    records: tuple[int, ...] = ()
    ended: int | None = None
    outcome: Outcome = ""
    label: str = ""
    answers: int | None = None
    erased: bool = False
    first: bool = False
    final: bool = False
    usage: Usage | None = None
    needs: tuple[int, ...] = ()

    @property
    def doing(self) -> str:
        """What it was about: ``answer``, ``vote`` or ``present``."""
        if self.final:
            return "present"
        if self.outcome in {"answer", "vote"}:
            return self.outcome
        return "answer" if self.first and self.outcome != "ignored" else "vote"

    @property
    def fate(self) -> Fate | Literal[""]:
        """What became of it."""
        return "stale" if self.erased else _FATES[self.outcome]


class _Building:
    """The rounds, as far as they are known."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.open: dict[str, Round] = {}
        self.answered: dict[str, bool] = {}
        self.votes: list[Round] = []

    def begin(self, fact: Fact, sees: tuple[str, ...]) -> None:
        before = self.open.get(fact.agent)
        if before is not None:
            self.end(fact, "restarted")
        opened = Round(
            agent=fact.agent,
            began=fact.at,
            sees=sees,
            records=(fact.record,),
            first=fact.agent not in self.answered,
        )
        self.rounds.append(opened)
        self.open[fact.agent] = opened

    def end(self, fact: Fact, outcome: Outcome) -> None:
        closed = self.open.pop(fact.agent, None)
        if closed is None:
            return
        closed.ended = max(closed.began, fact.at)
        closed.outcome = outcome
        closed.records = (*closed.records, fact.record)
        closed.label = fact.label
        if outcome == "answer":
            self.answered[fact.agent] = True
        if outcome == "vote":
            closed.answers = None if fact.sees is None else len(fact.sees)
            self.votes.append(closed)

    def erase(self, affected: Sequence[str]) -> None:
        for each in self.votes:
            each.erased = not affected or each.agent in affected
        self.votes = [each for each in self.votes if not each.erased]


def rounds_of(facts: Facts) -> list[Round]:
    """Give the rounds in the order in which they began."""
    building = _Building()
    restarts = any(fact.kind == "restart_triggered" for fact in facts.facts)
    for fact in facts.facts:
        _apply(building, fact, restarts)
    _link(building)
    return building.rounds


def _apply(building: _Building, fact: Fact, restarts: bool) -> None:
    if fact.kind == "context_received" and fact.agent:
        building.begin(fact, fact.sees or ())
    elif fact.kind == "context_told" and fact.agent in building.open:
        building.open[fact.agent].sees = fact.sees or ()
    elif fact.kind == "final_round_start" and fact.agent:
        building.begin(fact, ())
        building.rounds[-1].final = True
    elif fact.kind == "update_injected" and fact.agent in building.open:
        seen = building.open[fact.agent].sees
        building.end(fact, "injected")
        building.begin(fact, seen)
    elif fact.kind == "restart_triggered":
        building.erase(fact.affected)
    elif fact.kind == "status_change" and fact.said.startswith(_STATUS):
        outcome = _STATUS_ENDS.get(fact.said.removeprefix(_STATUS))
        if outcome is not None:
            building.end(fact, outcome)
    elif fact.kind in _ENDS:
        building.end(fact, _ENDS[fact.kind])
        if fact.kind == "new_answer" and not restarts:
            # The file that is written under way does not tell of the votes that an answer erases.
            building.erase(())


def _link(building: _Building) -> None:
    """Say what each round came after.

    An agent's round comes after its round before, and after the answers that it is given; the last
    one after the votes that counted.
    """
    gave: dict[str, int] = {}
    before: dict[str, int] = {}
    votes = [i for i, each in enumerate(building.rounds) if each.outcome == "vote"]
    votes = [i for i in votes if not building.rounds[i].erased]
    for index, each in enumerate(building.rounds):
        if each.outcome == "answer" and each.label:
            gave.setdefault(each.label, index)
        needs = [gave[label] for label in each.sees if label in gave]
        if each.final:
            needs = votes
        elif each.agent in before:
            needs.append(before[each.agent])
        each.needs = _by_end(building.rounds, needs, index)
        before[each.agent] = index


def _by_end(rounds: Sequence[Round], needs: Sequence[int], index: int) -> tuple[int, ...]:
    ended = [
        (end, i)
        for i in dict.fromkeys(needs)
        if i < index and (end := rounds[i].ended) is not None and end <= rounds[index].began
    ]
    return tuple(i for _, i in sorted(ended))
