"""Reads MassGen's log of a run: a consensus of agents that answer, vote and begin anew.

The log has rounds, not calls; with a record of the calls that a server kept, the trace is made of
those, and where the log says otherwise, that is listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hocket.core.errors import LogError
from hocket.insight.logs.links import finish_of
from hocket.insight.logs.massgen_calls import aligned
from hocket.insight.logs.massgen_facts import Facts, read_coordination, read_live
from hocket.insight.logs.massgen_metrics import Counted, counted
from hocket.insight.logs.massgen_rounds import Round, rounds_of
from hocket.insight.logs.massgen_server import calls_of
from hocket.insight.logs.massgen_truth import Seen, disagreements, truth
from hocket.insight.logs.values import CUT_OFF, cut_said
from hocket.insight.trace import START, Activity, Trace

TEAM: Final = "consensus"
"""The step and the team of every call: a run of MassGen is one consensus."""

CALLS: Final = "calls"
"""What errors in the record of calls name as its file."""


class Files(msgspec.Struct, kw_only=True):
    """The files of one attempt, as bytes in pieces; None is one that is not there.

    Fields:
        name: What the log is called.
        version: The version of MassGen, or "".
        models: The model of each agent, in the order of the configuration, as far as known.
        coordination: ``coordination_events.json``.
        live: ``events.jsonl``.
        metrics: ``metrics_events.json``.
        summary: ``metrics_summary.json``.
        status: ``status.json``.
        calls: What the server recorded, as lines of JSON.
        said: What is to be said about which attempt this is.
    """

    name: str
    version: str = ""
    models: dict[str, str] = {}
    coordination: Iterable[bytes] | None = None
    live: Iterable[bytes] | None = None
    metrics: Iterable[bytes] | None = None
    summary: Iterable[bytes] | None = None
    status: Iterable[bytes] | None = None
    calls: Iterable[bytes] | None = None
    said: tuple[str, ...] = ()


def read_massgen(files: Files) -> Trace:
    """Read MassGen's log of a run as a trace.

    Raises:
        LogError: It is broken, or no such log.
    """
    facts = _facts(files)
    rounds = rounds_of(facts)
    if not rounds:
        raise LogError(
            "no agent was asked anything in it", hint="was MassGen ended before it began?"
        )
    numbers = counted(rounds, files.metrics, files.summary, files.status)
    models = files.models or dict.fromkeys(facts.agents, "")
    ended = any(fact.kind in {"session_end", "final_answer"} for fact in facts.facts)
    trace = Trace(
        run=files.name,
        name=facts.question or files.name,
        source=f"massgen {files.version}".rstrip(),
        began=min(fact.at for fact in facts.facts),
        ended=max(fact.at for fact in facts.facts),
        status="succeeded" if ended and (facts.winner or numbers.winner) else "",
        evidence="record",
    )
    missing = [*files.said, *_cut_short(files, facts, ended)]
    if files.calls is None:
        trace.activities = _activities(rounds, trace.began, models)
        missing += _missing(files, rounds, numbers)
    else:
        try:
            calls = aligned(calls_of(files.calls), rounds, models)
        except LogError as error:
            raise error.within(CALLS) from None
        trace.began = min([trace.began, *(call.began for call in calls.calls)])
        seen = truth(calls, rounds, trace.began, models, TEAM)
        _fill(trace, seen)
        # What no round is known of can have come after anything.
        trace.inferred = bool(calls.lost)
        missing += [*seen.missing, *_tokens(rounds, numbers)]
        trace.disagreements = tuple(disagreements(seen, rounds, numbers))
    if facts.cut is not None:
        trace.status = CUT_OFF
        missing.insert(0, cut_said(facts.cut, trace.took))
    trace.missing = (*missing, *numbers.unread)
    trace.finish = finish_of(trace)
    return trace


def _facts(files: Files) -> Facts:
    if files.coordination is not None:
        try:
            return read_coordination(files.coordination)
        except LogError as error:
            raise error.within("coordination_events.json") from None
    if files.live is not None:
        try:
            return read_live(files.live)
        except LogError as error:
            raise error.within("events.jsonl") from None
    raise LogError(
        "there is neither coordination_events.json nor events.jsonl in it",
        hint="give MassGen's folder log_…, or a folder turn_… or attempt_… in it",
    )


def _activities(rounds: Sequence[Round], began: int, models: dict[str, str]) -> list[Activity]:
    """Give the rounds as activities: all that the log alone knows of."""
    times: dict[str, int] = {}
    found: list[Activity] = []
    for each in rounds:
        path = f"{TEAM}/{each.agent}/{each.doing}"
        times[path] = times.get(path, 0) + 1
        after = each.needs[-1] if each.needs else START
        found.append(
            Activity(
                path=path,
                attempt=times[path],
                step=TEAM,
                agent=each.agent,
                model=models.get(each.agent, ""),
                asked=began if after == START else rounds[after].ended or began,
                began=each.began,
                ended=each.ended,
                fate=each.fate,
                how=each.outcome if each.fate not in {"useful", ""} else "",
                usage=each.usage,
                after=after,
                needs=each.needs,
                team=TEAM,
                events=each.records,
            )
        )
    return found


def _fill(trace: Trace, seen: Seen) -> None:
    trace.activities = seen.activities
    trace.limits = seen.limits
    trace.changes = seen.changes
    ends = [a.ended for a in seen.activities if a.ended is not None]
    trace.ended = max([trace.ended, *ends])


def _cut_short(files: Files, facts: Facts, ended: bool) -> Iterable[str]:
    if files.coordination is None:
        yield "coordination_events.json is not there; what is told is from events.jsonl alone."
        yield "The instants in events.jsonl have no time zone, and are taken as UTC."
    if facts.cut is None and not ended:
        yield "The log does not tell how the run ended."
    if facts.left_out:
        yield f"{facts.left_out:,} events were left out: only so many are kept."
    if not files.version:
        yield "Which version of MassGen wrote the log is not recorded."
    if not any(files.models.values()):
        yield "Which models the agents used is not recorded."


def _missing(files: Files, rounds: Sequence[Round], numbers: Counted) -> Iterable[str]:
    """Say what the log alone does not tell."""
    yield (
        "Which calls were made within a round is not recorded: each round is told as one call, "
        "as long as the round was."
    )
    if numbers.calls is not None:
        listed = "" if numbers.rounds is None else f", beside {numbers.rounds} rounds"
        yield f"MassGen counted {numbers.calls} calls that were answered{listed}; it lists none."
    yield (
        "Calls that a server refused (429), and the waits for it, are not recorded: "
        "they are within the rounds. A record of the server, as calls, tells of them."
    )
    yield "Limits are not recorded."
    yield from _tokens(rounds, numbers)
    if any(each.outcome == "injected" for each in rounds):
        yield (
            "What an agent was told under way is recorded, and not what it had written by then: "
            "it is taken as a call that came to nothing."
        )


def _tokens(rounds: Sequence[Round], numbers: Counted) -> Iterable[str]:
    known = [each.usage for each in rounds if each.usage is not None]
    if not known and numbers.tokens_in is None:
        yield "Tokens and costs are not recorded."
        return
    yield "Costs are not recorded."
    if not known:
        yield f"Of {numbers.tokens_in:,} tokens read, none is said to be of any round."
        return
    read = sum(usage.tokens_in or 0 for usage in known)
    without = sum(each.usage is None for each in rounds)
    if numbers.tokens_in is not None and numbers.tokens_in != read:
        yield (
            f"Of {numbers.tokens_in:,} tokens read, {read:,} are said to be of a round; "
            f"{numbers.tokens_in - read:,} are of nothing, "
            f"and {without} of {len(rounds)} rounds have none."
        )
    elif without:
        yield f"{without} of {len(rounds)} rounds say nothing of tokens."
