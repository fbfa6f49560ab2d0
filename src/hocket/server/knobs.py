"""What of a run can be set otherwise in a simulation, with what it is now: for a form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, get_args

import msgspec

from hocket.config.change_steps import walk
from hocket.core.specs import LimitSpec, RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec, Policy, ReviewSpec, TeamSpec
from hocket.core.values import SECOND
from hocket.limits.words import WINDOWS, limit_label, rate_words
from hocket.workflows.panel import GATHER, is_panel

_MOST: Final = 100
_RULES: Final = ("plurality", "majority", "unanimous")
_BOOL: Final = ("true", "false")


class Part(NamedTuple):
    """Something of a team that can be set: its key, what it is, and the values that there are."""

    key: str
    value: str
    choices: tuple[str, ...] = ()


class Knob(msgspec.Struct, kw_only=True):
    """Something that can be set.

    Fields:
        key: The key of the setting, as ``limits.flash.requests``.
        value: What it is now, as it is written; "" if nothing says it.
        group: What it is of: ``run``, ``limits``, ``agents``, ``consensus``, ``review``, ``panel``
            or ``people``.
        choices: The values that there are, if they can be listed.
    """

    key: str
    value: str
    group: str
    choices: list[str] = []


def knobs(spec: RunSpec) -> list[Knob]:
    """Give what of a run can be set, at most a hundred things."""
    found: list[Knob] = []
    for knob in _all(spec):
        if len(found) == _MOST:
            break
        found.append(knob)
    return found


def _all(spec: RunSpec) -> Iterator[Knob]:
    yield Knob(key="max_parallel", value=str(spec.max_parallel), group="run")
    for name, limit in spec.limits.items():
        if limit.on_exceed == "wait":
            yield from _of_limit(limit_label(name), limit)
        elif name in spec.claims:
            yield from _of_budget(limit)
    steps = list(walk(spec.workflow))
    yield from _alike("consensus", [(path, _of_consensus(step.team)) for path, step in steps])
    yield from _alike("review", [(path, _of_review(step)) for path, step in steps])
    yield from _alike("panel", [(path, _of_panel(step)) for path, step in steps])
    for name, agent in spec.agents.items():
        most = "" if agent.concurrency is None else str(agent.concurrency)
        yield Knob(key=f"agents.{name}.concurrency", value=most, group="agents")
    if any(step.kind in ("approve", "input") for _, step in steps):
        yield Knob(key="people.after", value="", group="people")


def _alike(group: str, found: list[tuple[str, list[Part]]]) -> Iterator[Knob]:
    """Give the settings of teams of one kind: of all of them where they are alike, else of each."""
    teams = [(path, parts) for path, parts in found if parts]
    same = all(parts == teams[0][1] for _, parts in teams)
    for path, parts in teams[:1] if same else teams:
        head = group if same else f"steps.{path}.{group}"
        for part in parts:
            yield Knob(
                key=f"{head}.{part.key}", value=part.value, group=group, choices=list(part.choices)
            )


def _of_limit(name: str, limit: LimitSpec) -> Iterator[Knob]:
    for kind in WINDOWS:
        rates = [rate_words(kind, rate).removeprefix("$") for rate in getattr(limit, kind)]
        if rates:
            value = rates[0] if len(rates) == 1 else f"[{', '.join(rates)}]"
            yield Knob(key=f"limits.{name}.{kind}", value=value, group="limits")
    if limit.concurrency is not None:
        value = str(limit.concurrency)
        yield Knob(key=f"limits.{name}.concurrency", value=value, group="limits")
    if limit.spacing:
        value = _time(limit.spacing)
        yield Knob(key=f"limits.{name}.spacing", value=value, group="limits")


def _of_budget(limit: LimitSpec) -> Iterator[Knob]:
    rates = (*limit.cost, *limit.tokens)
    if not rates:
        return
    parts = [f"cost: {rate.amount / 1e12:.12g}" for rate in limit.cost]
    parts += [f"tokens: {rate.amount}" for rate in limit.tokens]
    parts += ["per: day"] if rates[0].per else []
    parts += [f"on_exceed: {limit.on_exceed}"] if limit.on_exceed != "pause" else []
    yield Knob(key="budget", value=f"{{{', '.join(parts)}}}", group="limits")


def _of_consensus(team: TeamSpec | None) -> list[Part]:
    if not isinstance(team, ConsensusSpec):
        return []
    decide = f"{team.threshold:g}" if team.rule == "threshold" else team.rule
    policies = [one for one in get_args(Policy) if one != "batch" or team.batch]
    return [
        Part("policy", team.policy, tuple(policies)),
        Part("decide", decide, _RULES),
        Part("votes", team.votes, ("together", "as_needed")),
        Part("early", _word(team.early), _BOOL),
        Part("soft", _time(team.soft)),
        Part("hard", _time(team.hard)),
    ]


def _of_review(step: StepSpec) -> list[Part]:
    team = step.review if step.review is not None else step.team
    if not isinstance(team, ReviewSpec):
        return []
    parts = [
        Part("swarm", str(team.swarm)),
        Part("threshold", f"{team.threshold:g}"),
        Part("waves", _word(team.waves), _BOOL),
        Part("early", _word(team.early), _BOOL),
    ]
    if step.review is not None or team.fixer:
        parts.append(Part("max_rounds", str(team.max_rounds)))
    return parts


def _of_panel(step: StepSpec) -> list[Part]:
    if step.plan is None or not is_panel(step.plan):
        return []
    gather = next(one for one in step.plan.steps if one.name == GATHER)
    quorum = "" if gather.quorum is None else str(gather.quorum)
    return [Part("quorum", quorum), Part("within", _time(gather.within))]


def _word(value: bool) -> str:
    return "true" if value else "false"


def _time(value: int | None) -> str:
    return "" if value is None else f"{value / SECOND:.9f}".rstrip("0").rstrip(".") + "s"
