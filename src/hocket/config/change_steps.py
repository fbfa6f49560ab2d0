"""Settings about steps: ``steps.PATH.KEY`` of one, ``consensus.KEY`` and its like of all of a kind.

A key is one of the step itself, as ``timeout``, or one of its team or panel, as ``policy``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from pydantic import Field

from hocket.config.basics import Strict
from hocket.config.change_defaults import defaults_of, usual
from hocket.config.change_text import Setting
from hocket.config.file import Loaded
from hocket.config.overrides import read_part
from hocket.config.panel_parts import ConsensusStep, LearnedPart, PanelPart, PanelStep, ReviewStep
from hocket.config.seats import MOST
from hocket.config.settings import retry_of
from hocket.config.step_parts import (
    AgentStep,
    ApproveStep,
    InputStep,
    NestedStep,
    RetryPart,
    StepPart,
)
from hocket.config.team_parts import ConsensusPart, ReviewPart
from hocket.config.team_shapes import consensus_shape
from hocket.config.translate_teams import CONSENSUS, REVIEW, consensus_fields
from hocket.core.errors import NotFound, suggest
from hocket.core.specs import Learned, PlanSpec, Repeat, Retry, RunSpec, StepSpec
from hocket.core.teams import ConsensusSpec, Member, ReviewSpec, TeamSpec
from hocket.core.values import Json
from hocket.workflows.panel import GATHER, LATER, OWN_STEPS, is_panel

Kind: TypeAlias = Literal[
    "call", "consensus", "review", "panel", "run", "approve", "input", "gather"
]
"""What a step is, by the key that it has in a file."""

_EVERY: Final = ("needs", "wants", "within", "quorum", "when", "timeout", "on_failure")
_WORK: Final = (*_EVERY, "each", "repeat")
_TEAM: Final = (*_WORK, "retry", "uses", "hedge")
_PANEL: Final = ("quorum", "within", "revise")
_KEYS: Final[dict[Kind, tuple[str, ...]]] = {
    "call": (*_TEAM, "takes", "fallback", "effects", "agent"),
    "consensus": _TEAM,
    "review": _TEAM,
    "panel": _WORK,
    "run": _WORK,
    "approve": (*_EVERY, "on_timeout"),
    "input": (*_EVERY, "on_timeout"),
    "gather": ("within", "quorum", "wants", "needs"),
}
"""The keys of steps that can be set."""
_PARTS: Final[dict[Kind, tuple[type[Strict], dict[str, Json]]]] = {
    "call": (AgentStep, {"agent": "-"}),
    "consensus": (ConsensusStep, {"consensus": {"question": "-", "agents": ["-"]}}),
    "review": (ReviewStep, {"review": {"of": "-", "by": ["-"]}}),
    "panel": (
        PanelStep,
        {"panel": {"question": "-", "agents": {"x": "-"}, "synthesis": "-"}},
    ),
    "run": (NestedStep, {"run": "-"}),
    "approve": (ApproveStep, {"approve": "-"}),
    "input": (InputStep, {"input": "-"}),
    "gather": (StepPart, {}),
}
"""The parts of a file that read them, and what these must have besides."""
_OF_TEAM: Final[dict[str, tuple[str, ...]]] = {
    "consensus": (*CONSENSUS, "decide"),
    "review": REVIEW,
    "panel": _PANEL,
}


class _Seats(Strict):
    """How many seats an agent has; none takes it out of the team."""

    count: Annotated[int, Field(ge=0, le=MOST)]


Change: TypeAlias = Callable[[StepSpec, str], StepSpec]
"""Changes a step of the plan of that name."""


def change_team(spec: RunSpec, setting: Setting, loaded: Loaded | None) -> RunSpec:
    """Change all steps that a consensus, a review or a panel does.

    Raises:
        Refused: There is no such key, or the value means nothing there.
        NotFound: There is no such step.
    """
    head, *rest = setting.names
    found = [path for path, step in walk(spec.workflow) if _does(step, head)]
    if not rest:
        raise setting.refused(f"write {head}.KEY=VALUE")
    if not found:
        raise NotFound(f"{setting.told}: nothing in plan {spec.name!r} is done by a {head}")
    if len(rest) == 2 and rest[1] == "count" and head != "panel":
        return _count(spec, setting, found, rest[0])
    known = (*_OF_TEAM[head], *(key for key in _KEYS[_kind_of(head)] if key not in _OF_TEAM[head]))
    _check_seat(setting, head, rest, [step for _, step in walk(spec.workflow) if _does(step, head)])
    _check_key(setting, rest[0], known, f"a {head}")
    of_team = rest[0] in _OF_TEAM[head]
    if not of_team:
        # A review within another step is not that step.
        found = [path for path, step in walk(spec.workflow) if kind_of(step) == head]
        if not found:
            raise setting.refused(
                f"{rest[0]} is of the step that is reviewed: write steps.PATH.{rest[0]}"
            )
    if of_team:
        return _changed(spec, found, _team_change(setting, head, rest))
    return _changed(spec, found, _step_change(spec, setting, rest, loaded))


def steps_of(spec: RunSpec, setting: Setting, loaded: Loaded | None) -> RunSpec:
    """Change one step.

    Raises:
        Refused: There is no such key, several steps could be meant, or the value means nothing.
        NotFound: There is no such step.
    """
    if len(setting.names) < 3:
        raise setting.refused("write steps.PATH.KEY=VALUE, as in steps.build.timeout=5m")
    _, path, *rest = setting.names
    steps = dict(walk(spec.workflow))
    if path not in steps:
        raise _no_step(setting, path, list(steps))
    step, kind = steps[path], kind_of(steps[path])
    teams = [name for name in _OF_TEAM if _does(step, name)]
    if rest[0] in teams:
        team, rest = rest[0], rest[1:]
        if not rest:
            raise setting.refused(f"write steps.{path}.{team}.KEY=VALUE")
        if len(rest) == 2 and rest[1] == "count" and team != "panel":
            return _count(spec, setting, [path], rest[0])
        _check_seat(setting, team, rest, [step])
        _check_key(setting, rest[0], _OF_TEAM[team], f"a {team}")
        return _changed(spec, [path], _team_change(setting, team, rest))
    for team in teams:
        # What stands in both is the step's own only where that means something there.
        own = rest[0] in _KEYS[kind] and (rest[0] not in ("quorum", "within") or step.wants)
        if rest[0] in _OF_TEAM[team] and not own:
            return _changed(spec, [path], _team_change(setting, team, rest))
        if len(rest) == 2 and rest[1] == "count" and team != "panel" and rest[0] not in _KEYS[kind]:
            return _count(spec, setting, [path], rest[0])
    known = (*_KEYS[kind], *(key for team in teams for key in _OF_TEAM[team]))
    if rest[0] not in known:
        for team in teams:
            _check_seat(setting, team, rest, [step])
    _check_key(setting, rest[0], known, f"step {path!r}")
    return _changed(spec, [path], _step_change(spec, setting, rest, loaded))


def walk(plan: PlanSpec, prefix: str = "") -> Iterator[tuple[str, StepSpec]]:
    """Give all steps with their paths, those of nested plans behind their own."""
    for step in plan.steps:
        yield prefix + step.name, step
        if step.plan is not None:
            yield from walk(step.plan, f"{prefix}{step.name}/")


def kind_of(step: StepSpec) -> Kind:
    """Say what a step is."""
    if step.kind == "plan":
        return "panel" if step.plan is not None and is_panel(step.plan) else "run"
    return step.kind


def _kind_of(head: str) -> Kind:
    return next(kind for kind in _KEYS if kind == head)


def _does(step: StepSpec, team: str) -> bool:
    """Tell whether a consensus, a review or a panel does a step, or a review judges it."""
    return kind_of(step) == team or (team == "review" and step.review is not None)


def _no_step(setting: Setting, path: str, known: list[str]) -> NotFound | Any:
    inside = [one for one in known if one.rpartition("/")[2] == path]
    if len(inside) > 1:
        return setting.refused(f"{path!r} could be {' or '.join(inside[:5])}: write which")
    hint = f"did you mean {inside[0]!r}?" if inside else suggest(path, known[:2_000])
    hint = hint or f"there are {', '.join(known[:10])}"
    return NotFound(f"{setting.told}: there is no step {path!r}; {hint}")


def _check_seat(setting: Setting, team: str, rest: list[str], steps: list[StepSpec]) -> None:
    """Say what can be set of a member, where somebody has named one, or all of them.

    Raises:
        Refused: Somebody has.
    """
    name = rest[0]
    if team == "panel":
        plans = [step.plan for step in steps if step.plan is not None]
        members = {one.name for plan in plans for one in plan.steps} - {*OWN_STEPS}
        if name in members or name == "agents":
            one = name if name in members else "NAME"
            said = f"a panel's members stay: write steps.PANEL/{one}.KEY or agents.NAME.KEY"
            raise setting.refused(said)
        return
    teams = [step.review or step.team for step in steps]
    if any(member.agent == name for one in teams if one is not None for member in one.members):
        raise setting.refused(f"of the seats of {name!r} only the count can be set: {name}.count=3")


def _check_key(setting: Setting, key: str, known: tuple[str, ...], what: str) -> None:
    if key not in known:
        hint = suggest(key, known) or f"there are {', '.join(dict.fromkeys(known))}"
        raise setting.refused(f"of {what} there is nothing called {key!r} to set; {hint}")


def _changed(spec: RunSpec, paths: list[str], change: Change) -> RunSpec:
    wanted = frozenset(paths)

    def within(plan: PlanSpec, prefix: str) -> PlanSpec:
        steps = []
        for step in plan.steps:
            path = prefix + step.name
            if step.plan is not None and any(one.startswith(f"{path}/") for one in wanted):
                step = msgspec.structs.replace(step, plan=within(step.plan, f"{path}/"))
            steps.append(change(step, plan.name) if path in wanted else step)
        return msgspec.structs.replace(plan, steps=tuple(steps))

    return msgspec.structs.replace(spec, workflow=within(spec.workflow, ""))


# ---- steps ----


def _step_change(spec: RunSpec, setting: Setting, rest: list[str], loaded: Loaded | None) -> Change:
    """Give what a setting makes of a step."""
    key = rest[0]
    if len(rest) > 1 and key != "retry":
        raise setting.refused(f"write {'.'.join(setting.names[: -len(rest)])}.{key}=VALUE")

    said = setting.value
    if key == "when" and said is not None and not isinstance(said, str):
        # What a file has as an expression in quotes may look like another value without them.
        said = setting.raw.strip()

    def change(step: StepSpec, plan: str) -> StepSpec:
        kind = kind_of(step)
        part, beside = _PARTS[kind]
        if key == "retry" and len(rest) > 1:
            return _retry(step, setting, rest[1:])
        about = read_part(setting.told, part, {**beside, key: said} if said is not None else beside)
        value = getattr(about, key)
        fields: dict[str, Json] = {}
        if setting.value is None:
            value = usual(step, key, spec, defaults_of(loaded, plan))
        elif key == "retry":
            value = retry_of(value)
        elif key == "repeat":
            value = Repeat(until=value.until, max=value.max)
        elif key in ("needs", "wants", "fallback"):
            value = tuple(value)
        if key == "timeout" and step.plan is not None:
            fields["plan"] = msgspec.structs.replace(step.plan, timeout=value)
        if key in step.learned:
            fields["learned"] = {name: one for name, one in step.learned.items() if name != key}
        return msgspec.structs.replace(step, **{key: value}, **fields)

    return change


def _retry(step: StepSpec, setting: Setting, rest: list[str]) -> StepSpec:
    """Change one thing of how a step is tried again."""
    if len(rest) > 1:
        raise setting.refused("write retry.KEY=VALUE, as in retry.tries=2")
    key = rest[0]
    said = {key: setting.value}
    if setting.value is None and key in RetryPart.model_fields:
        said = {}
    value = getattr(read_part(setting.told, RetryPart, said), key)
    if value is None:
        value = getattr(Retry(), key)
    value = tuple(value) if key == "on" else value
    return msgspec.structs.replace(step, retry=msgspec.structs.replace(step.retry, **{key: value}))


# ---- teams ----


def _team_change(setting: Setting, team: str, rest: list[str]) -> Change:
    """Give what a setting makes of a step's team or panel."""
    key = rest[0]
    if len(rest) > 1:
        raise setting.refused(f"write {'.'.join(setting.names[: -len(rest)])}.{key}=VALUE")
    if team == "panel":
        return _panel(setting, key)
    fields = _team_fields(setting, team, key)

    def change(step: StepSpec, _plan: str) -> StepSpec:
        if step.review is not None:
            review = msgspec.structs.replace(step.review, **fields)
            return msgspec.structs.replace(step, review=review)
        assert step.team is not None
        return msgspec.structs.replace(step, team=_replaced(step.team, fields))

    return change


def _replaced(team: TeamSpec, fields: dict[str, Json]) -> TeamSpec:
    return msgspec.structs.replace(team, **fields)


def _team_fields(setting: Setting, team: str, key: str) -> dict[str, Json]:
    if team == "consensus":
        beside: dict[str, Json] = {"question": "-", "agents": ["-"]}
        said = read_part(setting.told, ConsensusPart, {**beside, key: setting.value})
        fields = consensus_fields(said)
    else:
        review = read_part(setting.told, ReviewPart, {"by": ["-"], key: setting.value})
        fields = {key: getattr(review, key)}
    if setting.value is not None:
        return fields
    usual = ConsensusSpec(members=()) if team == "consensus" else ReviewSpec(members=())
    keys = ("rule", "threshold") if key == "decide" else (key,)
    return {name: getattr(usual, name) for name in keys}


def _panel(setting: Setting, key: str) -> Change:
    beside: dict[str, Json] = {"question": "-", "agents": {"x": "-"}, "synthesis": "-"}
    part = read_part(setting.told, PanelPart, {**beside, key: setting.value})
    value = getattr(part, key)
    learned: dict[str, Learned] = {}
    if isinstance(value, LearnedPart):
        learned["within"] = Learned(cap=value.cap, floor=value.floor, quantile=value.learned)
        value = value.cap

    def change(step: StepSpec, _plan: str) -> StepSpec:
        assert step.plan is not None
        name = LATER if key == "revise" else GATHER
        if name not in {inner.name for inner in step.plan.steps}:
            if value is None:
                return step
            raise setting.refused(f"panel {step.name!r} never revises: say revise in its file")
        # A reply that nothing can come late for is not revised.
        new = {"quorum": value} if key == "quorum" else {"within": value}
        if key == "revise" and value is None:
            new = {"within": 0}
        if key == "within":
            new["learned"] = learned
        steps = [
            msgspec.structs.replace(inner, **new) if inner.name == name else inner
            for inner in step.plan.steps
        ]
        return msgspec.structs.replace(
            step, plan=msgspec.structs.replace(step.plan, steps=tuple(steps))
        )

    return change


def _count(spec: RunSpec, setting: Setting, paths: list[str], agent: str) -> RunSpec:
    """Give an agent so many seats in teams that it is in."""
    value = 1 if setting.value is None else setting.value
    count = read_part(setting.told, _Seats, {"count": value}).count
    steps = dict(walk(spec.workflow))
    teams = {path: steps[path].review or steps[path].team for path in paths}
    seated = {m.agent: None for team in teams.values() if team is not None for m in team.members}
    if agent not in seated:
        hint = suggest(agent, seated) or f"there are {', '.join(seated)}"
        raise NotFound(f"{setting.told}: no agent {agent!r} has a seat; {hint}")

    def change(step: StepSpec, _plan: str) -> StepSpec:
        if step.review is not None:
            members = _seats(step.review.members, agent, count)
            return msgspec.structs.replace(
                step, review=msgspec.structs.replace(step.review, members=members)
            )
        assert step.team is not None
        team = msgspec.structs.replace(step.team, members=_seats(step.team.members, agent, count))
        if isinstance(team, ConsensusSpec):
            shape = consensus_shape(team.answer, team.members)
            return msgspec.structs.replace(step, team=team, output=shape)
        return msgspec.structs.replace(step, team=team)

    return _changed(spec, paths, change)


def _seats(members: tuple[Member, ...], agent: str, count: int) -> tuple[Member, ...]:
    """Take seats of an agent away from behind, or put new ones behind its last one.

    Those that stay keep their names, by which their chance is drawn.
    """
    own = [member for member in members if member.agent == agent]
    if not own:
        return members
    taken = {member.name for member in members}
    stem = own[-1].name.rstrip("0123456789").rstrip("-") if len(own) > 1 else own[-1].name
    new: list[Member] = []
    number = len(own)
    while len(own) + len(new) < count:
        number += 1
        name = f"{stem}-{number}"
        if name not in taken:
            taken.add(name)
            new.append(msgspec.structs.replace(own[-1], name=name))
    kept = own[:count]
    made: list[Member] = []
    for member in members:
        if member.agent != agent or member in kept:
            made.append(member)
        if member is own[-1]:
            made.extend(new)
    return tuple(made)
