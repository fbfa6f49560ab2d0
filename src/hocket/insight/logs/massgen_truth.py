"""Makes activities of the calls that a server recorded, and says where MassGen's log disagrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from hocket.core.events import Wait
from hocket.core.reports import Fate
from hocket.core.specs import LimitSpec
from hocket.core.values import DAY, HOUR, MINUTE, SECOND, format_duration
from hocket.insight.logs.links import in_order
from hocket.insight.logs.massgen_calls import Aligned
from hocket.insight.logs.massgen_limits import limits_of
from hocket.insight.logs.massgen_metrics import Counted
from hocket.insight.logs.massgen_rounds import Round
from hocket.insight.logs.massgen_server import ServerCall
from hocket.insight.trace import START, Activity, Change, Disagreement

_DOING: Final = {"new_answer": "answer", "vote": "vote"}
_DROPPED: Final = ("ignored", "injected", "restarted")
_UNITS: Final = {SECOND: "second", MINUTE: "minute", HOUR: "hour", DAY: "day"}


class Seen(msgspec.Struct, kw_only=True):
    """A run as the server saw it.

    Fields:
        activities: The calls, in the order in which they were asked for.
        calls: The same as the server recorded them.
        began: When the run began.
        limits: The bounds that were worked out.
        changes: When limits were closed.
        missing: What neither the log nor the record tells, and what was worked out.
    """

    activities: list[Activity]
    calls: list[ServerCall]
    began: int
    limits: dict[str, LimitSpec]
    changes: list[Change]
    missing: list[str]


def truth(
    found: Aligned, rounds: Sequence[Round], began: int, models: dict[str, str], team: str
) -> Seen:
    """Make activities of calls.

    Args:
        found: The calls, in the log's time.
        rounds: The rounds of the log.
        began: When the run began.
        models: The model of each agent.
        team: The step and the team of every call.
    """
    calls = found.calls
    names, limits = limits_of(calls)
    fates = _fates(calls, rounds, found.shared)
    before = _before(calls)
    gave = _last_of_rounds(calls)
    made: list[Activity] = []
    times: dict[str, int] = {}
    for index, call in enumerate(calls):
        each = None if call.round is None else rounds[call.round]
        needs = _needs(index, calls, before, gave, rounds)
        after = needs[-1] if needs else START
        asked = began if after == START else min(call.began, calls[after].ended or call.began)
        path = f"{team}/{call.agent}/{_DOING.get(call.kind) or (each.doing if each else 'call')}"
        times[path] = times.get(path, 0) + 1
        limit = names.get(call.model, "")
        made.append(
            Activity(
                path=path,
                attempt=times[path],
                step=team,
                agent=call.agent,
                model=call.model or models.get(call.agent, ""),
                asked=asked,
                began=call.began,
                ended=call.ended,
                waits=_waits(index, calls, before, limit or call.model),
                fate=fates[index],
                how=_how(call, fates[index]),
                after=after,
                needs=needs,
                team=team,
                claims=(limit,) if limit in limits else (),
                events=(call.record,),
            )
        )
    _give_usage(made, calls, rounds)
    return Seen(
        activities=in_order(made, range(len(made))),
        calls=calls,
        began=began,
        limits=limits,
        changes=_closed(calls, names),
        missing=list(_missing(found, names, limits)),
    )


def _give_usage(
    made: Sequence[Activity], calls: Sequence[ServerCall], rounds: Sequence[Round]
) -> None:
    """Give what a round has spent to its call, if that was its only one."""
    of: dict[int, list[int]] = {}
    for index, call in enumerate(calls):
        if call.round is not None and not call.refused:
            of.setdefault(call.round, []).append(index)
    for place, mine in of.items():
        if len(mine) == 1:
            made[mine[0]].usage = rounds[place].usage


def _closed(calls: Sequence[ServerCall], names: dict[str, str]) -> list[Change]:
    return [
        Change(call.began, names[call.model], "closed", _opens(call), call.record)
        for call in calls
        if call.refused and call.model in names
    ]


def _opens(call: ServerCall) -> int | None:
    return None if call.retry_after is None else call.began + call.retry_after


def _how(call: ServerCall, fate: Fate | str) -> str:
    if call.refused:
        return "rate_limited"
    return call.fault or ("superseded" if fate == "stale" else "")


def _last_of_rounds(calls: Sequence[ServerCall]) -> dict[int, int]:
    """Give the call that ended each round: what it gave is what the round gave."""
    return {
        call.round: index
        for index, call in enumerate(calls)
        if call.round is not None and not call.refused and not call.fault
    }


def _fates(
    calls: Sequence[ServerCall], rounds: Sequence[Round], shared: Mapping[str, list[str]]
) -> list[Fate]:
    """Say what became of each call.

    A vote is stale if its agent has voted again, or if the log says that it was dropped; of agents
    that cannot be told apart, nobody knows who has voted again.
    """
    gave = _last_of_rounds(calls)
    again: dict[str, bool] = {}
    fates: list[Fate] = ["useful"] * len(calls)
    for index in reversed(range(len(calls))):
        call = calls[index]
        each = None if call.round is None else rounds[call.round]
        last = call.round is None or gave.get(call.round) == index
        if call.refused:
            fates[index] = "refused"
        elif call.fault:
            fates[index] = "failed" if call.fault.isdigit() or "err" in call.fault else "cancelled"
        elif call.kind == "vote":
            dropped = each is not None and last and (each.erased or each.outcome in _DROPPED)
            fates[index] = "stale" if call.agent in again or dropped else "useful"
            if call.agent not in shared:
                again[call.agent] = True
        elif call.kind == "new_answer" and not last:
            fates[index] = "discarded"
    return fates


def _before(calls: Sequence[ServerCall]) -> list[int]:
    """Give the call of the same agent in the same round that came before each, or `START`."""
    latest: dict[str, int] = {}
    found = [START] * len(calls)
    for index, call in enumerate(calls):
        last = latest.get(call.agent, START)
        if last != START and call.round is not None and calls[last].round == call.round:
            found[index] = last
        latest[call.agent] = index
    return found


def _needs(
    index: int,
    calls: Sequence[ServerCall],
    before: Sequence[int],
    gave: dict[int, int],
    rounds: Sequence[Round],
) -> tuple[int, ...]:
    call = calls[index]
    if before[index] != START:
        # Calls of one agent in one round follow one another.
        return (before[index],)
    if call.round is None:
        return ()
    ended = sorted(
        (end, other)
        for need in rounds[call.round].needs
        if (other := gave.get(need, START)) != START
        and other < index
        and (end := calls[other].ended) is not None
    )
    return tuple(other for _, other in ended)


def _waits(
    index: int, calls: Sequence[ServerCall], before: Sequence[int], limit: str
) -> tuple[Wait, ...]:
    last = before[index]
    if last == START or not calls[last].refused:
        return ()
    since, until = calls[last].ended or 0, calls[index].began
    opens = _opens(calls[last])
    until = until if opens is None else min(until, opens)
    return (Wait(f"closed:{limit}", since, until),) if since < until else ()


def _missing(found: Aligned, names: dict[str, str], limits: dict[str, LimitSpec]) -> Iterable[str]:
    yield (
        f"The server's clock was brought to the log's by adding {found.offset / SECOND:.3f} s, "
        f"which is right within {max(1, found.within // 1_000_000)} ms."
    )
    yield "What came after what within the consensus is worked out from the protocol's rules."
    if any(call.refused for call in found.calls):
        yield "How long a refusal took is not recorded: it is taken as at once."
    for limit, spec in limits.items():
        members = sorted(model for model, name in names.items() if name == limit)
        rate = spec.requests[0]
        per = _UNITS[rate.per]
        yield (
            f"That {', '.join(members)} had {rate.amount} requests a {per} "
            f"{'together' if len(members) > 1 else 'in all'} is worked out from the refusals."
        )
    for model, name in names.items():
        if name not in limits:
            yield f"Why calls of {model} were refused is not recorded, and fits no window."
    for model, agents in found.shared.items():
        yield (
            f"The record does not tell the calls of {' and '.join(agents)} apart, which all use "
            f"{model}: they were told apart by instants. The field agent would tell for certain."
        )
    if found.lost:
        yield (
            f"{found.lost} of these calls fit no round: of which agent they are, what they came "
            "after, and whether they were stale, is not known."
        )
    if found.strange:
        yield f"{found.strange} calls in the record are of no agent of the log."
    outside = sum(call.round is None for call in found.calls)
    if outside > found.lost:
        yield f"{outside} calls in the record are of no round of the log."


def disagreements(seen: Seen, rounds: Sequence[Round], numbers: Counted) -> Iterable[Disagreement]:
    """List where the log and the server's record say different things."""
    served = [call for call in seen.calls if not call.refused]
    refused = [call for call in seen.calls if call.refused]
    fates = {activity.events[0]: activity.fate for activity in seen.activities}
    stale = sum(fates[call.record] == "stale" for call in served)
    counted = "" if numbers.calls is None else f", {numbers.calls} calls counted"
    listed = len(rounds) if numbers.rounds is None else numbers.rounds
    if listed != len(seen.calls):
        yield Disagreement(
            "calls", f"{listed} rounds{counted}", f"{len(served)} served, {len(refused)} refused"
        )
    yield from _of_agents(seen, rounds)
    if refused:
        waited = sum(w.until - w.since for a in seen.activities for w in a.waits)
        yield Disagreement(
            "refused calls",
            "nothing",
            f"{len(refused)}, after which {format_duration(waited)} were waited, all together",
        )
    dropped = sum(each.fate == "stale" for each in rounds)
    if numbers.restarts is not None and numbers.restarts != stale:
        yield Disagreement(
            "restarts",
            f"{numbers.restarts} in status.json, {dropped} rounds dropped",
            f"{stale} votes cast again",
        )
    yield from _late(seen, rounds)
    yield from _unseen(seen, rounds, fates)
    yield from _outcomes(seen, rounds)


def _of_agents(seen: Seen, rounds: Sequence[Round]) -> Iterable[Disagreement]:
    sent = Counter(call.agent for call in seen.calls)
    refused = Counter(call.agent for call in seen.calls if call.refused)
    for agent, count in Counter(each.agent for each in rounds).items():
        if sent[agent] and (refused[agent] or count != sent[agent]):
            yield Disagreement(
                f"calls of {agent}",
                f"{count} rounds",
                f"{sent[agent] - refused[agent]} served, {refused[agent]} refused",
            )


def _late(seen: Seen, rounds: Sequence[Round]) -> Iterable[Disagreement]:
    """Tell of rounds that took longer than the calls in them, and calls outside of their rounds."""
    of: dict[int, list[ServerCall]] = {}
    for call in seen.calls:
        if call.round is not None and not call.refused and call.ended is not None:
            of.setdefault(call.round, []).append(call)
    for index, calls in of.items():
        each = rounds[index]
        if each.ended is None:
            continue
        took = each.ended - each.began
        work = sum((call.ended or call.began) - call.began for call in calls)
        if abs(took - work) > SECOND:
            yield Disagreement(
                f"time of {each.agent} at {each.doing}, from {_at(each.began, seen)}",
                format_duration(took),
                f"{format_duration(work)} of work, in {len(calls)} served",
            )


def _unseen(
    seen: Seen, rounds: Sequence[Round], fates: Mapping[int, str]
) -> Iterable[Disagreement]:
    """Tell of votes that counted though there were answers that the voter was not given."""
    for call in seen.calls:
        if call.round is None or call.kind != "vote" or fates[call.record] != "useful":
            continue
        each = rounds[call.round]
        if call.sees is not None and each.answers is not None and call.sees < each.answers:
            yield Disagreement(
                f"answers before {each.agent} when it cast the vote that counts",
                f"{each.answers}",
                f"{call.sees}: the vote was stale, and was accepted",
            )


def _outcomes(seen: Seen, rounds: Sequence[Round]) -> Iterable[Disagreement]:
    """Tell of rounds that ended otherwise than their last calls, and of rounds without calls."""
    gave = _last_of_rounds(seen.calls)
    known = Counter(call.agent for call in seen.calls)
    for index, each in enumerate(rounds):
        if index not in gave:
            if known[each.agent] and each.ended is not None and each.ended > each.began:
                yield Disagreement(
                    f"{each.agent} from {_at(each.began, seen)}", each.doing, "no call was served"
                )
            continue
        kind = seen.calls[gave[index]].kind
        said = {"ignored": "vote"}.get(each.outcome, each.outcome)
        told = _DOING.get(kind, "")
        if said in {"answer", "vote"} and told and told != said:
            yield Disagreement(f"{each.agent} from {_at(each.began, seen)}", said, told)


def _at(instant: int, seen: Seen) -> str:
    return f"{max(0, instant - seen.began) / SECOND:.1f} s"
