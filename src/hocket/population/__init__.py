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
    from hocket.population.checks import Remark as Remark
    from hocket.population.checks import inspect as inspect
    from hocket.population.coalitions import Coalitions as Coalitions
    from hocket.population.devices import prepare as prepare
    from hocket.population.examples import SCENARIOS as SCENARIOS
    from hocket.population.examples import Scenario as Scenario
    from hocket.population.examples import scenario as scenario
    from hocket.population.gmn import Reading as Reading
    from hocket.population.gmn import parse_gmn as parse_gmn
    from hocket.population.gmn import read_gmn as read_gmn
    from hocket.population.gmn import to_gmn as to_gmn
    from hocket.population.group import Group as Group
    from hocket.population.learning import Learning as Learning
    from hocket.population.model import Model as Model
    from hocket.population.model import Names as Names
    from hocket.population.model_files import load_model as load_model
    from hocket.population.model_files import save_model as save_model
    from hocket.population.pictures import draw_gif as draw_gif
    from hocket.population.pictures import draw_png as draw_png
    from hocket.population.pictures import draw_svg as draw_svg
    from hocket.population.policies import every_policy as every_policy
    from hocket.population.policies import sampled_policies as sampled_policies
    from hocket.population.population import Population as Population
    from hocket.population.population import Series as Series
    from hocket.population.population import Snapshot as Snapshot
    from hocket.population.pymdp_models import from_pymdp as from_pymdp
    from hocket.population.pymdp_models import to_pymdp as to_pymdp
    from hocket.population.reference import ReferenceAgent as ReferenceAgent
    from hocket.population.results import agents_table as agents_table
    from hocket.population.results import summary as summary
    from hocket.population.results import write_results as write_results
    from hocket.population.running import Checkpoints as Checkpoints
    from hocket.population.running import Outcome as Outcome
    from hocket.population.running import Progress as Progress
    from hocket.population.running import run as run
    from hocket.population.scenes import Scene as Scene
    from hocket.population.scenes import scene_of as scene_of
    from hocket.population.sharing import Sharing as Sharing
    from hocket.population.slots import Slots as Slots
    from hocket.population.transitions import Dense as Dense
    from hocket.population.transitions import Grid as Grid
    from hocket.population.transitions import Lists as Lists
    from hocket.population.transitions import Transition as Transition
    from hocket.population.worlds.adapters import GymnaxWorld as GymnaxWorld
    from hocket.population.worlds.adapters import JaxMARLWorld as JaxMARLWorld
    from hocket.population.worlds.adapters import as_jaxmarl as as_jaxmarl
    from hocket.population.worlds.gridmodel import grid_model as grid_model
    from hocket.population.worlds.gridworld import GridWorld as GridWorld
    from hocket.population.worlds.sampled import SampledWorld as SampledWorld
    from hocket.population.worlds.tasks import Episodes as Episodes
    from hocket.population.worlds.tasks import cue_chain as cue_chain
    from hocket.population.worlds.tasks import t_maze as t_maze
    from hocket.population.worlds.world import Agents as Agents
    from hocket.population.worlds.world import World as World
    from hocket.population.worlds.world import WorldState as WorldState

_HOMES = {
    "Agents": "worlds.world",
    "Checkpoints": "running",
    "Coalitions": "coalitions",
    "Dense": "transitions",
    "Episodes": "worlds.tasks",
    "Grid": "transitions",
    "GridWorld": "worlds.gridworld",
    "Group": "group",
    "GymnaxWorld": "worlds.adapters",
    "JaxMARLWorld": "worlds.adapters",
    "Learning": "learning",
    "Lists": "transitions",
    "Model": "model",
    "Names": "model",
    "Outcome": "running",
    "Population": "population",
    "Progress": "running",
    "Reading": "gmn",
    "ReferenceAgent": "reference",
    "Remark": "checks",
    "SCENARIOS": "examples",
    "SampledWorld": "worlds.sampled",
    "Scenario": "examples",
    "Scene": "scenes",
    "Series": "population",
    "Sharing": "sharing",
    "Slots": "slots",
    "Snapshot": "population",
    "Transition": "transitions",
    "World": "worlds.world",
    "WorldState": "worlds.world",
    "agents_table": "results",
    "as_jaxmarl": "worlds.adapters",
    "cue_chain": "worlds.tasks",
    "draw_gif": "pictures",
    "draw_png": "pictures",
    "draw_svg": "pictures",
    "every_policy": "policies",
    "from_pymdp": "pymdp_models",
    "grid_model": "worlds.gridmodel",
    "inspect": "checks",
    "load_model": "model_files",
    "parse_gmn": "gmn",
    "prepare": "devices",
    "read_gmn": "gmn",
    "run": "running",
    "sampled_policies": "policies",
    "save_model": "model_files",
    "scenario": "examples",
    "scene_of": "scenes",
    "summary": "results",
    "t_maze": "worlds.tasks",
    "to_gmn": "gmn",
    "to_pymdp": "pymdp_models",
    "write_results": "results",
}

__all__ = [
    "Agents",
    "Checkpoints",
    "Coalitions",
    "Dense",
    "Episodes",
    "Grid",
    "GridWorld",
    "Group",
    "GymnaxWorld",
    "JaxMARLWorld",
    "Learning",
    "Lists",
    "Model",
    "Names",
    "Outcome",
    "Population",
    "Progress",
    "Reading",
    "ReferenceAgent",
    "Remark",
    "SCENARIOS",
    "SampledWorld",
    "Scenario",
    "Scene",
    "Series",
    "Sharing",
    "Slots",
    "Snapshot",
    "Transition",
    "World",
    "WorldState",
    "agents_table",
    "as_jaxmarl",
    "cue_chain",
    "draw_gif",
    "draw_png",
    "draw_svg",
    "every_policy",
    "from_pymdp",
    "grid_model",
    "inspect",
    "load_model",
    "parse_gmn",
    "prepare",
    "read_gmn",
    "run",
    "sampled_policies",
    "save_model",
    "scenario",
    "scene_of",
    "summary",
    "t_maze",
    "to_gmn",
    "to_pymdp",
    "write_results",
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
