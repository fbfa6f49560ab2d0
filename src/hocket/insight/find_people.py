"""Finds what waited for people, and what the program itself was not there for."""

from __future__ import annotations

from collections import Counter
from typing import Final

from hocket.core.values import MS, SECOND, format_duration
from hocket.insight.find_leads import CAUSE, ROOT, Ground, Lead, length, times
from hocket.insight.find_usage import claims, plain

_SOON: Final = 30 * SECOND
"""How soon a person who sees a question at once may answer it."""

_ADVICE: Final = {
    "approval": "Ask for approval earlier or side by side, or let a timeout decide.",
    "input": "Ask for the input earlier, or hand it in when the run begins.",
    "stood": "Let failures be tried again without being asked, or be told of them at once.",
}


_NEVER_CAME: Final = {
    "timeout": "nobody gave, until its timeout",
    "rejected": "was refused",
    "stop": "nobody gave",
}
_UNTOLD: Final = "It may have worked on for a while of it: when it ended is not known."
_HELD: Final = {
    "claim": "the journal's word on shared limits",
    "commit": "writing the journal",
    "framework": "the framework in which it runs",
}
"""What waits of the program itself are for."""


def people(ground: Ground) -> list[Lead]:
    """Find waits for people, pauses, dead processes and the coordinator's own time."""
    return [*_asked(ground), *_stops(ground), *_coordinator(ground)]


def _asked(ground: Ground) -> list[Lead]:
    """Tell of approvals, inputs and requests that the run stood for."""
    parts: dict[str, dict[int, int]] = {}
    for place, segment in ground.of("approval", "input"):
        activity = ground.activity(segment)
        kind: str = segment.cause.kind
        if activity is not None and activity.work == "person":
            kind = "stood"
        known = parts.setdefault(kind, {})
        known[place] = length(segment)
        if kind == "stood" and place and ground.segments[place - 1].cause.kind == "rework":
            # It stood because this had failed for good.
            known[place - 1] = length(ground.segments[place - 1])
    return [_stood_for(ground, kind, explained) for kind, explained in parts.items()]


def _stood_for(ground: Ground, kind: str, parts: dict[int, int]) -> Lead:
    waits = [place for place in parts if ground.segments[place].cause.kind != "rework"]
    longest = max(waits, key=lambda place: (parts[place], -place))
    step = ground.segments[longest].cause.detail
    where = ground.path_of(step) if step else "a step"
    what = f"an {kind} at {where} that {_how(ground, longest)}"
    if len(waits) > 1:
        ways = Counter(_how(ground, place) for place in waits)
        what = f"{times(len(waits), kind)} that came late, the one at {where} latest"
        if [*ways] != ["came late"]:
            told = ", ".join(f"{count} {way}" for way, count in ways.items())
            what = f"{times(len(waits), kind)} ({told}), longest for the one at {where}"
    if kind == "stood":
        what = "a failure after which the run stood still until a person asked for a retry or "
        what += "decided"
    return Lead(
        kind,
        step,
        what,
        parts,
        ROOT,
        advice=_ADVICE[kind],
        # Nothing is known of how soon a retry would be asked for, and what nobody gave would not
        # come sooner either.
        change=(_sooner(parts[longest]),)
        if kind != "stood" and _how(ground, longest) == "came late"
        else (),
    )


def _how(ground: Ground, place: int) -> str:
    """Say what became of what a person was asked, in the words behind ``that``."""
    activity = ground.activity(ground.segments[place])
    if activity is None:
        return "came late"
    if activity.ended is None:
        return "nobody has given yet"
    if activity.how in _NEVER_CAME:
        return _NEVER_CAME[activity.how]
    return "nobody gave" if activity.fate in ("cancelled", "discarded") else "came late"


def _sooner(waited: int) -> str:
    """Propose that people answer soon, and at least in half the time."""
    after = min(_SOON, waited // 2)
    return (
        f"people.after={after // SECOND}s" if after >= SECOND else f"people.after={after // MS}ms"
    )


def _stops(ground: Ground) -> list[Lead]:
    """Tell of pauses, and of times of which nothing is recorded, as a process ended in them."""
    leads = []
    for kind, depth, subject, what, advice in (
        (
            "down",
            ROOT,
            "process",
            "a time of which nothing is recorded, as its process ended in it",
            "Keep the process alive, and let a supervisor resume its runs.",
        ),
        (
            "pause",
            CAUSE,
            "run",
            "a pause of the run",
            "Go on sooner, or pause only what has to wait.",
        ),
    ):
        parts = {place: length(segment) for place, segment in ground.of(kind)}
        budget = _spent_budget(ground) if kind == "pause" else ""
        stops = [stop for stop in ground.trace.stops if stop.kind == kind]
        for place, segment in ground.of("rework"):
            activity = ground.activity(segment)
            if kind == "down" and activity is not None and activity.how == "lost":
                # What was in flight when the process died was over then, though nobody knew.
                dead = sum(
                    max(0, min(segment.until, stop.until) - max(segment.since, stop.since))
                    for stop in stops
                )
                if dead:
                    parts[place] = dead
        facts = tuple([fact for stop in stops for fact in stop.events])
        if parts and budget:
            leads.append(
                Lead(
                    "budget",
                    budget,
                    f"a pause once {budget} was spent, until somebody let the run go on",
                    parts,
                    depth,
                    advice="Raise the budget, or let a cheaper model take over when it is spent.",
                    facts=facts,
                )
            )
        elif parts:
            detail = _UNTOLD if kind == "down" else ""
            leads.append(
                Lead(kind, subject, what, parts, depth, detail=detail, advice=advice, facts=facts)
            )
    return leads


def _spent_budget(ground: Ground) -> str:
    """Name a budget that pauses runs and had no room for another call like those before, or ""."""
    for name, limit in ground.trace.limits.items():
        if limit.on_exceed != "pause":
            continue
        calls = [a.usage for a in ground.trace.activities if a.usage and claims(a, plain(name))]
        costs = [usage.cost or 0 for usage in calls]
        tokens = [(usage.tokens_in or 0) + (usage.tokens_out or 0) for usage in calls]
        for spending, rates in ((costs, limit.cost), (tokens, limit.tokens)):
            if spending and any(sum(spending) + max(spending) > rate.amount for rate in rates):
                return name
    return ""


def _coordinator(ground: Ground) -> list[Lead]:
    """Tell of the time between facts that nothing but the program itself can have taken."""
    parts = {place: length(segment) for place, segment in ground.of("coordinator")}
    if not parts:
        return []
    after = max(parts, key=lambda place: (parts[place], -place))
    held = _held(ground, parts)
    known = sum(held.values())
    detail = "Nothing is recorded that held these calls up: the loop, the disk or the journal was "
    detail += "busy."
    if known:
        told = [f"{format_duration(ns)} went to {_HELD[name]}" for name, ns in held.items()]
        detail = f"Of this, {' and '.join(told)}, as is recorded."
    return [
        Lead(
            "coordinator",
            "engine",
            f"the program itself, in {times(len(parts), 'place')} between one thing and the next",
            parts,
            detail=detail,
            advice="Look at the machine's load and its disk, and at code that blocks the loop.",
            told=(ground.segments[after].activity,),
        )
    ]


def _held(ground: Ground, parts: dict[int, int]) -> dict[str, int]:
    """Say how much of some stretches was spent on what is recorded of the program itself."""
    held: Counter[str] = Counter()
    for place in parts:
        segment = ground.segments[place]
        activity = ground.activity(segment)
        for wait in activity.waits if activity is not None else ():
            both = min(wait.until, segment.until) - max(wait.since, segment.since)
            name = wait.cause.partition(":")[0]
            if both > 0 and name in _HELD:
                held[name] += both
    return dict(held)
