"""Finds limits that the finish waited for: windows, spacing, slots, refusals, budgets, shares."""

from __future__ import annotations

from typing import Final

import msgspec

from hocket.core.specs import Rate
from hocket.core.values import MS, format_duration
from hocket.insight.find_leads import (
    CAUSE,
    ROOT,
    SYMPTOM,
    Ground,
    Lead,
    length,
    times,
)
from hocket.insight.find_usage import (
    RUN,
    Used,
    capacity,
    claims,
    label,
    plain,
    setting_of,
    slots_of,
    spec_of,
    usage_of,
)
from hocket.insight.load import uses
from hocket.limits.window import MARGIN
from hocket.limits.words import KINDS, WINDOWS, amount_words, period_words, rate_words

_MARGIN_SHOWS: Final = 2
"""What was waited for is the margin's doing if it is so many times what the spacing asks for."""


def limits(ground: Ground) -> list[Lead]:
    """Find limits that were waited for."""
    leads: list[Lead] = []
    for limit, parts in _by_limit(ground, "rate").items():
        leads += _windows(ground, limit, parts)
    for limit, parts in _by_limit(ground, "slot").items():
        leads.append(_slots(ground, limit, parts))
    for limit, parts in _by_limit(ground, "refused").items():
        leads += _closed(ground, limit, parts)
    for limit, parts in _by_limit(ground, "budget").items():
        leads.append(_budget(ground, limit, parts))
    shared = {index: length(segment) for index, segment in ground.of("share")}
    if shared:
        leads.append(
            Lead(
                "share",
                ground.trace.run,
                "giving way to other runs that share its limits",
                shared,
                advice="Give this run a higher priority or weight, or run it at another time.",
            )
        )
    return leads


def _by_limit(ground: Ground, kind: str) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for index, segment in ground.of(kind):
        found.setdefault(segment.cause.detail, {})[index] = length(segment)
    return found


def _wait_of(ground: Ground, index: int) -> str:
    """Say which word the record has for a segment's wait: ``rate``, ``spacing``, ``breaker``…."""
    segment = ground.segments[index]
    activity = ground.activity(segment)
    for wait in activity.waits if activity is not None else ():
        name, _, detail = wait.cause.partition(":")
        over = min(wait.until, segment.until) - max(wait.since, segment.since)
        if detail == segment.cause.detail and over > 0:
            return name
    return ""


# -- windows ------------------------------------------------------------------------------------


def _windows(ground: Ground, limit: str, parts: dict[int, int]) -> list[Lead]:
    spaced = {i: ns for i, ns in parts.items() if _wait_of(ground, i) == "spacing"}
    narrow = _narrowed(ground, limit, parts)
    rated = {i: ns for i, ns in parts.items() if i not in spaced and i not in narrow}
    leads = []
    if spaced:
        leads.append(_spacing(ground, limit, spaced))
    if narrow:
        leads.append(
            Lead(
                "refused",
                label(limit),
                f"{label(limit)}, whose windows were narrowed after refusals",
                narrow,
                CAUSE,
                advice="State the provider's real limit, so that nothing is refused.",
                facts=_facts(ground, limit, ("narrowed", "closed")),
            )
        )
    if rated:
        leads.append(_window(ground, limit, rated))
    return leads


def _spacing(ground: Ground, limit: str, parts: dict[int, int]) -> Lead:
    name, spec, setting = label(limit), spec_of(ground, limit), setting_of(ground, limit)
    spacing, margin = spec.spacing, MARGIN if spec.margin is None else spec.margin
    asked = spacing * max(0, usage_of(ground, limit).calls - 1)
    if spacing and margin and sum(parts.values()) > _MARGIN_SHOWS * asked:
        return Lead(
            "spacing",
            name,
            f"the margin of up to {format_duration(margin)} by which starts of {name} are kept "
            f"further apart than its spacing of {format_duration(spacing)}",
            parts,
            SYMPTOM,
            detail="The spacing itself asks for "
            f"{format_duration(asked)} in all. The margin is there because a request may arrive "
            "later than it was sent.",
            advice="State a smaller margin. If it is too small, requests arrive closer together "
            "than the provider allows, and it refuses them.",
            change=(f"{setting}.margin={_time(margin // 2)}",) if margin >= 2 * MS else (),
        )
    return Lead(
        "spacing",
        name,
        f"the spacing{f' of {format_duration(spacing)}' if spacing else ''} that {name} keeps "
        "between starts",
        parts,
        SYMPTOM,
        advice="Let calls start closer together, or spread them over several limits.",
        change=(f"{setting}.spacing={_time(spacing // 2)}",) if spacing >= 2 * MS else (),
    )


def _window(ground: Ground, limit: str, parts: dict[int, int]) -> Lead:
    used = usage_of(ground, limit)
    kind, rate = _full(ground, limit)
    about = {"requests": "rate_limit", "cost": "budget"}.get(kind, "token_limit")
    change: tuple[str, ...] = ()
    if rate is not None and kind != "cost":
        more = _doubled(kind, rate, getattr(spec_of(ground, limit), kind))
        change = (f"{setting_of(ground, limit)}.{kind}={more}",)
    return Lead(
        about,
        label(limit),
        f"waiting for {window_words(ground, limit)}",
        parts,
        SYMPTOM,
        detail=_who(used),
        advice=_advice(used, kind),
        change=change,
    )


def _doubled(kind: str, full: Rate, rates: tuple[Rate, ...]) -> str:
    """Write windows with one of them twice as wide; a setting says all of its kind."""
    words = [
        f"{_count(kind, rate.amount * (2 if rate == full else 1))}{period_words(rate.per)}"
        for rate in rates
    ]
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"


def window_words(ground: Ground, limit: str) -> str:
    """Name the window that was full: ``api's 2 requests a minute``."""
    kind, rate = _full(ground, limit)
    return f"{label(limit)}'s {'window' if rate is None else _spelt(kind, rate)}"


def _full(ground: Ground, limit: str) -> tuple[str, Rate | None]:
    """Say which of a limit's windows was full: the fullest while calls waited for the limit."""
    spec = spec_of(ground, limit)
    windows = [(kind, rate) for kind in WINDOWS for rate in getattr(spec, kind)]
    if len(windows) < 2:
        return windows[0] if windows else ("requests", None)
    if not ground.uses:
        ground.uses.update({use.limit: use for use in uses(ground.trace)})
    use = ground.uses.get(limit) or ground.uses[plain(limit)]
    fills = [fill for fill in use.windows if fill.kind != "spacing"]
    # Of equally full ones that with the longer period keeps calls waiting for longer.
    fill = max(fills, key=lambda fill: (round(fill.held / fill.amount, 6), fill.per or 10**20))
    return fill.kind, Rate(fill.amount, fill.per)


def _spelt(kind: str, rate: Rate) -> str:
    """Write a window for a sentence: ``2 requests a minute``, ``32k tokens in 10s``."""
    what = f"{amount_words(kind, rate.amount)} {KINDS[kind]}".strip()
    if rate.amount == 1:
        what = what.removesuffix("s")
    period = period_words(rate.per).removeprefix("/")
    unit = {"s": "second", "min": "minute", "h": "hour", "day": "day"}.get(period)
    if kind == "cost":
        what = f"budget of {what}"
    if not period:
        return what
    return (
        f"{what} in {period}" if unit is None else f"{what} {'an' if period == 'h' else 'a'} {unit}"
    )


def _who(used: Used) -> str:
    agents = ", ".join(f"{name} {count}" for name, count in used.agents[:4] if name)
    lost = sum(used.lost.values())
    text = f"{times(used.calls, 'call')} took it{f': {agents}' if agents else ''}."
    if lost:
        fates = ", ".join(f"{count} {fate}" for fate, count in used.lost.most_common())
        text += f" {lost} of them came to nothing: {fates}."
    return text


def _advice(used: Used, kind: str) -> str:
    text = "Raise the limit, or split the work over a second model or account."
    if kind != "requests":
        text = "Raise the limit, make prompts or answers shorter, or split the work."
    if used.lost and 4 * sum(used.lost.values()) >= used.calls:
        text += " First see why so many calls came to nothing."
    return text


def _narrowed(ground: Ground, limit: str, parts: dict[int, int]) -> dict[int, int]:
    """Give the waits that lie behind a refusal which had narrowed the windows."""
    news = [c for c in ground.trace.changes if c.limit in (limit, plain(limit))]
    since = [c.at for c in news if c.what in ("narrowed", "closed")]
    if not since:
        return {}
    return {i: ns for i, ns in parts.items() if ground.segments[i].until > since[0]}


# -- slots --------------------------------------------------------------------------------------


def _slots(ground: Ground, limit: str, parts: dict[int, int]) -> Lead:
    slots = capacity(ground, limit)
    if limit == RUN:
        change = () if slots is None else (f"max_parallel={2 * slots}",)
        what = f"waiting for {_one_of('the run', slots)}"
        return Lead(
            "max_parallel",
            RUN,
            what,
            parts,
            SYMPTOM,
            advice="Let more calls run at once.",
            change=change,
        )
    if agent := slots_of(limit):
        change = () if slots is None else (f"agents.{agent}.concurrency={2 * slots}",)
        return _agent_slots(ground, agent, slots, parts, change)
    name = label(limit)
    change = () if slots is None else (f"{setting_of(ground, limit)}.concurrency={2 * slots}",)
    return Lead(
        "concurrency",
        name,
        f"waiting for {_one_of(name, slots)}",
        parts,
        SYMPTOM,
        detail=_who(usage_of(ground, limit)),
        advice="Raise the limit, or let others do a part of the work.",
        change=change,
    )


def _one_of(whose: str, slots: int | None) -> str:
    """Name a slot for a sentence: ``one of api's 3 slots``, ``api's only slot``."""
    if slots == 1:
        return f"{whose}'s only slot"
    return f"one of {whose}'s {'' if slots is None else f'{slots} '}slots"


def _agent_slots(
    ground: Ground, agent: str, slots: int | None, parts: dict[int, int], change: tuple[str, ...]
) -> Lead:
    idle = _idle_twin(ground, agent)
    if idle:
        return Lead(
            "unbalanced",
            agent,
            f"waiting for {agent}, while {idle}, which is alike, had little to do",
            parts,
            SYMPTOM,
            advice=f"Give {idle} a part of {agent}'s work.",
            change=change,
        )
    return Lead(
        "agent_slots",
        agent,
        f"waiting for {_one_of(agent, slots)}",
        parts,
        SYMPTOM,
        advice=f"Let {agent} take more calls at once, or let others do a part of its work.",
        change=change,
    )


def _idle_twin(ground: Ground, agent: str) -> str:
    """Give an agent that is set up alike and worked less than half as long, or ""."""
    spec = ground.trace.spec
    if spec is None or agent not in spec.agents:
        return ""
    busy = _busy(ground, agent)
    plain_self = msgspec.structs.replace(spec.agents[agent], concurrency=None, limits=())
    if not plain_self.options:
        # Without settings nothing says that two agents are alike.
        return ""
    for name, other in spec.agents.items():
        alike = msgspec.structs.replace(other, concurrency=None, limits=()) == plain_self
        if name != agent and alike and 2 * _busy(ground, name) < busy:
            return name
    return ""


def _busy(ground: Ground, agent: str) -> int:
    found = [ground.trace.activities[index] for index in ground.by_agent.get(agent, ())]
    return sum((ground.trace.ended if a.ended is None else a.ended) - a.began for a in found)


# -- refusals and budgets -----------------------------------------------------------------------


def _closed(ground: Ground, limit: str, parts: dict[int, int]) -> list[Lead]:
    down = {i: ns for i, ns in parts.items() if _wait_of(ground, i) == "breaker"}
    closed = {i: ns for i, ns in parts.items() if i not in down}
    name, whole = label(limit), plain(limit)
    leads = []
    if down:
        down |= _lost_to(ground, whole, frozenset({"failed"}))
        leads.append(
            Lead(
                "endpoint_down",
                name,
                f"{name}, whose endpoint was down",
                down,
                ROOT,
                advice="Name a fallback at another provider, so that its steps go on meanwhile.",
                facts=_facts(ground, limit, ("tripped", "mended")),
            )
        )
    if closed:
        closed |= _lost_to(ground, whole, frozenset({"refused"}))
        used = usage_of(ground, limit)
        leads.append(
            Lead(
                "refused",
                name,
                f"{name}, which was closed after {times(used.lost['refused'], 'refusal')}",
                closed,
                # Of another program's wait what filled the window is the cause.
                CAUSE if ground.trace.spec is None else ROOT,
                detail=_who(used),
                # No other program is told here what it cannot do: the wait is the provider's.
                advice="State the provider's real limit, so that nothing is refused."
                if ground.trace.spec is not None
                else "Make fewer calls within the provider's window; to know the limit would "
                "spare refusals, and hardly any of the wait.",
                facts=_facts(ground, limit, ("closed", "narrowed")),
            )
        )
    return leads


def _lost_to(ground: Ground, limit: str, fates: frozenset[str]) -> dict[int, int]:
    """Give the segments of calls that a limit's endpoint has refused or failed."""
    found = {}
    for index, segment in ground.of("rework"):
        activity = ground.activity(segment)
        if activity is None or activity.how in ("timeout", "lost"):
            continue
        if segment.cause.detail in fates and claims(activity, limit):
            found[index] = length(segment)
    return found


def _facts(ground: Ground, limit: str, whats: tuple[str, ...]) -> tuple[int, ...]:
    names = (limit, plain(limit))
    return tuple([c.event for c in ground.trace.changes if c.limit in names and c.what in whats])


def _budget(ground: Ground, limit: str, parts: dict[int, int]) -> Lead:
    name, spec = label(limit), spec_of(ground, limit)
    words = ", ".join(
        rate_words(kind, rate) for kind in WINDOWS for rate in getattr(spec, kind) if not rate.per
    )
    stops = [stop for stop in ground.trace.stops if stop.kind == "budget" and stop.detail == limit]
    budget = f"the budget of {name}{f' ({words})' if words else ''}, which was spent"
    return Lead(
        "budget",
        name,
        f"a pause of the run for {budget}" if stops else f"waiting for {budget}",
        parts,
        # Whatever else was waited for meanwhile, nothing could start.
        ROOT if stops else CAUSE,
        detail=_who(usage_of(ground, limit)),
        advice="Raise the budget, let a cheaper model do a part, or spend less on each call.",
        facts=tuple([fact for stop in stops for fact in stop.events]),
    )


def _count(kind: str, amount: int) -> str:
    return amount_words(kind, amount).replace(",", "")


def _time(ns: int) -> str:
    return f"{ns // 1_000_000}ms"
