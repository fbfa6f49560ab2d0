"""Shows how two specs differ, for whoever is told that a file was changed under a run.

It goes step by step and agent by agent, so that a plan of 100,000 steps of which one changed is
compared at once and shown in a few lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

import msgspec

from hocket.core.specs import RunSpec
from hocket.core.values import Json

MOST_LINES: Final = 400


def spec_diff(old: RunSpec, new: RunSpec, *, most: int = MOST_LINES) -> str:
    """Give a unified diff of two specs; "" if they are equal.

    Args:
        old: What the run began with.
        new: What is there now.
        most: The most lines; what is left out is counted.
    """
    lines: list[str] = []
    left_out = 0
    for name, before, after in _sections(old, new):
        if before == after:
            continue
        if len(lines) >= most:
            left_out += 1
            continue
        lines.extend(
            difflib.unified_diff(
                _text(before), _text(after), f"then: {name}", f"now: {name}", lineterm="", n=2
            )
        )
    if len(lines) > most:
        lines[most:] = ["…"]
    if left_out:
        lines.append(f"… and {left_out:,} more parts differ")
    return "\n".join(lines)


def _sections(old: RunSpec, new: RunSpec) -> Iterator[tuple[str, Json, Json]]:
    """Give each part of both specs under its name; None where there is none."""
    a, b = msgspec.to_builtins(old), msgspec.to_builtins(new)
    for spec in (a, b):
        spec.pop("source", None)
    steps = [{step["name"]: step for step in spec["workflow"].pop("steps")} for spec in (a, b)]
    agents = [spec.pop("agents", {}) for spec in (a, b)]
    yield "plan", a, b
    for what, (before, after) in (("agents", agents), ("steps", steps)):
        for name in dict.fromkeys((*before, *after)):
            yield f"{what}.{name}", before.get(name), after.get(name)
    if list(steps[0]) != list(steps[1]) and steps[0].keys() == steps[1].keys():
        yield "order of steps", list(steps[0]), list(steps[1])


def _text(value: Json) -> list[str]:
    if value is None:
        return []
    encoded = msgspec.json.encode(value, order="sorted")
    return msgspec.json.format(encoded, indent=2).decode().splitlines()
