"""Compiles the graph of a GMN to a model; every problem has the line of its node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from hocket.population.checks import Remark, inspect
from hocket.population.gmn_graph import Graph, Node
from hocket.population.gmn_mending import Where, judged, part_of
from hocket.population.gmn_moves import transition_of
from hocket.population.gmn_parts import (
    Joined,
    Things,
    clean,
    joined,
    number,
    numbers,
    things,
)
from hocket.population.gmn_plans import plans_of
from hocket.population.gmn_tables import WALL, Room, Table, places, spread, table_of
from hocket.population.gmn_values import Faults, Stop, Value
from hocket.population.model import SETTINGS, Model, Names

_ONE_ACTION: Final = "no action"


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
        self._spoilt: set[Where] = set()
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
        if not (self._factors and self._modalities):
            self._faults.settle()
        self._actions_moved(moving)
        actions = [self._action(moving.get(name)) for name in self._factors]
        fields: dict[str, Any] = {
            "A": self._each("A", self._modalities, likely, self._likelihood),
            "B": self._each(
                "B",
                self._factors,
                moving,
                lambda about, node: node and transition_of(self._table(node)),
            ),
            "C": self._each(
                "C",
                self._modalities,
                preferred,
                lambda about, node: _wanted(about, node, self._faults),
            ),
            "D": self._each(
                "D",
                self._factors,
                believed,
                lambda about, node: _believed(about, node, self._faults),
            ),
            "A_dependencies": self._numbers_of(self._modalities, likely),
            "B_dependencies": self._numbers_of(self._factors, moving),
            "names": self._names(actions),
        }
        fields |= self._learned(likely, moving, believed)
        fields |= self._policy(actions)
        sizes = [about.size for about in self._factors.values()]
        model = judged(
            fields,
            self._spoilt,
            sizes,
            [about.size for _, about in actions],
            lambda problem: self._say(problem.where, problem.message, problem.hint),
        )
        if model is None:
            self._faults.settle()
            raise Stop
        return model

    def _each(
        self,
        letter: str,
        every: Mapping[str, Things],
        nodes: Mapping[str, Node],
        make: Callable[[Things, Node | None], Any],
    ) -> list[Any]:
        """Make a table of each; None, and noted, where something is wrong with it."""
        made = []
        for place, (name, about) in enumerate(every.items()):
            before, node = self._faults.count, nodes.get(name)
            sound = about.sound and (node is None or self._around(node))
            table = make(about, node) if sound else None
            if table is None or self._faults.count > before:
                self._spoilt.add((letter, place))
                table = None
            made.append(table)
        return made

    def _around(self, node: Node) -> bool:
        """Whether nothing is wrong with what a table depends on."""
        if node.type not in ("likelihood", "transition"):
            return True
        names = (name for name in self._depends(node) if name in self._factors)
        moved = node.type != "transition" or self._action(node)[1].sound
        return moved and all(self._factors[name].sound for name in names)

    def _numbers_of(self, every: Mapping[str, Things], nodes: Mapping[str, Node]) -> list[Any]:
        """The factors that each table depends on."""
        numbers = {name: place for place, name in enumerate(self._factors)}
        return [
            [numbers[on] for on in self._depends(nodes[name])] if name in nodes else []
            for name in every
        ]

    def errors(self, model: Model) -> list[Remark]:
        """Look at a model: what makes it useless becomes a problem, the rest is given back."""
        remarks = inspect(model)
        for remark in remarks:
            if remark.kind == "error" and part_of(remark.where) not in self._spoilt:
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
        if not nodes and kind != "action" and self._graph.whole:
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
            if not gives and not self._graph.whole:
                continue
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
            if name not in found and self._graph.whole:
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

    def _action(self, node: Node | None) -> tuple[str, Things]:
        """The action that moves a factor; a lone one that does nothing if there is none."""
        node = node or Node("", "transition", Value({}, 0), 0)
        name = self._joined[node.id].by if node.id else ""
        return (name, self._controls[name]) if name else (_ONE_ACTION, Things(node, "", 1))

    def _likelihood(self, about: Things, node: Node | None) -> Any:
        if node is None:
            return None
        if not self._depends(node):
            if self._graph.whole:
                hint = f"write under [edges]: {node.id} -> STATE: depends_on"
                self._faults.say(node.at, f"{node.id!r} depends on no state", hint)
            return None
        return table_of(self._table(node), ("identity", "uniform"))

    def _actions_moved(self, nodes: Mapping[str, Node]) -> None:
        """See that each action moves one thing."""
        moved: dict[str, str] = {}
        for node in nodes.values():
            name = self._joined[node.id].by
            if name in moved:
                message = f"action {name!r} moves both {moved[name]!r} and {node.id!r}"
                self._faults.say(node.at, message, "give each transition an action of its own")
            if name:
                moved[name] = node.id
        for name, about in self._controls.items() if self._graph.whole else ():
            if name not in moved:
                hint = f"write under [edges]: TRANSITION -> {name}: depends_on"
                self._faults.say(about.node.at, f"action {name!r} moves nothing", hint)

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
            before = self._faults.count
            found[key] = [
                numbers(value, self._faults, "table of Dirichlet parameters")
                for value in given.values()
            ]
            if self._faults.count > before or len(given) < len(every):
                self._spoilt.add((key,))
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
            key: about.data[key].data for key in SETTINGS if key in about.data
        }
        before = self._faults.count
        sound = all(thing.sound for _, thing in actions)
        plans = plans_of(about, actions, self._faults) if sound else {}
        if not plans or self._faults.count > before:
            self._spoilt.add(("policies",))
        if "habits" in about.data:
            fields["E"] = numbers(about.data["habits"], self._faults, "list of probabilities")
            if fields["E"] is None:
                self._spoilt.add(("E",))
        return fields | plans


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
