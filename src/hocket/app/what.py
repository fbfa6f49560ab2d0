"""What can be run, as a Python program hands it over: a plan, or a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from hocket.config.builder import Plan
from hocket.core.specs import RunSpec

What: TypeAlias = Plan | RunSpec


def parts_of(what: What) -> tuple[Plan | None, RunSpec, Mapping[str, Any]]:
    """Give a plan, its spec, and the functions that it holds."""
    if isinstance(what, Plan):
        return what, what.spec(), what.live
    return None, what, {}
