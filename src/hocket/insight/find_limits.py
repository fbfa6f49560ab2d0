"""Finds limits that the finish waited for: windows, spacing, slots, refusals, budgets, shares."""

from __future__ import annotations

import msgspec

from hocket.core.specs import Rate
from hocket.core.values import format_duration
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
    AGENT,
    RUN,
    Used,
    capacity,
    claims,
    plain,
    spec_of,
    taking,
    usage_of,
)
from hocket.limits.words import KINDS, WINDOWS, amount_words, period_words, rate_words


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
                plain(limit),
                f"{plain(limit)}, whose windows were narrowed after refusals",
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
    name, spacing = plain(limit), spec_of(ground, limit).spacing
    change = f"limits.{name}.spacing={_time(spacing // 2)}"
    return Lead(
        "spacing",
        name,
        f"the spacing{f' of {format_duration(spacing)}' if spacing else ''} that {name} keeps "
        "between starts",
        parts,
        SYMPTOM,
        advice="Let calls start closer together, or spread them over several limits.",
        change=(change,) if spacing else (),
    )


def _window(ground: Ground, limit: str, parts: dict[int, int]) -> Lead:
    name, used = plain(limit), usage_of(ground, limit)
    kind, rate = _full(ground, limit, used)
    about = {"requests": "rate_limit", "cost": "budget"}.get(kind, "token_limit")
    change: tuple[str, ...] = ()
    if rate is not None and kind != "cost":
        more = f"{_count(kind, 2 * rate.amount)}{period_words(rate.per)}"
        change = (f"limits.{name}.{kind}={more}",)
    return Lead(
        about,
        name,
        f"waiting for {window_words(ground, limit)}",
        parts,
        SYMPTOM,
        detail=_who(used),
        advice=_advice(used, kind),
        change=change,
    )


def window_words(ground: Ground, limit: str) -> str:
    """Name the window that was full: ``api's 2 requests a minute``."""
    kind, rate = _full(ground, limit, usage_of(ground, limit))
    return f"{plain(limit)}'s {'window' if rate is None else _spelt(kind, rate)}"


def _full(ground: Ground, limit: str, used: Used) -> tuple[str, Rate | None]:
    """Say which of a limit's windows was full: the one that fills up most often."""
    spec = spec_of(ground, limit)
    amounts = _amounts(ground, plain(limit), used.calls)
    full = [
        (amounts[kind] / rate.amount * max(1, rate.per), kind, rate)
        for kind in WINDOWS
        for rate in getattr(spec, kind)
    ]
    return max(full, key=lambda item: item[0])[1:] if full else ("requests", None)


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


def _amounts(ground: Ground, limit: str, calls: int) -> dict[str, int]:
    """Count what a limit's windows count, over the whole run."""
    amounts = dict.fromkeys(WINDOWS, 0)
    amounts["requests"] = calls
    for index in taking(ground, limit):
        usage = ground.trace.activities[index].usage
        if usage is not None:
            amounts["tokens_in"] += usage.tokens_in or 0
            amounts["tokens_out"] += usage.tokens_out or 0
            amounts["cost"] += usage.cost or 0
    amounts["tokens"] = amounts["tokens_in"] + amounts["tokens_out"]
    return amounts


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
    if 4 * sum(used.lost.values()) >= used.calls:
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
    if limit.startswith(AGENT):
        agent = limit.removeprefix(AGENT)
        change = () if slots is None else (f"agents.{agent}.concurrency={2 * slots}",)
        return _agent_slots(ground, agent, slots, parts, change)
    name = plain(limit)
    change = () if slots is None else (f"limits.{name}.concurrency={2 * slots}",)
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
    name = plain(limit)
    leads = []
    if down:
        down |= _lost_to(ground, name, frozenset({"failed"}))
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
        closed |= _lost_to(ground, name, frozenset({"refused"}))
        used = usage_of(ground, limit)
        leads.append(
            Lead(
                "refused",
                name,
                f"{name}, which was closed after {times(used.lost['refused'], 'refusal')}",
                closed,
                ROOT,
                detail=_who(used),
                advice="State the provider's real limit, so that nothing is refused.",
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
    name, spec = plain(limit), spec_of(ground, limit)
    words = ", ".join(
        rate_words(kind, rate) for kind in WINDOWS for rate in getattr(spec, kind) if not rate.per
    )
    return Lead(
        "budget",
        name,
        f"{name}, {f'whose {words} were' if words else 'a budget that was'} spent",
        parts,
        detail=_who(usage_of(ground, limit)),
        advice="Raise the budget, let a cheaper model do a part, or spend less on each call.",
    )


def _count(kind: str, amount: int) -> str:
    return amount_words(kind, amount).replace(",", "")


def _time(ns: int) -> str:
    return f"{ns // 1_000_000}ms"
