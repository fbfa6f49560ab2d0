"""Settings, ``KEY=VALUE``: what simulations have otherwise than a run or a file.

Values are read exactly as a file reads them; null stands for what holds where a file says nothing.
They are changes of a spec, so that they hold for a recorded run, too, of which there is no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from hocket.config.change_agent import change_agent
from hocket.config.change_budget import change_budget
from hocket.config.change_defaults import change_defaults
from hocket.config.change_steps import change_team, steps_of
from hocket.config.change_text import Setting, setting_of
from hocket.config.file import Loaded
from hocket.config.models import PlanPart
from hocket.config.overrides import (
    limit_part,
    meant,
    put,
    read_part,
    with_limit,
)
from hocket.config.simulate import merged
from hocket.config.simulate import said as said_of
from hocket.config.simulate_parts import PeoplePart
from hocket.core.errors import NotFound, Refused, problem_line, suggest
from hocket.core.specs import LimitSpec, PlanSpec, RunSpec
from hocket.core.values import Json
from hocket.workflows.check import complete, problems

_SHOWN: Final = 5
"""The most problems that are written out."""


class NoPlan(Refused):
    """Settings that can be read, and make no runnable plan."""


class Changes(NamedTuple):
    """What settings make of a run.

    Fields:
        spec: What to do.
        inputs: Inputs that are to be others.
        people: What is said of how people answer, as `hocket.config.simulate.PeoplePart`.
        agents: What is said of how agents behave, as `hocket.config.simulate.ActorPart`, by name,
            or of `hocket.config.simulate.EVERYBODY`.
    """

    spec: RunSpec
    inputs: Mapping[str, Json] = {}
    people: Mapping[str, Any] = {}
    agents: Mapping[str, Mapping[str, Any]] = {}


def changed(spec: RunSpec, settings: Sequence[str], loaded: Loaded | None = None) -> Changes:
    """Say what settings make of a run's spec.

    Args:
        spec: The spec; that of a file, or one that a run has pinned.
        settings: ``KEY=VALUE`` each.
        loaded: The file that it came from, which knows the names of models.

    Raises:
        Refused: A setting cannot be read, or could mean several things, or says of a key what
            another one says otherwise.
        NoPlan: They make no runnable spec.
        NotFound: There is nothing that it could be about.
    """
    made = Changes(spec)
    said: dict[tuple[str, ...], Setting] = {}
    for text in settings:
        setting = setting_of(text)
        before = said.setdefault(setting.names, setting)
        if before.raw.strip() != setting.raw.strip():
            raise setting.refused(f"{before.text!r} says otherwise: leave one of them out")
        made = _with(made, setting, loaded)
    if not settings or made.spec is spec:
        return made
    made = made._replace(spec=complete(made.spec))
    if found := problems(made.spec):
        what = f"setting{'s' if len(settings) > 1 else ''} {' '.join(settings)!r}"
        lines = "; ".join(problem_line(one) for one in found[:_SHOWN])
        more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        raise NoPlan(f"{what}: {lines}{more}")
    return made


def _with(made: Changes, setting: Setting, loaded: Loaded | None) -> Changes:
    head = setting.names[0]
    change = _HEADS.get(head)
    if change is None:
        hint = suggest(head, _HEADS) or f"there are {', '.join(_HEADS)}"
        raise setting.refused(f"there is no setting {head!r}; {hint}")
    return change(made, setting, loaded)


def _of_run(made: Changes, setting: Setting, _loaded: Loaded | None) -> Changes:
    """Change what a plan says of the run as a whole."""
    key = setting.names[0]
    if len(setting.names) > 1:
        raise setting.refused(f"write {key}=VALUE")
    tree: dict[str, Json] = {"steps": {"x": {"approve": "-"}}}
    if setting.value is not None:
        tree[key] = setting.value
    value = getattr(read_part(setting.told, PlanPart, tree), key)
    if key == "timeout":
        value = PlanSpec(name="", steps=()).timeout if value is None else value
        plan = msgspec.structs.replace(made.spec.workflow, timeout=value)
        return made._replace(spec=msgspec.structs.replace(made.spec, workflow=plan))
    return made._replace(spec=msgspec.structs.replace(made.spec, **{key: value}))


def _budget(made: Changes, setting: Setting, loaded: Loaded | None) -> Changes:
    return made._replace(spec=change_budget(made.spec, setting, loaded))


def _defaults(made: Changes, setting: Setting, loaded: Loaded | None) -> Changes:
    return made._replace(spec=change_defaults(made.spec, setting, loaded))


def _limit(made: Changes, setting: Setting, loaded: Loaded | None) -> Changes:
    name, key = ".".join(setting.names[1:-1]), setting.names[-1]
    if not name:
        raise setting.refused("write limits.NAME.KEY=VALUE, as in limits.flash.requests=15/min")
    about = limit_part(setting.told, key, setting.value)
    if setting.value is not None:
        spec = with_limit(made.spec, setting.told, name, about, loaded, there=True)
        return made._replace(spec=spec)
    known = meant(setting.told, name, made.spec, loaded, there=True)
    if known not in made.spec.limits:
        return made
    usual = {key: getattr(LimitSpec(), key)}
    limit = msgspec.structs.replace(made.spec.limits[known], **usual)
    return made._replace(spec=put(made.spec, known, limit))


def _input(made: Changes, setting: Setting, _loaded: Loaded | None) -> Changes:
    name = setting.rest("inputs.NAME=VALUE")
    known = made.spec.workflow.inputs
    if name not in known:
        hint = suggest(name, known) or "it takes " + (", ".join(known) or "none")
        raise NotFound(f"{setting.told}: plan {made.spec.name!r} has no input {name!r}; {hint}")
    return made._replace(inputs={**made.inputs, name: setting.value})


def _people(made: Changes, setting: Setting, _loaded: Loaded | None) -> Changes:
    key = setting.rest("people.KEY=VALUE, as in people.after=30s")
    part = read_part(setting.told, PeoplePart, {key: setting.value})
    return made._replace(people=merged(made.people, said_of(part)))


def _agent(made: Changes, setting: Setting, loaded: Loaded | None) -> Changes:
    if len(setting.names) < 3:
        raise setting.refused("write agents.NAME.KEY=VALUE, as in agents.flash.latency=3s")
    spec, actor = change_agent(made.spec, setting, loaded)
    if actor is None:
        return made._replace(spec=spec)
    name = setting.names[1]
    agents = {**made.agents, name: merged(made.agents.get(name, {}), said_of(actor))}
    return made._replace(agents=agents)


def _team(made: Changes, setting: Setting, loaded: Loaded | None) -> Changes:
    return made._replace(spec=change_team(made.spec, setting, loaded))


def _step(made: Changes, setting: Setting, loaded: Loaded | None) -> Changes:
    return made._replace(spec=steps_of(made.spec, setting, loaded))


_Change: TypeAlias = Callable[[Changes, Setting, Loaded | None], Changes]
_HEADS: Final[dict[str, _Change]] = {
    "max_parallel": _of_run,
    "timeout": _of_run,
    "deadline": _of_run,
    "priority": _of_run,
    "weight": _of_run,
    "budget": _budget,
    "defaults": _defaults,
    "limits": _limit,
    "consensus": _team,
    "review": _team,
    "panel": _team,
    "steps": _step,
    "agents": _agent,
    "inputs": _input,
    "people": _people,
}
