"""What a plan takes over when its spec has changed: all that is finished and would come out alike.

A step is alike in both specs if its definition and its agents are equal, and so are the steps
whose outputs it could see.
Limits, expected times and hedges may differ: they change when a call is made, not what it gives.
"""

from __future__ import annotations

import msgspec

from hocket.core.specs import StepSpec, unlearned_step
from hocket.core.values import Json
from hocket.workflows.progress import SUCCEEDED
from hocket.workflows.shape import Node
from hocket.workflows.state import State


def inherit(new: State, old: State, agents: frozenset[str]) -> None:
    """Put what `old` has finished into `new`, which has not begun.

    Args:
        new: The plan with the changed spec.
        old: The plan so far; its inputs are the same.
        agents: The agents whose specs are equal in both.
    """
    kept: dict[int, Json] = {}
    alike: dict[int, None] = {}
    for node in new.shape.in_order():
        was = old.shape.index.get(node.spec.name)
        if was is None:
            continue
        _hand_down(new, old, was, agents)
        if not all(i in alike for i in (*node.needs, *node.wants)):
            continue
        if not _gives_the_same(old.shape.nodes[was].spec, node.spec):
            continue
        if not _agents_of(node) <= agents:
            continue
        status = old.progress.status[was]
        if status == SUCCEEDED:
            kept[node.index] = old.progress.outputs[was]
        elif was in old.live and not node.nests:
            carried = old.live[was].fork({})
            # Whether its questions were ever recorded is not known here, so they are put anew.
            carried.asked.clear()
            new.carried[node.spec.name] = carried
        # Steps that have gone on without a step that failed keep what they made of that.
        alike[node.index] = None
    new.progress.adopt(kept)
    for index in kept:
        for want in new.shape.nodes[index].wants:
            new.mark_late(new.shape.nodes[want])


def _gives_the_same(old: StepSpec, new: StepSpec) -> bool:
    """Tell whether a step is the same but for when its calls are made, and how many at once."""
    if old == new:
        return True
    return _essence(old) == _essence(new)


def _essence(step: StepSpec) -> StepSpec:
    step = unlearned_step(step)
    return msgspec.structs.replace(step, uses={}, takes=None, hedge=None, learned={})


def _hand_down(new: State, old: State, was: int, agents: frozenset[str]) -> None:
    """Let nested workflows inherit from those that stood at the same paths."""
    live = old.live.get(was)
    if live is not None:
        new.heirs.update((path, (child, agents)) for path, child in live.children.items())


def _agents_of(node: Node) -> frozenset[str]:
    if node.team is not None:
        return frozenset(node.team_agents)
    if node.child is not None:
        return frozenset[str]().union(*(_agents_of(inner) for inner in node.child.nodes))
    return frozenset(node.job.agents) if node.job is not None else frozenset()
