"""GMN, a notation for generative models: nodes and edges, as text or as JSON, to a model and back.

Nodes are states, observations and actions, and the tables between them: likelihoods, transitions,
preferences, beliefs; one node of type policy says how to infer, plan and choose.
Edges say what a table depends on and what it gives.
A text may come from anybody, a language model too: nothing in it is evaluated, and there are bounds
on its length, its nodes, its tables and its policies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hocket.population.checks import Remark
from hocket.population.gmn_build import Building
from hocket.population.gmn_graph import read_graph
from hocket.population.gmn_values import Faults, Stop
from hocket.population.gmn_write import to_gmn
from hocket.population.model import Model

__all__ = ["Reading", "parse_gmn", "read_gmn", "to_gmn"]


@dataclass(frozen=True)
class Reading:
    """A model that was read, with what is odd about it.

    Fields:
        model: The model.
        remarks: What is odd about it; of a GMN only what may be meant.
        place: Gives ``file:line:column`` of a part of the model, as ("A", 0).
    """

    model: Model
    remarks: tuple[Remark, ...]
    place: Callable[[tuple[str | int, ...]], str]


def parse_gmn(text: str, name: str = "<text>") -> Model:
    """Make a model of a GMN, in text or in JSON.

    Args:
        text: The notation.
        name: What it is called in messages.

    Raises:
        SpecError: if it cannot be read, is no model, or the model is of no use; with a line
            ``name:line:column: message`` for each problem.
    """
    return read_gmn(text, name).model


def read_gmn(text: str, name: str = "<text>") -> Reading:
    """Make a model of a GMN as `parse_gmn` does, and keep what is odd about it.

    Raises:
        SpecError: as there.
    """
    faults = Faults(text, name)
    graph = read_graph(text, faults)
    try:
        building = Building(graph, faults)
        model = building.model()
        remarks = building.errors(model)
    except Stop:
        faults.settle()
        raise
    faults.settle()
    return Reading(model, tuple(remarks), lambda where: faults.place(building.place(where)))
