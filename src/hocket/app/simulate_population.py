"""What a population that is only simulated gives: all that one gives, with invented numbers.

So a plan whose later steps read it can be played to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hocket.config.population import AGENTS, KEPT, KEPT_TOLD, MAIN, TICKS
from hocket.core.values import FileRef, Json, digest

_NUMBERS: Final = ("free_energy", "expected_free_energy", "reward")
_OF_EXAMPLES: Final = ("reached", "hazard", "taken", "blocked")
"""What worlds of examples count, too."""


def invented(given: Json) -> dict[str, Json]:
    """Give what fits a population's output.

    Args:
        given: What the population is told, its templates filled in.
    """
    told: Mapping[str, Any] = given if isinstance(given, dict) else {}
    ticks = _whole(told.get("ticks"), TICKS)
    names = (*_NUMBERS, *(_OF_EXAMPLES if told.get("example") else ()))
    groups = _groups(told)
    numbers: dict[str, Json] = {name: {"first": 0.0, "last": 0.0, "mean": 0.0} for name in names}
    summary: dict[str, Json] = {
        "ticks": ticks,
        "stopped": False,
        "seed": _whole(told.get("seed"), 0),
        "dtype": told.get("dtype", "float32"),
        "world": {},
        "groups": [
            {
                "group": group,
                "agents": agents,
                "seen": {},
                "beliefs": {},
                "means": {**numbers, "alive": {"first": agents, "last": agents, "mean": agents}},
            }
            for group, agents in groups.items()
        ],
        "checksum": digest(b""),
        "pace": {
            "ticks_per_second": None,
            "agent_steps_per_second": None,
            "real_time_factor": None,
        },
        "memory": {},
        "versions": {},
    }
    course: dict[str, Json] = {
        group: {**{name: [0.0] for name in names}, "alive": [float(agents)]}
        for group, agents in groups.items()
    }
    return {
        "summary": summary,
        "means": {"ticks": [ticks], **course},
        "checksum": digest(b""),
        "files": {name: _empty(name) for name in _files(told)},
    }


def _groups(told: Mapping[str, Any]) -> dict[str, int]:
    """How many agents each group has; an example's own one is called as it is."""
    own = told.get("example") or MAIN
    groups = {str(own): _whole(told.get("agents"), AGENTS)}
    further = told.get("groups")
    for name, about in further.items() if isinstance(further, Mapping) else ():
        agents = about.get("agents") if isinstance(about, Mapping) else None
        groups[name] = _whole(agents, groups.get(name, AGENTS))
    return groups


def _files(told: Mapping[str, Any]) -> list[str]:
    form = told.get("format", "npz")
    names = [f"means.{form}", f"agents.{form}"]
    if told.get("keep"):
        names += [KEPT, KEPT_TOLD]
    if told.get("picture"):
        names.append(f"world.{told['picture']}")
    return names


def _empty(name: str) -> Json:
    held: Json = msgspec.to_builtins(FileRef(name=name, digest=digest(b""), size=0))
    return held


def _whole(value: object, otherwise: int) -> int:
    """A number that may have come of a template as a text."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
