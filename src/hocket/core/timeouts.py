"""How it is worded that a plan took too long, and how that is read in why a run has failed.

Runs of any age are read, so what is read here is what has ever been written.
"""

from __future__ import annotations

import re
from typing import Final

from hocket.core.values import format_duration

_PLAN: Final = r"plan (['\"]).*?\1 took longer than its "
_STEP: Final = "took longer than its timeout of "
"""How `hocket.core.jobs` begins with it that a call took too long."""

_plan_timed_out: Final = re.compile(_PLAN).match
# What an agent says comes after words of ours: it is not taken for one of these.
_timed_out: Final = re.compile(rf"(?:step '[^']*' failed: |item \d+: )*(?:{_PLAN}|{_STEP})").match


def plan_too_long(plan: str, timeout: int) -> str:
    """Say that a plan took longer than it may."""
    return f"plan {plan!r} took longer than its {format_duration(timeout)}"


def plan_timed_out(reason: str) -> bool:
    """Tell by why a run has failed whether its plan took longer than it may."""
    return _plan_timed_out(reason) is not None


def timed_out(reason: str) -> bool:
    """Tell by why a run has failed whether it did by a timeout: its plan's, or that of a step."""
    return _timed_out(reason) is not None
