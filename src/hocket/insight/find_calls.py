"""Finds calls that took too long, came to nothing, or were asked again in vain."""

from __future__ import annotations

from collections import Counter
from typing import Final

from hocket.core.values import MS, SECOND, format_duration
from hocket.insight.find_leads import (
    CAUSE,
    GUESSED,
    ROOT,
    Ground,
    Lead,
    lasted,
    length,
    spent,
    times,
)
from hocket.insight.find_norms import Norm, Norms
from hocket.insight.find_usage import held_up, made_wait, windows_filled
from hocket.insight.trace import Activity

_DOWN: Final = 3
"""So many failures in a row, with no success between them, are an endpoint that is down."""
_PATIENCE: Final = 2
"""A timeout is proposed that is this many times what nearly all such calls take."""
_ROOM: Final = 1.25
"""Nor is it less than so many times the longest call of the step that gave something."""


_NO_FAILURE: Final = frozenset({"lost", "timeout"})
"""How calls end that are no failure of their agent's."""


def calls(ground: Ground, norms: Norms, slow: frozenset[str]) -> list[Lead]:
    """Find calls that took too long, failed, or were lost.

    Args:
        ground: The run.
        norms: What its calls take.
        slow: Agents that are slow in general; that one of their calls is says nothing more.
    """
    return [
        *_late(ground, norms, slow),
        *_failures(ground, norms),
        *_repeated(ground),
    ]


# -- calls that took long -----------------------------------------------------------------------


def _late(ground: Ground, norms: Norms, slow: frozenset[str]) -> list[Lead]:
    """Find calls that took much longer than others of their kind, and were waited for."""
    found: dict[tuple[str, str], dict[int, Norm]] = {}
    parts: dict[tuple[str, str], dict[int, int]] = {}
    chain: dict[int, list[int]] = {}
    for place, segment, _ in ground.works():
        chain.setdefault(segment.activity, []).append(place)
    waited = range(len(ground.trace.activities)) if ground.slots else list(chain)
    for index in waited:
        activity = ground.trace.activities[index]
        if activity.agent in slow or not activity.left:
            continue
        norm = _out_of_line(ground, norms, activity)
        if norm is None:
            continue
        key = (ground.path_of(activity.step), activity.agent)
        late, until = activity.began + norm.typical, activity.ended or ground.trace.ended
        over = held_up(ground, activity, late, until) if ground.slots else {}
        for place in chain.get(index, ()):
            segment = ground.segments[place]
            over[place] = max(0, segment.until - max(segment.since, late))
        if over:
            found.setdefault(key, {})[index] = norm
            known = parts.setdefault(key, {})
            for place, ns in over.items():
                known[place] = known.get(place, 0) + ns
    return [_slow(ground, norms, *key, list(found[key].items()), parts[key]) for key in found]


def _out_of_line(ground: Ground, norms: Norms, activity: Activity) -> Norm | None:
    """Give what calls like one take, if it took much longer."""
    if activity.work not in ("model", "tool") or activity.fate not in ("useful", ""):
        return None
    norm, expected = norms.of(activity), _expected(ground, activity)
    if expected is not None:
        norm = expected if norm is None else max(norm, expected, key=lambda n: n.late)
    return norm if norm is not None and lasted(activity, ground.trace) > norm.late else None


def _expected(ground: Ground, activity: Activity) -> Norm | None:
    """Give what the plan says that a call takes."""
    spec = ground.spec_of(activity.step)
    if spec is None or spec.takes is None or activity.team:
        return None
    return Norm(spec.takes, 4 * spec.takes, spec.takes, 0)


def _slow(
    ground: Ground,
    norms: Norms,
    step: str,
    agent: str,
    found: list[tuple[int, Norm]],
    parts: dict[int, int],
) -> Lead:
    activities = ground.trace.activities
    index, norm = max(found, key=lambda item: (lasted(activities[item[0]], ground.trace), -item[0]))
    took = lasted(activities[index], ground.trace)
    others = f"{took / SECOND:,.1f} s, where such calls take {format_duration(norm.typical)}"
    told = tuple([place for place, _ in found])
    who = agent or step
    if len(found) > 1:
        return Lead(
            "long_tail",
            step or who,
            f"{times(len(found), 'call')} of {who} at {step or 'its step'} "
            f"that took many times what such calls take",
            parts,
            least=GUESSED,
            detail=f"The longest took {others}.",
            advice="Ask a second time beside a call that is late, and take the first answer.",
            change=(f"steps.{step}.hedge=p90",) if step in ground.steps else (),
            told=told,
        )
    # What came to its end was slow and no more: a timeout would have made it fail.
    hung = activities[index].ended is None
    title = f"a call of {who} at {step or 'its step'} that "
    if hung:
        wait = _short_timeout(norms, norm, step)
        return Lead(
            "hung_call",
            step or who,
            f"{title}hung",
            parts,
            least=GUESSED,
            detail=f"It has taken {others}.",
            advice="Set a shorter timeout, or ask a second time beside a call that is late.",
            change=(f"steps.{step}.timeout={wait}",) if step in ground.steps else (),
            told=told,
        )
    return Lead(
        "slow_call",
        step or who,
        f"{title}was much too slow",
        parts,
        least=GUESSED,
        detail=f"It took {others}.",
        advice="Ask a second time beside a call that is late, and take the first answer.",
        change=(f"steps.{step}.hedge=p95",) if step in ground.steps else (),
        told=told,
    )


def _short_timeout(norms: Norms, norm: Norm, step: str) -> str:
    """Propose a timeout that no call of the step would have met that gave something."""
    wait = _wait(norms, norm, step)
    return f"{-(-wait // SECOND)}s" if wait >= SECOND else f"{-(-wait // MS)}ms"


def _wait(norms: Norms, norm: Norm, step: str) -> int:
    return max(_PATIENCE * norm.most, int(_ROOM * norms.longest(step)))


# -- calls that failed --------------------------------------------------------------------------


def _failures(ground: Ground, norms: Norms) -> list[Lead]:
    """Find tries that came to nothing, with the back-off behind them."""
    timeouts: dict[tuple[str, str], dict[int, int]] = {}
    refused: dict[str, dict[int, int]] = {}
    failed: dict[str, dict[int, int]] = {}
    lost: dict[int, int] = {}
    backs: dict[int, int] = {}
    for place, segment in ground.of("rework", "backoff"):
        activity = ground.activity(segment)
        tried = activity if segment.cause.kind == "rework" else _before(ground, segment.activity)
        if activity is None:
            continue
        if tried is None or (tried.ended is not None and tried.fate == "useful"):
            backs[place] = length(segment)
        elif tried.how == "timeout":
            key = (ground.path_of(tried.step), tried.agent)
            timeouts.setdefault(key, {})[place] = length(segment)
        elif tried.how == "lost":
            lost[place] = length(segment)
        elif tried.fate == "refused":
            refused.setdefault(tried.agent, {})[place] = length(segment)
        elif tried.fate == "failed":
            failed.setdefault(tried.agent, {})[place] = length(segment)
    _add_windows(ground, refused, "refused")
    _add_windows(ground, failed, "failed")
    leads = [_timeout(ground, norms, *key, parts) for key, parts in timeouts.items()]
    leads += [_refused(ground, agent, parts) for agent, parts in refused.items()]
    leads += [_failed(ground, agent, parts) for agent, parts in failed.items()]
    if lost:
        leads.append(_lost(ground, lost))
    if backs:
        leads.append(Lead("backoff", "", "the time before another try", backs))
    return leads


def _add_windows(ground: Ground, found: dict[str, dict[int, int]], fate: str) -> None:
    """Add the waits for windows that calls have filled which came to nothing."""
    if not any(segment.cause.kind == "rate" for segment in ground.segments):
        return
    activities = ground.trace.activities
    for agent, own in ground.by_agent.items():
        vain = [i for i in own if _is(ground, i, fate) and activities[i].how not in _NO_FAILURE]
        parts = windows_filled(ground, frozenset(vain)) if vain else {}
        if parts:
            known = found.setdefault(agent, {})
            known.update(parts)


def _before(ground: Ground, index: int) -> Activity | None:
    """Give the try before a call."""
    activities = ground.trace.activities
    activity = activities[index] if index >= 0 else None
    if activity is None:
        return None
    nearest = [activity.after, *activity.needs, *range(index - 1, max(-1, index - 50), -1)]
    for other in nearest:
        if other >= 0:
            tried: Activity = activities[other]
            if tried.path == activity.path and tried.attempt < activity.attempt:
                return tried
    return None


def _timeout(ground: Ground, norms: Norms, step: str, agent: str, parts: dict[int, int]) -> Lead:
    index = ground.segments[min(parts)].activity
    activity = ground.trace.activities[index]
    norm = norms.of(activity)
    explained = dict(parts)
    for place in parts:
        call = ground.trace.activities[ground.segments[place].activity]
        if call.ended is not None:
            usual = call.began + (norm.most if norm is not None else 0)
            explained |= held_up(ground, call, usual, call.ended)
    took = format_duration(lasted(activity, ground.trace))
    hung = [ground.segments[place].activity for place in parts]
    count = len({index for index in hung if ground.trace.activities[index].how == "timeout"})
    what, until = "a call", f"its timeout, for {took}"
    if count > 1:
        what, until = f"{count} calls", f"their timeout, the first for {took}"
    detail = ""
    change: tuple[str, ...] = ()
    if norm is not None and _wait(norms, norm, step) < lasted(activity, ground.trace):
        detail = f"Nineteen of twenty such calls take less than {format_duration(norm.most)}."
        if step in ground.steps:
            change = (f"steps.{step}.timeout={_short_timeout(norms, norm, step)}",)
    return Lead(
        "long_timeout",
        step or agent,
        f"{what} of {agent} at {step} that hung until {until}",
        explained,
        ROOT,
        detail=detail,
        advice="Set a shorter timeout, so that what hangs is tried again soon.",
        change=change,
    )


def _refused(ground: Ground, agent: str, parts: dict[int, int]) -> Lead:
    count = sum(ground.trace.activities[i].fate == "refused" for i in ground.by_agent[agent])
    return Lead(
        "refused",
        agent,
        f"{times(count, 'refusal')} of {agent}'s calls by its provider, and the wait before they "
        "were sent again",
        parts,
        detail="Nothing is known here of the limit that the provider counts.",
        advice="State the provider's limit, so that calls wait for room and none is refused.",
        told=tuple([i for i in ground.by_agent[agent] if _is(ground, i, "refused")][:5]),
    )


def _failed(ground: Ground, agent: str, parts: dict[int, int]) -> Lead:
    activities = ground.trace.activities
    own = [i for i in ground.by_agent.get(agent, ()) if activities[i].ended is not None]
    failures = [i for i in own if activities[i].fate == "failed" and activities[i].how != "lost"]
    kinds = Counter(activities[i].how for i in failures)
    told = tuple(failures[:10])
    works = any(_is(ground, i, "useful") for i in own)
    else_ = "ask its fallback first" if _has_fallback(ground, agent) else "name a fallback"
    nothing = f"Mend {agent}, which has given nothing, or {else_}."
    if _went_down(ground, own, failures):
        return Lead(
            "endpoint_down",
            agent,
            f"{agent}, which could not be reached for a while",
            parts,
            detail=f"{times(len(failures), 'call')} failed: {_counted(kinds)}.",
            advice="Name a fallback at another provider, so that its steps go on meanwhile."
            if works
            else nothing,
            told=told,
        )
    steps = Counter(ground.path_of(activities[i].step) for i in failures)
    step = steps.most_common(1)[0][0] if steps else ""
    paths = {activities[i].path: i for i in failures}
    mended = any(_is(ground, i, "useful") and activities[i].path in paths for i in own)
    waited = any(ground.segments[place].cause.kind != "rework" for place in parts)
    one_step = len(paths) == 1 and (len(failures) > 1 or not mended)
    advice = "Ask a more reliable agent, or name a fallback and try less often."
    if not works:
        advice = nothing
    return Lead(
        "failing_step" if one_step or not works else "flaky_agent",
        (step or agent) if one_step or not works else agent,
        f"{times(len(failures), 'failure')} of {agent} in {times(len(own), 'call')}"
        + ", and the wait before other tries" * waited,
        parts,
        detail=_faults_words(ground, step or agent, kinds),
        advice=advice,
        told=told,
    )


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} × {kind}" for kind, count in kinds.items())


def _faults_words(ground: Ground, step: str, kinds: Counter[str]) -> str:
    """Say how calls failed; of those that did so for no known reason, where to read more."""
    if [*kinds] != ["failed"]:
        return f"Their faults: {_counted(kinds)}."
    trace = ground.trace
    return f"What they said: hocket logs {trace.run} {step}" if trace.source == "hocket" else ""


def _has_fallback(ground: Ground, agent: str) -> bool:
    """Tell whether a step that asks this agent names another one to turn to."""
    plans = [] if ground.trace.spec is None else [ground.trace.spec.workflow]
    while plans:
        for step in plans.pop().steps:
            asked = [(step.agent, step.fallback)]
            for team in (step.team, step.review):
                members = () if team is None else team.members
                asked += [(member.agent, member.fallback) for member in members]
            if any(name == agent and fallback for name, fallback in asked):
                return True
            if step.plan is not None:
                plans.append(step.plan)
    return False


def _went_down(ground: Ground, own: list[int], failures: list[int]) -> bool:
    """Tell whether failures lie in one stretch in which nothing of an agent succeeded."""
    activities = ground.trace.activities
    if len(failures) < _DOWN or any(activities[i].how != "unavailable" for i in failures):
        return False
    since = min(activities[i].began for i in failures)
    until = max(activities[i].ended or 0 for i in failures)
    return not any(
        activities[i].fate == "useful" and since <= activities[i].began < until for i in own
    )


def _is(ground: Ground, index: int, fate: str) -> bool:
    return ground.trace.activities[index].fate == fate


def _lost(ground: Ground, parts: dict[int, int]) -> Lead:
    told = tuple(dict.fromkeys(ground.segments[place].activity for place in parts))
    money, tokens = spent(ground.trace.activities[index] for index in told)
    return Lead(
        "lost_work",
        "process",
        f"{times(len(told), 'call')} that {'was' if len(told) == 1 else 'were'} in flight when "
        "the process died, and had to be made again",
        parts,
        CAUSE,
        advice="Keep the process alive; shorter calls lose less.",
        told=told,
        money=money,
        tokens=tokens,
    )


# -- calls that were asked already --------------------------------------------------------------


def _repeated(ground: Ground) -> list[Lead]:
    """Find calls that asked what had been answered already, though nobody keeps answers."""
    spec = ground.trace.spec
    first: dict[tuple[str, str], int] = {}
    again: dict[str, list[int]] = {}
    activities = ground.trace.activities
    for index, activity in enumerate(activities):
        if not activity.asks or activity.cached or activity.fate != "useful" or activity.team:
            continue
        agent = spec.agents.get(activity.agent) if spec is not None else None
        if agent is not None and (agent.cache is not None or agent.effects):
            continue
        key = (activity.agent, activity.asks)
        if _echoes(ground, activity):
            continue
        seen = first.setdefault(key, index)
        if seen == index or _place(activities[seen]) == _place(activity):
            # Rounds and further tries ask the same on purpose.
            continue
        ended = activities[seen].ended
        if ended is not None and ended <= activity.began:
            again.setdefault(activity.agent, []).append(index)
    leads = []
    for agent_name, indices in again.items():
        repeated = frozenset(indices)
        parts = {
            place: length(segment)
            for place, segment in enumerate(ground.segments)
            if segment.activity in repeated
        }
        for place, ns in made_wait(ground, indices).items():
            parts[place] = parts.get(place, 0) + ns
        money, tokens = spent(activities[index] for index in indices)
        leads.append(
            Lead(
                "no_cache",
                agent_name,
                f"{times(len(indices), 'call')} of {agent_name} that asked what it had answered "
                "already",
                parts,
                ROOT,
                GUESSED,
                advice="Keep its answers.",
                change=(f"agents.{agent_name}.cache=1h",),
                told=tuple(indices),
                money=money,
                tokens=tokens,
            )
        )
    return leads


def _echoes(ground: Ground, activity: Activity) -> bool:
    """Tell whether a call is asked what one before it has said: that is no question of its own."""
    spec = ground.spec_of(activity.step)
    if spec is not None and spec.input is not None and "{{" not in str(spec.input):
        return False
    needs = [ground.trace.activities[need] for need in activity.needs if need >= 0]
    return any(need.asks == activity.asks for need in needs)


def _place(activity: Activity) -> str:
    """Give where a call stands, whichever round it is of."""
    return activity.path.partition("~")[0]
