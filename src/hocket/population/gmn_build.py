"""Compiles the graph of a GMN to a model; every problem has the line of its node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from hocket.core.errors import SpecError
from hocket.population.checks import Remark, inspect
from hocket.population.gmn_graph import Graph, Node
from hocket.population.gmn_moves import transition_of
from hocket.population.gmn_parts import (
    Joined,
    Things,
    clean,
    joined,
    number,
    numbers,
    shown,
    things,
    whole,
)
from hocket.population.gmn_tables import WALL, Room, Table, places, spread, table_of
from hocket.population.gmn_values import Faults, Value
from hocket.population.model import Model, Names
from hocket.population.policies import sampled_policies

MOST_POLICIES: Final = 100_000
MOST_STEPS: Final = 1_000
_MOST_PLANNED: Final = 2_000_000
"""Actions of all policies together."""
_SETTINGS: Final = (
    "gamma",
    "alpha",
    "inference",
    "iterations",
    "window",
    "utility",
    "state_information",
    "parameter_information",
    "selection",
    "sampling",
)
_ONE_ACTION: Final = "no action"

Where = tuple[str | int, ...]


class Building:
    """A model while it is made of a graph.

    Args:
        graph: The graph.
        faults: Where problems go.

    Attributes:
        places: Where in the text each part of the model stands.
    """

    def __init__(self, graph: Graph, faults: Faults) -> None:
        self._graph = graph
        self._faults = faults
        self._room = Room(faults)
        self.places: dict[Where, int] = {}
        for node in graph.nodes.values():
            clean(node, faults)
        self._factors = self._things("state")
        self._modalities = self._things("observation")
        self._controls = self._things("action")
        self._joined = joined(graph, faults)

    def model(self) -> Model:
        """Make the model.

        Raises:
            SpecError: if the graph says something that cannot be.
            Stop: if there is too much wrong with it, or too much asked for.
        """
        likely = self._of("likelihood", self._modalities, needed=True)
        moving = self._of("transition", self._factors, needed=True)
        preferred = self._of("preference", self._modalities)
        believed = self._of("belief", self._factors)
        self._faults.settle()
        fields: dict[str, Any] = {
            "A": self._likelihoods(likely),
            "B": self._transitions(moving),
            "C": [
                _wanted(about, preferred.get(name), self._faults)
                for name, about in self._modalities.items()
            ],
            "D": [
                _believed(about, believed.get(name), self._faults)
                for name, about in self._factors.items()
            ],
        }
        numbers_of = {name: place for place, name in enumerate(self._factors)}
        for letter, tables in (("A", likely), ("B", moving)):
            key = f"{letter}_dependencies"
            fields[key] = [
                [numbers_of[name] for name in self._depends(node)] for node in tables.values()
            ]
        actions = [self._action(moving[name]) for name in self._factors]
        fields["names"] = self._names(actions)
        fields |= self._learned(likely, moving, believed)
        fields |= self._policy(actions)
        self._faults.settle()
        return self._checked(fields)

    def _checked(self, fields: dict[str, Any]) -> Model:
        """Make the model, and look at it."""
        try:
            model = Model.of(**fields)
        except SpecError as error:
            for problem in error.problems:
                self._say(problem.where, problem.message, problem.hint)
            self._faults.settle()
            raise
        return model

    def errors(self, model: Model) -> list[Remark]:
        """Look at a model: what makes it useless becomes a problem, the rest is given back."""
        remarks = inspect(model)
        for remark in remarks:
            if remark.kind == "error":
                self._faults.say(self.place(remark.where), remark.message, remark.hint)
        return [remark for remark in remarks if remark.kind == "warning"]

    def place(self, where: Where) -> int:
        """Where a part of the model stands in the text; the beginning if nobody wrote it."""
        for end in range(len(where), 0, -1):
            if where[:end] in self.places:
                return self.places[where[:end]]
        return self.places.get(("policies",), 0)

    def _say(self, where: Where, message: str, hint: str) -> None:
        known = next((end for end in range(len(where), 0, -1) if where[:end] in self.places), 0)
        rest = " ".join(self._named(where, part) for part in where[known or 1 :])
        name = self._called(where)
        self._faults.say(self.place(where), f"{name} {rest} {message}".replace("  ", " "), hint)

    def _named(self, where: Where, part: str | int) -> str:
        """A part of a place; of a column the names of its states."""
        said = str(part)
        if where[0] != "A" or not said.startswith("column "):
            return said
        name = list(self._modalities)[int(where[1])]
        node = next(
            n for n in _nodes(self._graph, "likelihood") if self._joined[n.id].gives == name
        )
        indices = map(int, said.removeprefix("column ").split(","))
        states = zip(self._depends(node), indices, strict=True)
        return "column " + ", ".join(_state(self._factors[f], at) for f, at in states)

    def _called(self, where: Where) -> str:
        kinds = {
            "A": ("likelihood of", self._modalities),
            "B": ("transition of", self._factors),
            "C": ("preference for", self._modalities),
            "D": ("belief about", self._factors),
            "pA": ("dirichlet of", self._modalities),
            "pB": ("dirichlet of", self._factors),
            "pD": ("dirichlet of", self._factors),
        }
        if len(where) > 1 and where[0] in kinds and isinstance(where[1], int):
            word, every = kinds[str(where[0])]
            return f"{word} {list(every)[where[1]]!r}:"
        return f"{where[0]}:"

    def _things(self, kind: str) -> dict[str, Things]:
        nodes = _nodes(self._graph, kind)
        if not nodes and kind != "action":
            hint = f"write under [nodes]: {kind}1: {kind} {{names: [...]}}"
            self._faults.say(0, f"there is no {kind} node", hint)
        return {node.id: things(node, self._faults) for node in nodes}

    def _of(
        self, kind: str, every: Mapping[str, Things], *, needed: bool = False
    ) -> dict[str, Node]:
        """The nodes of a kind, by what they are tables of; each has one at most."""
        found: dict[str, Node] = {}
        for node in _nodes(self._graph, kind):
            gives = self._joined[node.id].gives
            if not gives:
                target, edge = (
                    ("state", "updates")
                    if every is self._factors
                    else (
                        "observation",
                        "generates" if kind == "likelihood" else "influences",
                    )
                )
                hint = f"write under [edges]: {node.id} -> {target}: {edge}"
                self._faults.say(node.at, f"{node.id!r} is joined to no {target}", hint)
            elif gives in found:
                message = f"{gives!r} has two: {found[gives].id!r} and {node.id!r}"
                self._faults.say(node.at, message, "leave one out")
            else:
                found[gives] = node
        for name, about in every.items() if needed else ():
            if name not in found:
                edge = "generates" if kind == "likelihood" else "updates"
                hint = f"write {name}_{kind}: {kind} {{values: identity}} and the edge "
                hint += f"{name}_{kind} -> {name}: {edge}"
                self._faults.say(about.node.at, f"{name!r} has no {kind}", hint)
        letter = {"likelihood": "A", "transition": "B", "preference": "C", "belief": "D"}[kind]
        for place, name in enumerate(every):
            if name in found:
                self.places[letter, place] = _spot(found[name])
                self.places.setdefault((letter,), _spot(found[name]))
                self.places[f"p{letter}", place] = _spot(found[name], "dirichlet")
        return {name: found[name] for name in every if name in found}

    def _depends(self, node: Node) -> list[str]:
        """The states that a table depends on; a transition's own one is first if not named."""
        about: Joined = self._joined[node.id]
        if node.type == "transition" and about.gives not in about.depends:
            return [about.gives, *about.depends]
        return about.depends

    def _table(self, node: Node) -> Table:
        gives = self._joined[node.id].gives
        depends = self._depends(node)
        axes = [(name, self._factors[name]) for name in depends]
        if node.type != "transition":
            return Table(node, self._modalities[gives], axes, None, self._faults, self._room)
        axes.append(self._action(node))
        own = depends.index(gives)
        return Table(node, self._factors[gives], axes, own, self._faults, self._room)

    def _action(self, node: Node) -> tuple[str, Things]:
        """The action that moves a factor; a lone one that does nothing if there is none."""
        name = self._joined[node.id].by
        return (name, self._controls[name]) if name else (_ONE_ACTION, Things(node, "", 1))

    def _likelihoods(self, nodes: Mapping[str, Node]) -> list[Any]:
        for node in nodes.values():
            if not self._depends(node):
                hint = f"write under [edges]: {node.id} -> STATE: depends_on"
                self._faults.say(node.at, f"{node.id!r} depends on no state", hint)
        return [table_of(self._table(node), ("identity", "uniform")) for node in nodes.values()]

    def _transitions(self, nodes: Mapping[str, Node]) -> list[Any]:
        moved: dict[str, str] = {}
        for node in nodes.values():
            name = self._joined[node.id].by
            if name in moved:
                message = f"action {name!r} moves both {moved[name]!r} and {node.id!r}"
                self._faults.say(node.at, message, "give each transition an action of its own")
            if name:
                moved[name] = node.id
        for name, about in self._controls.items():
            if name not in moved:
                hint = f"write under [edges]: TRANSITION -> {name}: depends_on"
                self._faults.say(about.node.at, f"action {name!r} moves nothing", hint)
        return [transition_of(self._table(node)) for node in nodes.values()]

    def _preferences(self, nodes: Mapping[str, Node]) -> list[Any]:
        return [
            _wanted(about, nodes[name], self._faults) if name in nodes else np.zeros(about.size)
            for name, about in self._modalities.items()
        ]

    def _beliefs(self, nodes: Mapping[str, Node]) -> list[Any]:
        return [
            _believed(about, nodes.get(name), self._faults) for name, about in self._factors.items()
        ]

    def _names(self, actions: list[tuple[str, Things]]) -> Names:
        return Names(
            factors=tuple(about.label for about in self._factors.values()),
            states=tuple(about.names for about in self._factors.values()),
            modalities=tuple(about.label for about in self._modalities.values()),
            observations=tuple(about.names for about in self._modalities.values()),
            actions=tuple(about.names for _, about in actions),
        )

    def _learned(self, *kinds: Mapping[str, Node]) -> dict[str, Any]:
        """Dirichlet parameters: of all tables of a kind, or of none."""
        found: dict[str, Any] = {}
        everything = (self._modalities, self._factors, self._factors)
        for key, nodes, every in zip(("pA", "pB", "pD"), kinds, everything, strict=True):
            given = {
                name: node.about.data["dirichlet"]
                for name, node in nodes.items()
                if "dirichlet" in node.about.data
            }
            if not given:
                continue
            for name in every:
                if name not in given:
                    at = next(iter(given.values())).at
                    message = f"{name!r} has no dirichlet, and others of its kind have"
                    self._faults.say(at, message, "give it to all or to none")
            found[key] = [
                numbers(value, self._faults, "table of Dirichlet parameters")
                for value in given.values()
            ]
        return found

    def _policy(self, actions: list[tuple[str, Things]]) -> dict[str, Any]:
        nodes = _nodes(self._graph, "policy")
        for node in nodes[1:]:
            self._faults.say(node.at, "there are two policy nodes", "join them into one")
        about = nodes[0].about if nodes else Value({}, 0)
        self.places |= {(key,): value.at for key, value in about.data.items()}
        self.places["policies",] = about.data.get("policies", about).at
        if "habits" in about.data:
            self.places["E",] = about.data["habits"].at
        fields: dict[str, Any] = {
            key: about.data[key].data for key in _SETTINGS if key in about.data
        }
        plans = _plans(about, actions, self._faults)
        if "habits" in about.data:
            fields["E"] = numbers(about.data["habits"], self._faults, "list of probabilities")
        return fields | plans


def _plans(about: Value, actions: list[tuple[str, Things]], faults: Faults) -> dict[str, Any]:
    """The policies: all of a length, some of these, or those that are written out."""
    ways = [key for key in ("policies", "sampled") if key in about.data]
    length = about.data.get("length")
    if "policies" in about.data:
        if len(ways) > 1 or length is not None:
            hint = "leave length and sampled out"
            faults.say(about.data["policies"].at, "policies are written out already", hint)
        return {"policies": _written(about.data["policies"], actions, faults)}
    steps = 1 if length is None else whole(length, faults, 1, MOST_STEPS)
    sizes = [thing.size for _, thing in actions]
    joint = float(np.prod(np.array(sizes, float)))
    if joint > MOST_POLICIES:
        faults.say(about.at, f"there are {joint:,.0f} joint actions", "let fewer factors be moved")
        return {}
    if "sampled" in about.data:
        count = whole(about.data["sampled"], faults, 1, MOST_POLICIES)
        seed = whole(about.data["seed"], faults, 0, 2**32 - 1) if "seed" in about.data else 0
        if count * steps * len(sizes) > _MOST_PLANNED:
            faults.say(about.data["sampled"].at, "these are too many policies of this length")
            return {}
        return {"policies": sampled_policies(sizes, steps, count, seed=seed)}
    if joint**steps > MOST_POLICIES if joint > 1 and steps < 64 else joint > 1:
        at = about.at if length is None else length.at
        message = f"there are more than {MOST_POLICIES:,} policies of {steps} steps"
        faults.say(at, message, "look less far ahead, or write sampled: 1000")
        return {}
    return {"policy_length": steps}


def _written(value: Value, actions: list[tuple[str, Things]], faults: Faults) -> Any:
    """Policies that are written out: each a list of steps, each step an action of each factor.

    A step may leave out factors that nothing moves: one action, a list, or a map by action node.
    """
    moved = [place for place, (_, about) in enumerate(actions) if about.size > 1]
    plans: list[list[list[int]]] = []
    for plan in value.data if isinstance(value.data, list) else []:
        steps = plan.data if isinstance(plan.data, list) else []
        if not steps:
            faults.say(plan.at, f"{shown(plan)} is no list of steps", "write [[up], [down]]")
        plans.append([_step(step, actions, moved, faults) for step in steps])
    if not plans or len({len(plan) for plan in plans}) > 1:
        faults.say(value.at, "policies are no list of policies of equal length")
        return None
    return np.array(plans, np.int32)


def _step(
    value: Value, actions: list[tuple[str, Things]], moved: list[int], faults: Faults
) -> list[int]:
    row = [0] * len(actions)
    if isinstance(value.data, dict):
        known = {name: place for place, (name, _) in enumerate(actions)}
        given = {known[name]: item for name, item in value.data.items() if name in known}
        if len(given) < len(value.data):
            faults.say(value.at, "a step names what is no action", f"there are {', '.join(known)}")
    else:
        items = value.data if isinstance(value.data, list) else [value]
        order = moved if len(items) == len(moved) else range(len(actions))
        if len(items) not in (len(moved), len(actions)):
            faults.say(value.at, f"a step has {len(items)} actions for {len(moved)} factors")
        given = dict(zip(order, items, strict=False))
    for place, item in given.items():
        found = places(actions[place][1], item, faults)
        if len(found) == 1:
            row[place] = found[0]
        elif found:
            faults.say(item.at, "a step is one action of each factor")
    return row


def _wanted(about: Things, node: Node | None, faults: Faults) -> Any:
    """Preferences: by name, the others 0, or for all, perhaps for each step ahead."""
    if node is None:
        return np.zeros(about.size)
    value: Value | None = node.about.data.get("values")
    if value is None:
        faults.say(node.at, f"{node.id!r} needs values", "write {values: {food: 2}}")
        return np.zeros(about.size)
    if not isinstance(value.data, dict):
        return numbers(value, faults, "list of preferences")
    nats = np.zeros(about.size)
    for name, share in value.data.items():
        for place in places(about, Value(name, value.keys[name]), faults):
            nats[place] = number(share, faults)
    return nats


def _believed(about: Things, node: Node | None, faults: Faults) -> Any:
    """What is believed at the beginning; nobody begins in a wall."""
    free = np.ones(about.size)
    if about.map is not None:
        free[about.map == WALL] = 0
    if node is None:
        return free / max(free.sum(), 1)
    ways = [key for key in ("values", "at") if key in node.about.data]
    if len(ways) != 1:
        if ways or "dirichlet" not in node.about.data:
            faults.say(node.at, f"{node.id!r} needs one of values, at", "write {values: uniform}")
        return free / max(free.sum(), 1)
    value = node.about.data[ways[0]]
    if ways == ["at"]:
        chosen = places(about, value, faults)
        made = np.zeros(about.size)
        made[chosen] = 1 / max(len(chosen), 1)
        return made
    if value.data == "uniform" and "uniform" not in about.index:
        return free / max(free.sum(), 1)
    return spread(about, value, 1.0, faults)


def _nodes(graph: Graph, kind: str) -> list[Node]:
    return [node for node in graph.nodes.values() if node.type == kind]


def _state(about: Things, number: int) -> str:
    return about.names[number] if about.names else str(number)


def _spot(node: Node, *keys: str) -> int:
    """Where a node's table is written, or the node."""
    for key in keys or ("values", "cases", "classes", "next", "at"):
        if key in node.about.data:
            return int(node.about.data[key].at)
    return node.at
