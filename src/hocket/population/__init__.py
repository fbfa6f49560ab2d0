"""Active-inference agents by the tens of thousands; needs ``pip install 'hocket[population]'``.

A `Model` says how a kind of agent takes the world to be.
A `Population` runs many agents that share one, in a world, on all cores or on a GPU.
The names of this package come when they are asked for, so that a model can be checked without JAX.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hocket.core.errors import Refused

if TYPE_CHECKING:
    from hocket.population.coalitions import Coalitions as Coalitions
    from hocket.population.devices import prepare as prepare
    from hocket.population.group import Group as Group
    from hocket.population.model import Model as Model
    from hocket.population.model import Names as Names
    from hocket.population.population import Population as Population
    from hocket.population.population import Series as Series
    from hocket.population.population import Snapshot as Snapshot
    from hocket.population.sharing import Sharing as Sharing
    from hocket.population.slots import Slots as Slots
    from hocket.population.transitions import Dense as Dense
    from hocket.population.transitions import Grid as Grid
    from hocket.population.transitions import Lists as Lists
    from hocket.population.transitions import Transition as Transition
    from hocket.population.worlds.world import Agents as Agents
    from hocket.population.worlds.world import World as World
    from hocket.population.worlds.world import WorldState as WorldState

_HOMES = {
    "Agents": "worlds.world",
    "Coalitions": "coalitions",
    "Dense": "transitions",
    "Grid": "transitions",
    "Group": "group",
    "Lists": "transitions",
    "Model": "model",
    "Names": "model",
    "Population": "population",
    "Series": "population",
    "Sharing": "sharing",
    "Slots": "slots",
    "Snapshot": "population",
    "Transition": "transitions",
    "World": "worlds.world",
    "WorldState": "worlds.world",
    "prepare": "devices",
}

__all__ = [
    "Agents",
    "Coalitions",
    "Dense",
    "Grid",
    "Group",
    "Lists",
    "Model",
    "Names",
    "Population",
    "Series",
    "Sharing",
    "Slots",
    "Snapshot",
    "Transition",
    "World",
    "WorldState",
    "prepare",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{home}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("jax", "jaxlib", "numpy"):
            raise
        raise Refused(
            f"populations need {error.name}, which is not installed: "
            "pip install 'hocket[population]'"
        ) from error


def __dir__() -> list[str]:
    return sorted(__all__)
