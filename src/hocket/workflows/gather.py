"""Gather: a step that calls nobody, and gives what its wants have given by the time it begins.

What others make of it they make of the same, however late their own calls leave, or leave again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hocket.core.errors import Fault
from hocket.core.values import Json
from hocket.workflows.progress import FAILED, PENDING, SKIPPED, SUCCEEDED
from hocket.workflows.shape import Node
from hocket.workflows.state import State

LATE: Final = "late"
"""Why something is missing that may come yet."""

_UNUSED: Final = (PENDING, FAILED, SKIPPED)


def gathered(state: State, node: Node) -> Json:
    """Give what a step's wants have given so far, and why the others have not, all by name.

    ``there`` has outputs, ``missing`` says what went wrong, and ``skipped`` are those that were
    not to be done: by their own ``when``, or that of a step that they need.
    """
    progress = state.progress
    there: dict[str, Json] = {}
    missing: dict[str, Json] = {}
    skipped: dict[str, Json] = {}
    for index in node.wants:
        name, status = state.shape.nodes[index].spec.name, progress.status[index]
        cause = progress.skipped_by.get(index, index)
        if status == SUCCEEDED:
            there[name] = progress.value(index)
        elif status == FAILED:
            missing[name] = f"failed: {progress.faults[index].message}"
        elif status == SKIPPED and progress.status[cause] == FAILED:
            missing[name] = state.skip_reason(index)
        elif status == SKIPPED:
            skipped[name] = state.skip_reason(index)
        else:
            missing[name] = LATE
    return {"there": there, "missing": missing, "skipped": skipped}


def nobody_gave(state: State, node: Node) -> Fault | None:
    """Say that all those of a step's wants that were to be done have failed, if that is so.

    What nobody has contributed to is not worth a call; where something may come yet, or nothing
    was to be done, it is for others to say.
    """
    found = gathered(state, node)
    missing = found["missing"]
    if found["there"] or not missing or LATE in missing.values():
        return None
    told = "; ".join(f"{name}: {why}" for name, why in missing.items())
    return Fault(kind="failed", message=f"there is no contribution at all: {told}")


def to_gather_again(state: State, reopened: Iterable[int]) -> list[int]:
    """Name what was gathered without steps that are done again now, and has helped nobody yet."""
    progress, nodes = state.progress, state.shape.nodes
    found: dict[int, None] = {}
    for index in reopened:
        for i in nodes[index].wanters:
            unused = all(progress.status[d] in _UNUSED for d in nodes[i].dependents)
            if nodes[i].spec.kind == "gather" and progress.status[i] == SUCCEEDED and unused:
                found[i] = None
    return list(found)
