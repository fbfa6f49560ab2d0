"""Settings about budgets: ``budget`` of a plan, ``agents.NAME.budget`` of an agent."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from hocket.config.amounts import read_spending
from hocket.config.change_text import Setting
from hocket.config.file import Loaded
from hocket.config.limit import budget_of
from hocket.config.limit_names import budget_name
from hocket.config.limit_parts import BudgetPart
from hocket.config.models import PlanPart
from hocket.config.overrides import read_part
from hocket.core.specs import LimitSpec, Rate, RunSpec
from hocket.core.values import DAY


class _Owner(NamedTuple):
    """Whose budget it is.

    Fields:
        kind: Whether it is an ``agent`` or a ``plan``.
        name: What that is called.
        claims: The limits that it claims.
    """

    kind: str
    name: str
    claims: tuple[str, ...]


def change_budget(spec: RunSpec, setting: Setting, loaded: Loaded | None) -> RunSpec:
    """Give the run another budget, or the agent that the setting names.

    Dollars, as ``1.00`` or ``5.00/day``, are another amount of the budget that is there; whatever
    else a file may say stands instead of all that it says; null is none.

    Raises:
        Refused: The value is no budget.
    """
    of_agent = setting.names[0] == "agents"
    if len(setting.names) > (3 if of_agent else 1):
        key = ".".join(setting.names[:3]) if of_agent else "budget"
        raise setting.refused(f"write {key}=DOLLARS, as 1.00 or 5.00/day, or {{cost: 1.00}}")
    if of_agent:
        name = setting.names[1]
        agent = spec.agents[name]
        claims, limits = _changed(spec, setting, _Owner("agent", name, agent.limits), loaded)
        agent = msgspec.structs.replace(agent, limits=claims)
        return msgspec.structs.replace(spec, limits=limits, agents={**spec.agents, name: agent})
    claims, limits = _changed(spec, setting, _Owner("plan", spec.name, spec.claims), loaded)
    return msgspec.structs.replace(spec, limits=limits, claims=claims)


def _changed(
    spec: RunSpec, setting: Setting, owner: _Owner, loaded: Loaded | None
) -> tuple[tuple[str, ...], dict[str, LimitSpec]]:
    """Give what the owner claims then, and the limits of the run."""
    place = "" if loaded is None else loaded.place
    names = {daily: _name(owner, daily, place) for daily in (False, True)}
    limits = dict(spec.limits)
    if isinstance(setting.value, str | int | float):
        rate = _dollars(setting)
        daily = rate.per == DAY
        name = names[daily]
        limits[name] = (
            msgspec.structs.replace(limits[name], cost=(rate,))
            if name in limits
            else budget_of(rate.amount, None, daily=daily, on_exceed="pause")
        )
        claims = dict.fromkeys((*owner.claims, name))
    else:
        claims = dict.fromkeys(name for name in owner.claims if name not in names.values())
        for name in names.values():
            limits.pop(name, None)
        for about in _budgets(setting):
            daily = about.per == "day"
            claims[names[daily]] = None
            limits[names[daily]] = budget_of(
                about.cost, about.tokens, daily=daily, on_exceed=about.on_exceed
            )
    return tuple(claims), dict(sorted(limits.items()))


def _name(owner: _Owner, daily: bool, place: str) -> str:
    """Name a budget as the run knows it; a day's may be of a file that is elsewhere now."""
    own = budget_name(owner.kind, owner.name, daily=daily)
    known = (n for n in owner.claims if n == own or (daily and n.startswith(f"{own} in ")))
    return next(known, budget_name(owner.kind, owner.name, daily=daily, place=place))


def _dollars(setting: Setting) -> Rate:
    try:
        rate = read_spending(setting.raw.strip(" \"'"))
    except ValueError as error:
        raise setting.refused(str(error)) from None
    if rate.per not in (0, DAY):
        raise setting.refused("a budget is of the run, as 1.00, or as 5.00/day")
    return rate


def _budgets(setting: Setting) -> list[BudgetPart]:
    steps = {"x": {"approve": "-"}}
    found = read_part(setting.told, PlanPart, {"steps": steps, "budget": setting.value}).budget
    return found if isinstance(found, list) else [] if found is None else [found]
