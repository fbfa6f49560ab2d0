"""Teams on an explanation's page: who did what when, and what a later answer made void."""

from __future__ import annotations

from typing import Final

from hocket.core.values import SECOND
from hocket.insight.chains import Coordination
from hocket.insight.explain import Explanation
from hocket.report.html_parts import h, link, row_of, section, table, took_text
from hocket.report.svg import escape
from hocket.report.text import dollars

_MOST_TEAMS: Final = 8
_MOST_LINES: Final = 60
_MOST_VOID: Final = 200
"""A link names at most so many calls."""


def teams(told: Explanation) -> str:
    """Write a table for each team, those first in which most was made void; "" without teams."""
    found = told.chains.teams
    if not found:
        return ""
    void = {id(team): sum(seat.void for seat in team.seats) for team in found}
    ordered = sorted(found, key=lambda team: -void[id(team)])
    parts = []
    if told.chains.void:
        lost = [f"{told.chains.void:,} calls", f"{took_text(told.chains.took)} of work"]
        if told.chains.tokens:
            lost.append(f"{told.chains.tokens:,} tokens")
        if told.chains.cost:
            lost.append(dollars(told.chains.cost))
        calls = [index for team in found for answer in team.answers for index in answer.void]
        words = link(_list(sorted(calls)), ", ".join(lost))
        parts.append(h("p", f"Later answers made void: {words}."))
    parts += [_team(told, team) for team in ordered[:_MOST_TEAMS]]
    if len(ordered) > _MOST_TEAMS:
        parts.append(h("p", f"{_MOST_TEAMS} of {len(ordered):,} teams are shown.", class_="soft"))
    return section("teams", "Who did what when", "".join(parts))


def _team(told: Explanation, team: Coordination) -> str:
    began = told.trace.began
    void = {answer.activity: answer.void for answer in team.answers}
    rows = []
    for line in team.lines[:_MOST_LINES]:
        at = f"{(line.at - began) / SECOND:,.3f} s"
        known = line.activity >= 0
        lost = void.get(line.activity, []) if line.void else []
        rows.append(
            row_of(
                [
                    (link(f"#call-{line.activity}", at) if known else at, "n"),
                    (escape(line.member), ""),
                    (escape(line.what), ""),
                    (escape(line.detail), "call"),
                    (link(_list(lost), f"{line.void:,}") if lost else "", "n"),
                ]
            )
        )
    head = [("at", "n"), ("member", ""), ("what", ""), ("", ""), ("made void", "n")]
    words = [team.team or "the run", team.kind, f"{len(team.seats)} members"]
    restarts = sum(seat.restarts for seat in team.seats)
    if restarts:
        words.append(f"begun anew {restarts:,} times")
    if len(team.lines) > _MOST_LINES:
        words.append(f"the first {_MOST_LINES} of {len(team.lines):,} lines")
    summary = h("summary", escape(", ".join(word for word in words if word)))
    return h("details", summary + table(head, rows), open="" if restarts else None)


def _list(calls: list[int]) -> str:
    return "#list-" + ",".join(map(str, calls[:_MOST_VOID]))
