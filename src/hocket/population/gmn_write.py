"""Writes a model as GMN, so that reading it gives the same model: every number is kept exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from math import prod
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from hocket.core.errors import Refused
from hocket.population.gmn_graph import MOST_NAME
from hocket.population.gmn_values import MOST_VALUES
from hocket.population.model import SETTINGS, Model
from hocket.population.policies import every_policy
from hocket.population.transitions import Dense, Grid, Transition

_BARE = re.compile(r"[A-Za-z_][\w.-]*")
_TAKEN: Final = ("true", "false", "null")


class _Node(NamedTuple):
    id: str
    type: str
    about: dict[str, Any]


class _Edge(NamedTuple):
    source: str
    target: str
    type: str


def to_gmn(model: Model, form: Literal["text", "json"] = "text") -> str:
    """Write a model as GMN; `parse_gmn` gives it back, number for number.

    Args:
        model: The model; parts without a name get one.
        form: "text" or "json".

    Raises:
        Refused: if it is too large to be read again, or there is no such form.
    """
    if form not in ("text", "json"):
        raise Refused(f'there is no form {form!r} of GMN; use "text" or "json"')
    writing = _Writing(model)
    size = sum(_count(node.about) for node in writing.nodes)
    if size > MOST_VALUES:
        raise Refused(
            f"the model has {size:,} numbers, and GMN holds {MOST_VALUES:,}; "
            "use save_model(model, 'model.npz')"
        )
    return _text(writing) if form == "text" else _json(writing)


class _Writing:
    """The nodes and edges of a model."""

    def __init__(self, model: Model) -> None:
        self.nodes: list[_Node] = []
        self.edges: list[_Edge] = []
        self._ids: set[str] = set()
        self._model = model
        factors = self._things("state", model.names.factors, model.states, model.names.states)
        modalities = self._things(
            "observation", model.names.modalities, model.observations, model.names.observations
        )
        for modality, name in enumerate(modalities):
            self._likelihood(modality, name, factors)
        for factor, name in enumerate(factors):
            self._transition(factor, name, factors)
        for modality, name in enumerate(modalities):
            if model.C[modality].any() or model.C[modality].ndim > 1:
                table = self._node(f"{name}_wanted", "preference")
                table.about["values"] = model.C[modality].tolist()
                self.edges.append(_Edge(table.id, name, "influences"))
        for factor, name in enumerate(factors):
            self._belief(factor, name)
        self._policy()

    def _node(self, wanted: str, kind: str) -> _Node:
        name, number = wanted, 2
        while name in self._ids:
            name, number = f"{wanted}_{number}", number + 1
        self._ids.add(name)
        self.nodes.append(_Node(name, kind, {}))
        return self.nodes[-1]

    def _things(
        self, kind: str, labels: tuple[str, ...], sizes: Iterable[int], names: tuple[Any, ...]
    ) -> list[str]:
        made = []
        for number, size in enumerate(sizes):
            label = labels[number] if labels else f"{kind}{number + 1}"
            node = self._node(label if len(label) < MOST_NAME // 2 else f"{kind}{number + 1}", kind)
            move = self._model.B[number] if kind == "state" else None
            if number < len(names) and names[number]:
                node.about["names"] = list(names[number])
            elif isinstance(move, Grid):
                node.about["grid"] = [move.height, move.width]
            else:
                node.about["size"] = size
            if node.id != label:
                node.about["label"] = label
            made.append(node.id)
        return made

    def _likelihood(self, modality: int, name: str, factors: list[str]) -> None:
        model = self._model
        table = model.A[modality]
        node = self._node(f"{name}_seen", "likelihood")
        same = table.ndim == 2 and table.shape[0] == table.shape[1]
        identity = same and np.array_equal(table, np.eye(len(table)))
        node.about["values"] = "identity" if identity else table.tolist()
        if model.pA is not None:
            node.about["dirichlet"] = model.pA[modality].tolist()
        for factor in model.A_dependencies[modality]:
            self.edges.append(_Edge(node.id, factors[factor], "depends_on"))
        self.edges.append(_Edge(node.id, name, "generates"))

    def _transition(self, factor: int, name: str, factors: list[str]) -> None:
        model, move = self._model, self._model.B[factor]
        node = self._node(f"{name}_moved", "transition")
        node.about.update(_moved(move, "grid" in self._about(name)))
        if model.pB is not None:
            node.about["dirichlet"] = model.pB[factor].tolist()
        self.edges.append(_Edge(node.id, name, "updates"))
        depends = model.B_dependencies[factor]
        for other in depends if len(depends) > 1 else ():
            self.edges.append(_Edge(node.id, factors[other], "depends_on"))
        names = model.names.actions[factor] if factor < len(model.names.actions) else ()
        if move.actions > 1 or names:
            action = self._node(f"{name}_action", "action")
            action.about.update({"names": list(names)} if names else {"size": move.actions})
            self.edges.append(_Edge(node.id, action.id, "depends_on"))

    def _about(self, name: str) -> dict[str, Any]:
        return next(node.about for node in self.nodes if node.id == name)

    def _belief(self, factor: int, name: str) -> None:
        model = self._model
        believed = model.D[factor]
        node = self._node(f"{name}_first", "belief")
        even = np.array_equal(believed, np.ones(len(believed)) / len(believed))
        node.about["values"] = "uniform" if even else believed.tolist()
        if model.pD is not None:
            node.about["dirichlet"] = model.pD[factor].tolist()
        self.edges.append(_Edge(node.id, name, "influences"))

    def _policy(self) -> None:
        model = self._model
        about = self._node("policy", "policy").about
        joint = float(prod(model.actions))
        every = joint**model.horizon == len(model.policies) and np.array_equal(
            model.policies, every_policy(model.actions, model.horizon)
        )
        if every:
            about["length"] = model.horizon
        else:
            about["policies"] = model.policies.tolist()
        if not np.array_equal(model.E, np.full(len(model.E), 1 / len(model.E))):
            about["habits"] = model.E.tolist()
        about.update({name: getattr(model, name) for name in SETTINGS})


def _moved(move: Transition, on_grid: bool) -> dict[str, Any]:
    """The properties of a transition; moves on a grid whose cells have names are lists."""
    if isinstance(move, Dense):
        table = move.table
        stays = table.ndim == 3 and table.shape[2] == 1
        if stays and np.array_equal(table[..., 0], np.eye(len(table))):
            return {"values": "identity"}
        return {"values": table.tolist()}
    if isinstance(move, Grid) and on_grid:
        about: dict[str, Any] = {"values": "grid", "slip": float(move.slip)}
        about["moves"] = [list(map(int, step)) for step in move.moves]
        if move.walls is not None:
            about["walls"] = np.argwhere(move.walls).tolist()
        return about
    lists = move.lists() if isinstance(move, Grid) else move
    return {"next": lists.next.tolist(), "weight": lists.weight.tolist()}


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1


def _json(writing: _Writing) -> str:
    nodes = [
        json.dumps({"id": node.id, "type": node.type, "properties": node.about})
        for node in writing.nodes
    ]
    edges = [json.dumps(edge._asdict()) for edge in writing.edges]
    lists = (
        f'"{key}": [\n  ' + ",\n  ".join(rows) + "\n ]"
        for key, rows in (("nodes", nodes), ("edges", edges))
    )
    return "{" + ",\n ".join(lists) + "}\n"


def _text(writing: _Writing) -> str:
    lines = ["[nodes]"]
    for node in writing.nodes:
        about = ", ".join(f"{key}: {_written(value)}" for key, value in node.about.items())
        lines.append(f"{_word(node.id)}: {node.type} {{{about}}}")
    lines += ["", "[edges]"]
    lines += [f"{_word(e.source)} -> {_word(e.target)}: {e.type}" for e in writing.edges]
    return "\n".join(lines) + "\n"


def _written(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return _word(value) if isinstance(value, str) else json.dumps(value)


def _word(text: str) -> str:
    """A name as it is written: bare if nothing in it means something else."""
    plain = _BARE.fullmatch(text) is not None and text not in _TAKEN
    return text if plain else json.dumps(text, ensure_ascii=False)
