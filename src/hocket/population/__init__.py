"""Active-inference agents by the tens of thousands; needs ``pip install 'hocket[population]'``.

A `Model` says how a kind of agent takes the world to be.
A `Population` runs many agents that share one, in a world, on all cores or on a GPU.
The names of this package come when they are asked for, so that a model can be checked without JAX.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hocket.population.model import Model as Model
    from hocket.population.model import Names as Names
    from hocket.population.transitions import Dense as Dense
    from hocket.population.transitions import Grid as Grid
    from hocket.population.transitions import Lists as Lists
    from hocket.population.transitions import Transition as Transition

_HOMES = {
    "Dense": "transitions",
    "Grid": "transitions",
    "Lists": "transitions",
    "Model": "model",
    "Names": "model",
    "Transition": "transitions",
}

__all__ = [
    "Dense",
    "Grid",
    "Lists",
    "Model",
    "Names",
    "Transition",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
