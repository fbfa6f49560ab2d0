"""How each member of a team stands at this moment, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from hocket.core.reports import Judgement, Report, Row
from hocket.report.places import Place
from hocket.report.team import VERDICTS, share
from hocket.report.text import one_line

Mood: TypeAlias = Literal["busy", "waits", "done", "voted", "failed", "idle"]

_DOING: Final = {
    "answer": "answering",
    "vote": "voting",
    "present": "presenting",
    "synthesize": "synthesizing",
    "assess": "assessing",
    "correct": "correcting",
    "judge": "judging",
}
_MAKING: Final = {"author": "writing", "fixer": "fixing"}
_TURN: Final = re.compile(r"turn(?:~(\d+))?\Z")


class Doing(NamedTuple):
    """What a call of a member is about, and how far it is.

    Fields:
        path: Its path within the team.
        state: How far it is, in words: ``3.2 s``, or what it waits for.
        waits: Whether it has not left yet.
        cause: For which limit it waits, as in `hocket.core.events.Wait`.
        agent: Who does it.
    """

    path: str
    state: str
    waits: bool
    cause: str = ""
    agent: str = ""


class Standing(NamedTuple):
    """How a member stands.

    Fields:
        member: Who.
        agent: Who does the work.
        label: What the others know the answer by.
        mood: What kind of state it is.
        words: The state in words.
    """

    member: str
    agent: str
    label: str
    mood: Mood
    words: str


def standings(place: Place, report: Report, doing: Sequence[Doing]) -> list[Standing]:
    """Say how each member stands, in the order of the team."""
    busy: dict[str, list[Doing]] = {}
    for one in doing:
        busy.setdefault(member_of(place, one.path), []).append(one)
    agents = dict(place.members)
    for name in (*busy, *(vote.member for vote in report.judgements), *_who(report.rows)):
        agents.setdefault(name, "")
    for one in doing:
        if one.agent and not agents.get(member_of(place, one.path)):
            agents[member_of(place, one.path)] = one.agent
    votes = {
        vote.member: vote for vote in report.judgements if vote.counts or report.kind != "review"
    }
    labels = {one.member: one for one in report.contributions}
    found = []
    for name, agent in agents.items():
        answer = labels.get(name)
        notes = _notes(name, report, 1 if answer is None else answer.revision)
        mood, words = _state(name, place, busy.get(name), votes.get(name), report)
        if mood == "idle" and answer is not None:
            mood, words = "done", "answered"
        label = "" if answer is None else answer.label
        found.append(Standing(name, agent, label, mood, f"{words}{notes}"))
    return found


def _state(
    name: str,
    place: Place,
    doing: Sequence[Doing] | None,
    vote: Judgement | None,
    report: Report,
) -> tuple[Mood, str]:
    if doing:
        first = next((one for one in doing if not one.waits), doing[0])
        what = _what(first.path, tools=place.kind == "tools")
        more = f", and {len(doing) - 1} more" if len(doing) > 1 else ""
        if first.waits:
            return "waits", f"{what}: {first.state}{more}" if what else f"{first.state}{more}"
        between = ", " if "," in what or what.startswith(("turn", "calls")) else " "
        return "busy", between.join(filter(None, (what, first.state))) + more
    last = _last(name, report.rows)
    if last is not None and last.what in ("fails", "abstains"):
        why = f": {one_line(last.detail)}" if last.detail else ""
        return "failed", ("failed" if last.what == "fails" else "abstains") + why
    if vote is not None:
        return "voted", vote_words(vote)
    return "idle", ""


def vote_words(vote: Judgement) -> str:
    """Write a vote or a verdict shortly: ``voted → B``, ``approves 0.9``, ``abstains``."""
    void = "" if vote.counts else " (does not count)"
    if vote.choice in VERDICTS:
        return f"{VERDICTS[vote.choice]} {share(vote.confidence)}{void}"
    return f"voted → {vote.choice}{void}" if vote.choice else "abstains"


def _notes(name: str, report: Report, revision: int) -> str:
    """Say how often a member has revised its answer, and how often it had to begin anew."""
    restarts = sum(row.member == name and row.what == "restarts" for row in report.rows)
    notes = [f"revision {revision}"] if revision > 1 else []
    if restarts:
        notes.append("restarted" if restarts == 1 else f"restarted ×{restarts}")
    return f" ({', '.join(notes)})" if notes else ""


def _what(path: str, *, tools: bool) -> str:
    """Say what a call is about: ``answering``, ``answering, turn 3``, ``voting: calls grep``."""
    parts = path.split("/")
    if _seat(parts[0]) in _MAKING:
        said, inner = _MAKING[_seat(parts[0])], parts[1:]
    else:
        inner = parts if tools else parts[2:]
        what = "" if tools or len(parts) < 2 else _seat(parts[1])
        said = _DOING.get(what, what)
    if not inner:
        return said
    turn = _TURN.match(inner[0])
    does = f"turn {turn[1] or 1}" if turn else f"calls {inner[0]}"
    return f"{said}, {does}" if said else does


def member_of(place: Place, path: str) -> str:
    """Name the member that a call within a team is of."""
    step = place.step
    if place.kind == "tools":
        return step.agent
    first = path.partition("/")[0]
    if place.kind == "review":
        # Those who make what is reviewed have no seats of their own.
        makers = {"author": step.agent}
        if step.review is not None:
            makers["fixer"] = step.review.fixer
        return makers.get(_seat(first)) or first
    return first


def _seat(part: str) -> str:
    return part.partition("~")[0]


def _who(rows: Sequence[Row]) -> list[str]:
    return [row.member for row in rows if row.member]


def _last(name: str, rows: Sequence[Row]) -> Row | None:
    return next((row for row in reversed(rows) if row.member == name), None)
