"""Finds why a run took so long and what it paid in vain: findings, the dearest first.

Each finder looks at a trace and its account alone, and brings leads.
What the finish waited for is then given to leads, each stretch once: first to those that explain
others, such as calls that came to nothing and had filled a window, then to what was waited for.
"""

from __future__ import annotations

from typing import Final

from hocket.insight.account import Account
from hocket.insight.causes import Kind
from hocket.insight.find_agents import slow_agents, slow_tools
from hocket.insight.find_answers import long_answers
from hocket.insight.find_calls import calls
from hocket.insight.find_leads import REST, Ground, Lead, length, resolved
from hocket.insight.find_limits import limits
from hocket.insight.find_norms import Norms
from hocket.insight.find_people import people
from hocket.insight.find_plan import needless, rounds
from hocket.insight.find_soft import soft_waits
from hocket.insight.find_teams import teams
from hocket.insight.findings import Finding
from hocket.insight.trace import Trace

FINDINGS: Final[dict[str, str]] = {
    "rate_limit": "a limit on requests had no room",
    "token_limit": "a limit on tokens had no room",
    "spacing": "a limit keeps starts apart",
    "concurrency": "all slots of a limit were taken",
    "max_parallel": "all slots of the run were taken",
    "agent_slots": "all slots of an agent were taken",
    "unbalanced": "one agent had too much to do, and another that is alike too little",
    "refused": "a provider refused calls, and they had to wait",
    "endpoint_down": "a provider could not be reached for a while",
    "budget": "a budget was spent",
    "share": "other runs had a turn first",
    "backoff": "a try waited for its time",
    "flaky_agent": "an agent failed again and again",
    "failing_step": "a step was tried again and again, and nothing came of it",
    "long_timeout": "calls hung until a timeout that is too long",
    "hung_call": "a call has not ended, and has taken much longer than others of its kind",
    "slow_call": "a call was much slower than others of its kind: a straggler",
    "long_tail": "several calls were much slower than others of their kind",
    "slow_agent": "an agent is much slower than others at the same work",
    "slow_tool": "a tool takes much longer than the model's turns that call it",
    "long_answers": "an agent's answers are many times as long as others'",
    "lost_work": "calls in flight were lost in a crash and made again",
    "no_cache": "what had been answered was asked again",
    "stale_votes": "answers or votes were made stale by later answers, or nobody needed them",
    "needless_reviews": "reviewers were asked who could not change the verdict",
    "sequential": "first answers were given one after the other",
    "serial_chain": "steps waited for others whose output they never read",
    "many_rounds": "a step was done again and again",
    "soft_wait": "contributions were waited for that did not come in time",
    "approval": "a person's approval came late",
    "input": "a person's input came late",
    "stood": "the run stood until a person asked for a retry",
    "pause": "the run was paused",
    "down": "nothing is recorded, as the process that drove the run ended",
    "coordinator": "the program itself took long between one thing and the next",
    "rework": "calls that came to nothing were waited for",
    "cache_wait": "an answer was waited for that was being asked already",
    "idle": "nothing was ready, and a timer was waited for",
}
"""What each kind of finding means."""

_UNEXPLAINED: Final = 0.15
"""The share from which on a cause is told that no finder explains."""
_LEFT_OVER: Final[dict[Kind, tuple[str, str]]] = {
    "rate": ("rate_limit", "waiting for room in a limit's windows"),
    "refused": ("refused", "waiting for a limit that was closed"),
    "slot": ("concurrency", "waiting for a free slot"),
    "budget": ("budget", "waiting for a budget"),
    "share": ("share", "giving way to other runs"),
    "backoff": ("backoff", "the time before another try"),
    "approval": ("approval", "waiting for an approval"),
    "input": ("input", "waiting for an input"),
    "rework": ("rework", "calls that came to nothing"),
    "cache": ("cache_wait", "waiting for an answer that was being asked already"),
    "pause": ("pause", "a pause"),
    "down": ("down", "a time of which nothing is recorded, as its process ended in it"),
    "coordinator": ("coordinator", "the program itself"),
    "idle": ("idle", "waiting for a timer, with nothing ready"),
}


def find(trace: Trace, account: Account) -> list[Finding]:
    """Find what a run's time went to but useful work, and what it paid in vain.

    The costs of all findings together are never more than the run's time.
    """
    if not account.segments:
        return []
    ground = Ground(trace, account)
    norms = Norms(ground)
    wordy = long_answers(ground)
    known = frozenset(lead.subject for lead in wordy)
    # What writes much more than others takes longer because of that.
    slow = [lead for lead in slow_agents(ground, norms) if lead.subject not in known]
    leads = [
        *people(ground),
        *slow,
        *calls(ground, norms, known | frozenset(lead.subject for lead in slow)),
        *wordy,
        *slow_tools(ground),
        *teams(ground),
        *soft_waits(ground),
        *limits(ground),
        *needless(ground),
        *rounds(ground),
        *_rest(ground),
    ]
    return resolved(ground, leads)


def _rest(ground: Ground) -> list[Lead]:
    """Name every cause but useful work by itself, for what nothing else explains."""
    parts: dict[tuple[Kind, str], dict[int, int]] = {}
    for index, segment in enumerate(ground.segments):
        kind, detail = segment.cause
        if kind in _LEFT_OVER:
            parts.setdefault((kind, detail), {})[index] = length(segment)
    leads = []
    for (kind, detail), explained in parts.items():
        name, what = _LEFT_OVER[kind]
        about = f"{what} ({detail})" if detail else what
        leads.append(Lead(name, detail, about, explained, REST, _UNEXPLAINED))
    return leads
