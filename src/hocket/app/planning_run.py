"""Tells a planning run from others."""

from __future__ import annotations

from typing import Final

from hocket.core.run import RunMachine

PLANNING: Final = "planning"
"""The name of every planning run's plan."""

_STEPS: Final = frozenset({"context", "read", "draft", "check", "mend"})


def is_planning(machine: RunMachine) -> bool:
    """Tell whether a run is a planning run."""
    spec = machine.spec
    return spec.name == PLANNING and {step.name for step in spec.workflow.steps} == _STEPS
