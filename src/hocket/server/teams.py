"""Teams and panels as the page shows them: who has said what so far, and who is still to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hocket.config.change_steps import walk
from hocket.core.errors import Refused
from hocket.core.machine import StepView
from hocket.core.reports import Report
from hocket.core.run import RunMachine
from hocket.core.specs import PlanSpec, StepSpec
from hocket.core.teams import ConsensusSpec, ReviewSpec
from hocket.core.values import MS
from hocket.report.board_rows import cut, ms
from hocket.report.panel import panels
from hocket.report.team import said_words, team_data
from hocket.workflows.panel import GATHER, OWN_STEPS, is_panel
from hocket.workflows.plan import fates_of

MOST: Final = 40
"""The most teams, and the most panels, that are told of at once."""
_MOST_SAID: Final = 4_000
_MOST_FATES: Final = 5_000
_UNIT: Final = re.compile(r"(/\d+)?(~\d+)?(?=/|\Z)")


def teams_told(machine: RunMachine, path: str | None) -> dict[str, Any]:
    """Tell of the teams and panels of a run.

    Args:
        machine: The run.
        path: The only one that is wanted; None for the first of all.
    """
    reports = machine.workflow.reports()
    steps = dict(walk(machine.spec.workflow))
    names = [name for name in reports if path is None or name == path]
    fates = fates_of(machine.workflow) if names else {}
    spoken, more = _panels(machine, steps, path)
    return {
        "teams": {
            name: {
                **_team(reports[name]),
                "asked": _members(steps.get(spec_path(name))),
                "calls": _fates(name, fates),
            }
            for name in names[:MOST]
        },
        "panels": spoken,
        "more": [*names[MOST:], *more],
        "names": {
            name: {"kind": one.kind, "status": one.status, "began": ms(one.began)}
            for name, one in reports.items()
        },
    }


def spec_path(path: str) -> str:
    """Give the path of a step in its plan: without items and rounds."""
    return _UNIT.sub("", path)


def _team(report: Report) -> dict[str, Any]:
    told = team_data(report)
    told["output"] = None
    for one in told["contributions"]:
        one["content"] = cut(said_words(one["content"]), _MOST_SAID)
    for one in (*told["contributions"], *told["judgements"], *told["rows"]):
        for name in ("reason", "detail"):
            if name in one:
                one[name] = cut(one[name], _MOST_SAID)
    for row in told["rows"]:
        row["at"] = ms(row["at"])
    told["began"] = ms(report.began)
    told["ended"] = None if report.ended is None else ms(report.ended)
    return told


def _fates(team: str, fates: Mapping[str, str]) -> dict[str, str]:
    """Give what became of a team's calls, by their names."""
    before = f"{team}/"
    own = [(name, fate) for name, fate in fates.items() if name.startswith(before)]
    return dict(own[:_MOST_FATES])


def _members(step: StepSpec | None) -> dict[str, Any]:
    """Say who takes part, and by which rules."""
    team = None if step is None else step.team if step.review is None else step.review
    match team:
        case ConsensusSpec():
            return {
                "members": [
                    {"name": one.name, "agent": one.agent, "weight": one.weight}
                    for one in team.members
                ],
                "policy": team.policy,
                "rule": team.rule,
                "threshold": team.threshold,
                "rounds": team.rounds,
                "early": team.early,
                "quorum": team.quorum,
            }
        case ReviewSpec():
            return {
                "members": [
                    {"name": one.name, "agent": one.agent, "weight": one.weight}
                    for one in team.members
                ],
                "swarm": team.swarm,
                "threshold": team.threshold,
                "criteria": cut(team.criteria, _MOST_SAID),
                "rounds": team.max_rounds,
                "early": team.early,
            }
        case None:
            return {"members": []}


# ---- panels ----


def _panels(
    machine: RunMachine, steps: Mapping[str, StepSpec], path: str | None
) -> tuple[dict[str, Any], list[str]]:
    plans = {name: step.plan for name, step in steps.items() if _is_panel(step.plan)}
    if is_panel(machine.spec.workflow):
        plans[""] = machine.spec.workflow
    if not plans or (path is not None and spec_path(path) not in plans):
        return {}, []
    views = machine.view()
    gathered = panels(machine, views)
    names = [name for name in _places(views, plans) if path is None or name == path]
    found: dict[str, Any] = {}
    for name in names[:MOST]:
        plan = plans[spec_path(name)]
        assert plan is not None
        found[name] = {**_shape(plan), "said": _said(machine, name, plan), "gathered": None}
        if name in gathered:
            one = gathered[name]
            found[name]["gathered"] = {
                "contributions": {
                    who: cut(said_words(said), _MOST_SAID)
                    for who, said in one.contributions.items()
                },
                "missing": dict(one.missing),
                "skipped": dict(one.skipped),
                "revised": one.revised,
                "unselected": one.unselected or None,
            }
    return found, names[MOST:]


def _said(machine: RunMachine, panel: str, plan: PlanSpec) -> dict[str, str]:
    """Give what each has said that is done, whether or not it came in time; the replies, too."""
    before = f"{panel}/" if panel else ""
    found: dict[str, str] = {}
    for step in plan.steps:
        if step.kind == "gather":
            continue
        try:
            value = machine.workflow.result(before + step.name)
        except Refused:
            # The panel has not begun.
            return {}
        if value is not None:
            found[step.name] = cut(said_words(value), _MOST_SAID)
    return found


def _is_panel(plan: PlanSpec | None) -> bool:
    return plan is not None and is_panel(plan)


def _places(views: Sequence[StepView], plans: Mapping[str, object]) -> list[str]:
    """Give the paths of panels: of each that has begun, and of the steps of those that have not."""
    begun: dict[str, None] = {}
    for view in views:
        before, _, last = view.path.rpartition("/")
        if last == GATHER and view.kind == "gather" and spec_path(before) in plans:
            begun[before] = None
    known = {spec_path(path) for path in begun}
    return [*begun, *(path for path in plans if path not in known)]


def _shape(plan: PlanSpec) -> dict[str, Any]:
    """Say who contributes, and how long and for how many is waited."""
    gather = next(step for step in plan.steps if step.name == GATHER)
    return {
        "speakers": [
            {"name": step.name, "agent": step.agent, "kind": step.kind, "fallback": step.fallback}
            for step in plan.steps
            if step.name not in OWN_STEPS
        ],
        "own": [
            {"name": step.name, "agent": step.agent, "kind": step.kind}
            for step in plan.steps
            if step.name in OWN_STEPS
        ],
        "quorum": gather.quorum,
        "within": None if gather.within is None else gather.within / MS,
    }
