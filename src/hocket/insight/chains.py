"""Coordination in teams: who did what when, and which answer made which calls void.

A call is made void by the first answer that came after it had been told what is new, since that one
it cannot have known.
One that was cut off, or that nobody needed any more, counts as void only if its member was asked
anew before it ended: so it was for the sake of that answer.
Where there is no report of a team, as in another program's log, all of that is worked out from the
calls alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hocket.core.reports import Report
from hocket.insight.trace import START, Activity, Trace

_NEWS: Final = frozenset({"answers", "revises", "fixes"})
"""What the coordination table says of one who gives an answer."""
_TRIED: Final = frozenset({"refused", "failed"})
_CUT: Final = frozenset({"cancelled", "discarded"})
_CALLS: Final = frozenset({"model", "tool"})
_TOLD: Final = "is told"


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of the coordination table.

    Fields:
        at: The instant.
        member: Whose it is; "" for the team's own.
        what: As in `hocket.core.reports.Row`; without a report ``answers``, ``is void``, or the
            fate of the call.
        detail: The rest, in words.
        activity: The index of the call that it comes from, or `START`.
        void: How many calls it made void.
    """

    at: int
    member: str
    what: str
    detail: str = ""
    activity: int = START
    void: int = 0


class Answer(msgspec.Struct, kw_only=True):
    """An answer, a revision or a mended artefact, and the calls that it made void.

    Fields:
        label: Its name: the member's, and which of its answers it is, as in ``flash-2.1``.
        member: Whose it is.
        at: When it came.
        activity: The index of the call that gave it, or `START`.
        void: The indices of the calls that it made void, in the order in which they left.
        took: For how long these calls were at work, all together, in nanoseconds.
        tokens: What they read and wrote, as far as known.
        cost: Pico-dollars, as far as priced.
    """

    label: str
    member: str
    at: int
    activity: int
    void: list[int] = []
    took: int = 0
    tokens: int = 0
    cost: int = 0


class Seat(msgspec.Struct, kw_only=True):
    """How often a member had to begin anew.

    Fields:
        name: The member.
        calls: How many calls it made.
        restarts: How often what it did was made void; a conversation with its tools counts once.
        void: How many of its calls that were.
        chains: The indices of the first calls of what was made void one after the other, without
            anything that counted in between.
        longest: The length of the longest of these chains.
        took: For how long the void calls were at work, in nanoseconds.
        tokens: What they read and wrote, as far as known.
        cost: Pico-dollars, as far as priced.
    """

    name: str
    calls: int = 0
    restarts: int = 0
    void: int = 0
    chains: list[list[int]] = []
    longest: int = 0
    took: int = 0
    tokens: int = 0
    cost: int = 0


class Coordination(msgspec.Struct, kw_only=True):
    """What went on in one team.

    Fields:
        team: Its path; "" for the whole of another program's run.
        kind: ``consensus``, ``review``, ``tools``; "" if nothing says so.
        lines: The coordination table, in order.
        answers: The answers in the order in which they came.
        seats: The members in the order in which they were first asked.
        unexplained: The indices of stale calls after which no answer is known.
    """

    team: str
    kind: str
    lines: list[Line]
    answers: list[Answer]
    seats: list[Seat]
    unexplained: list[int] = []


class Chains(msgspec.Struct, kw_only=True):
    """What was done in vain in all teams, because an answer came.

    Fields:
        teams: Each team, in the order in which they began.
        restarts: How often a member had to begin anew.
        void: How many calls that were.
        longest: How many restarts of one member followed one another at most.
        took: For how long the void calls were at work, all together, in nanoseconds.
        tokens: What they read and wrote, as far as known.
        cost: Pico-dollars, as far as priced.
    """

    teams: list[Coordination]
    restarts: int
    void: int
    longest: int
    took: int
    tokens: int
    cost: int


class _Turn:
    """What a member was asked at once: a call and its repetitions, or a whole conversation."""

    __slots__ = ("asked", "calls", "knows", "member", "void")

    def __init__(self, member: str, asked: int) -> None:
        self.member = member
        self.asked = asked
        self.calls: list[int] = []
        self.knows: list[int] = []
        """For each of the calls, the instant after which it was told of nothing new."""
        self.void: list[int] = []


def chains(trace: Trace) -> Chains:
    """Say which answers made which calls void, in every team."""
    teams: dict[str, list[int]] = {}
    stale = False
    for index, activity in enumerate(trace.activities):
        if activity.work in _CALLS and activity.left:
            teams.setdefault(activity.team, []).append(index)
            stale = stale or (not activity.team and activity.fate == "stale")
    if not stale:
        # Calls of no team can't be void but in a log that knows of none.
        teams.pop("", None)
    found = [_team(trace, team, calls) for team, calls in teams.items()]
    seats = [seat for team in found for seat in team.seats]
    return Chains(
        teams=found,
        restarts=sum([seat.restarts for seat in seats]),
        void=sum([seat.void for seat in seats]),
        longest=max([seat.longest for seat in seats], default=0),
        took=sum([seat.took for seat in seats]),
        tokens=sum([seat.tokens for seat in seats]),
        cost=sum([seat.cost for seat in seats]),
    )


def _team(trace: Trace, team: str, calls: Sequence[int]) -> Coordination:
    report = trace.reports.get(team)
    ends: dict[tuple[str, int], int] = {}
    if report is None:
        turns = _turns_of_calls(trace, calls)
        answers = _answers_of_calls(trace, turns)
    else:
        turns, ends = _turns(trace, team, calls, report), _ends(trace, team, calls)
        answers = _answers_of_rows(trace, report, ends)
    unexplained = _blame(trace, turns, answers)
    for answer in answers:
        answer.took, answer.tokens, answer.cost = _sums(trace, answer.void)
    if report is None:
        lines = _made_out(trace, turns, answers)
    else:
        lines = _told(report, answers, ends)
    return Coordination(
        team=team,
        kind="" if report is None else report.kind,
        lines=lines,
        answers=answers,
        seats=_seats(trace, turns),
        unexplained=unexplained,
    )


def _turns(trace: Trace, team: str, calls: Sequence[int], report: Report) -> list[_Turn]:
    """Put together what members were asked, in the order in which they were asked it."""
    told = dict.fromkeys([row.path for row in report.rows if row.what == _TOLD])
    found: dict[str, _Turn] = {}
    for index in calls:
        activity = trace.activities[index]
        parts = _within(team, activity.path).split("/")
        key = "/".join(parts[:2])
        turn = found.get(key)
        if turn is None:
            turn = found[key] = _Turn(parts[0].partition("~")[0], activity.asked)
        # Each try is told what is new; a conversation knows what its first call was told.
        first = len(parts) < 3 or not turn.calls
        turn.knows.append(activity.began if first else turn.knows[0])
        turn.calls.append(index)
        if key in told:
            # It was told more on its way.
            turn.knows = [activity.began] * len(turn.calls)
    return list(found.values())


def _turns_of_calls(trace: Trace, calls: Sequence[int]) -> list[_Turn]:
    """Put calls together with the tries after refusals and failures: those ask the same again.

    What a call knows it has been told when it was asked for: when it left, or was sent once more,
    another program may have told it nothing new.
    """
    turns: list[_Turn] = []
    found: dict[int, _Turn] = {}
    for index in calls:
        activity = trace.activities[index]
        turn = found.get(activity.after)
        if turn is not None:
            last = trace.activities[activity.after]
            if last.path != activity.path or last.fate not in _TRIED:
                turn = None
        if turn is None:
            turn = _Turn(activity.agent, activity.asked)
            turns.append(turn)
        found[index] = turn
        turn.knows.append(turn.asked)
        turn.calls.append(index)
    return turns


def _ends(trace: Trace, team: str, calls: Sequence[int]) -> dict[tuple[str, int], int]:
    """Give the call that ended at a path, or below it, at an instant."""
    ends: dict[tuple[str, int], int] = {}
    for index in calls:
        activity = trace.activities[index]
        path = _within(team, activity.path)
        while path and activity.ended is not None:
            ends[path, activity.ended] = index
            path = path.rpartition("/")[0]
    return ends


def _answers_of_rows(
    trace: Trace, report: Report, ends: Mapping[tuple[str, int], int]
) -> list[Answer]:
    """Give the answers that the coordination table tells of, but for those that came too late."""
    came: list[tuple[str, int, int]] = []
    for row in report.rows:
        index = ends.get((row.path, row.at), START)
        if row.what in _NEWS and (index == START or trace.activities[index].fate != "discarded"):
            came.append((row.member, row.at, index))
    return _labelled(came)


def _answers_of_calls(trace: Trace, turns: Sequence[_Turn]) -> list[Answer]:
    """Give the answers that calls seem to have given: those that are named so, and counted."""
    ends = [
        (activity.ended, index, turn.member)
        for turn in turns
        for index in turn.calls
        if (activity := trace.activities[index]).fate == "useful"
        and activity.ended is not None
        and _is_answer(activity)
    ]
    return _labelled([(member, at, index) for at, index, member in sorted(ends)])


def _labelled(came: Sequence[tuple[str, int, int]]) -> list[Answer]:
    """Name answers by their members and numbers."""
    numbers: dict[str, int] = {}
    found: list[Answer] = []
    for member, at, index in came:
        number = numbers[member] = numbers.get(member, 0) + 1
        label = f"{member}.{number}"
        found.append(Answer(label=label, member=member, at=at, activity=index, void=[]))
    return found


def _is_answer(activity: Activity) -> bool:
    return "answer" in activity.path.rpartition("/")[2]


def _blame(trace: Trace, turns: Sequence[_Turn], answers: Sequence[Answer]) -> list[int]:
    """Say which answer made which calls void; give the stale calls that none did."""
    instants = [answer.at for answer in answers]
    again: dict[str, list[int]] = {}
    for turn in turns:
        again.setdefault(turn.member, []).append(turn.asked)
    unexplained: list[int] = []
    for turn in turns:
        for index, known in zip(turn.calls, turn.knows, strict=True):
            place = bisect_right(instants, known)
            activity = trace.activities[index]
            ended = trace.ended if activity.ended is None else activity.ended
            if activity.fate in _CUT:
                if place == len(answers) or not _anew(again[turn.member], instants[place], ended):
                    continue
            elif activity.fate != "stale":
                continue
            turn.void.append(index)
            if place < len(answers):
                answers[place].void.append(index)
            else:
                unexplained.append(index)
    for answer in answers:
        answer.void.sort(key=lambda index: (trace.activities[index].began, index))
    return unexplained


def _anew(asked: Sequence[int], since: int, until: int) -> bool:
    """Tell whether a member was asked anything from one instant until another."""
    place = bisect_left(asked, since)
    return place < len(asked) and asked[place] <= until


def _seats(trace: Trace, turns: Sequence[_Turn]) -> list[Seat]:
    seats: dict[str, Seat] = {}
    streaks: dict[str, list[int]] = {}
    for turn in turns:
        seat = seats.get(turn.member)
        if seat is None:
            seat = seats[turn.member] = Seat(name=turn.member, chains=[])
        seat.calls += len(turn.calls)
        if not turn.void:
            streaks.pop(turn.member, None)
            continue
        streak = streaks.get(turn.member)
        if streak is None:
            streak = streaks[turn.member] = []
            seat.chains.append(streak)
        streak.append(turn.void[0])
        seat.restarts += 1
        seat.void += len(turn.void)
        took, tokens, cost = _sums(trace, turn.void)
        seat.took, seat.tokens, seat.cost = seat.took + took, seat.tokens + tokens, seat.cost + cost
        seat.longest = max(seat.longest, len(streak))
    return list(seats.values())


def _sums(trace: Trace, calls: Sequence[int]) -> tuple[int, int, int]:
    """Add up for how long calls were at work, their tokens and their cost."""
    took = tokens = cost = 0
    for index in calls:
        activity = trace.activities[index]
        if activity.cached:
            continue
        ended = trace.ended if activity.ended is None else activity.ended
        took += max(0, ended - activity.began)
        if activity.usage is not None:
            tokens += (activity.usage.tokens_in or 0) + (activity.usage.tokens_out or 0)
            cost += activity.usage.cost or 0
    return took, tokens, cost


def _told(
    report: Report, answers: Sequence[Answer], ends: Mapping[tuple[str, int], int]
) -> list[Line]:
    """Give the coordination table as the team's report tells it."""
    void = {(answer.member, answer.at): len(answer.void) for answer in answers}
    return [
        Line(
            at=row.at,
            member=row.member,
            what=row.what,
            detail=row.detail,
            activity=ends.get((row.path, row.at), START),
            void=void.get((row.member, row.at), 0) if row.what in _NEWS else 0,
        )
        for row in report.rows
    ]


def _made_out(trace: Trace, turns: Sequence[_Turn], answers: Sequence[Answer]) -> list[Line]:
    """Make a coordination table of the ends of calls."""
    by = {answer.activity: answer for answer in answers}
    lines: list[tuple[int, int, Line]] = []
    for turn in turns:
        for index in turn.calls:
            activity = trace.activities[index]
            if activity.ended is None:
                continue
            answer = by.get(index)
            line = Line(
                at=activity.ended,
                member=turn.member,
                what="is void" if index in turn.void else activity.fate or "ends",
                detail=activity.how,
                activity=index,
            )
            if answer is not None:
                line.what, line.detail, line.void = "answers", answer.label, len(answer.void)
            lines.append((activity.ended, index, line))
    return [line for _, _, line in sorted(lines, key=lambda item: item[:2])]


def _within(team: str, path: str) -> str:
    """Give a call's path within its team."""
    return path.removeprefix(f"{team}/") if team else path
