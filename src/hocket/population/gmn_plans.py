"""Makes the policies that a GMN asks for: all of a length, some of these, or written out."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hocket.population.gmn_parts import Things, shown, whole
from hocket.population.gmn_tables import places
from hocket.population.gmn_values import Faults, Value
from hocket.population.policies import sampled_policies

MOST_POLICIES: Final = 100_000
MOST_STEPS: Final = 1_000
_MOST_PLANNED: Final = 2_000_000
"""Actions of all policies together."""


def plans_of(about: Value, actions: list[tuple[str, Things]], faults: Faults) -> dict[str, Any]:
    """The policies: all of a length, some of these, or those that are written out."""
    ways = [key for key in ("policies", "sampled") if key in about.data]
    length = about.data.get("length")
    if "policies" in about.data:
        if len(ways) > 1 or length is not None:
            hint = "leave length and sampled out"
            faults.say(about.data["policies"].at, "policies are written out already", hint)
        return {"policies": _written(about.data["policies"], actions, faults)}
    steps = 1 if length is None else whole(length, faults, 1, MOST_STEPS)
    sizes = [thing.size for _, thing in actions]
    joint = float(np.prod(np.array(sizes, float)))
    if joint > MOST_POLICIES:
        faults.say(about.at, f"there are {joint:,.0f} joint actions", "let fewer factors be moved")
        return {}
    if "sampled" in about.data:
        count = whole(about.data["sampled"], faults, 1, MOST_POLICIES)
        seed = whole(about.data["seed"], faults, 0, 2**32 - 1) if "seed" in about.data else 0
        if count * steps * len(sizes) > _MOST_PLANNED:
            faults.say(about.data["sampled"].at, "these are too many policies of this length")
            return {}
        return {"policies": sampled_policies(sizes, steps, count, seed=seed)}
    if joint**steps > MOST_POLICIES if joint > 1 and steps < 64 else joint > 1:
        at = about.at if length is None else length.at
        message = f"there are more than {MOST_POLICIES:,} policies of {steps} steps"
        faults.say(at, message, "look less far ahead, or write sampled: 1000")
        return {}
    return {"policy_length": steps}


def _written(value: Value, actions: list[tuple[str, Things]], faults: Faults) -> Any:
    """Policies that are written out: each a list of steps, each step an action of each factor.

    A step may leave out factors that nothing moves: one action, a list, or a map by action node.
    """
    moved = [place for place, (_, about) in enumerate(actions) if about.size > 1]
    plans: list[list[list[int]]] = []
    for plan in value.data if isinstance(value.data, list) else []:
        steps = plan.data if isinstance(plan.data, list) else []
        if not steps:
            faults.say(plan.at, f"{shown(plan)} is no list of steps", "write [[up], [down]]")
        plans.append([_step(step, actions, moved, faults) for step in steps])
    if not plans or len({len(plan) for plan in plans}) > 1:
        faults.say(value.at, "policies are no list of policies of equal length")
        return None
    return np.array(plans, np.int32)


def _step(
    value: Value, actions: list[tuple[str, Things]], moved: list[int], faults: Faults
) -> list[int]:
    row = [0] * len(actions)
    if isinstance(value.data, dict):
        known = {name: place for place, (name, _) in enumerate(actions)}
        given = {known[name]: item for name, item in value.data.items() if name in known}
        if len(given) < len(value.data):
            faults.say(value.at, "a step names what is no action", f"there are {', '.join(known)}")
    else:
        items = value.data if isinstance(value.data, list) else [value]
        order = moved if len(items) == len(moved) else range(len(actions))
        if len(items) not in (len(moved), len(actions)):
            faults.say(value.at, f"a step has {len(items)} actions for {len(moved)} factors")
        given = dict(zip(order, items, strict=False))
    for place, item in given.items():
        found = places(actions[place][1], item, faults)
        if len(found) == 1:
            row[place] = found[0]
        elif found:
            faults.say(item.at, "a step is one action of each factor")
    return row
