"""A GMN as a graph of nodes and edges, read from text or from JSON.

The text:

    [nodes]
    place: state {grid: [10, 10]}
    smell: observation {names: [nothing, goal, hazard]}

    [edges]
    nose -> smell: generates

The JSON, with the same content:

    {"nodes": [{"id": "place", "type": "state", "properties": {"grid": [10, 10]}}],
     "edges": [{"source": "nose", "target": "smell", "type": "generates"}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from hocket.population.gmn_values import (
    MOST_BYTES,
    Faults,
    Reader,
    Stop,
    Token,
    Value,
    near,
    nearest,
)

MOST_NODES: Final = 1_000
MOST_NAME: Final = 100
NODE_TYPES: Final = (
    "state",
    "observation",
    "action",
    "belief",
    "preference",
    "transition",
    "likelihood",
    "policy",
    "llm_query",
)
EDGE_TYPES: Final = ("depends_on", "influences", "updates", "queries", "generates")
_SECTIONS: Final = ("nodes", "edges")


@dataclass(slots=True)
class Node:
    """A node.

    Fields:
        id: Its name in the graph.
        type: One of `NODE_TYPES`.
        about: Its properties, a map.
        at: Where it begins in the text.
    """

    id: str
    type: str
    about: Value
    at: int


@dataclass(slots=True)
class Edge:
    """An edge.

    Fields:
        source: The name of the node that it comes from.
        target: The name of the node that it goes to.
        type: One of `EDGE_TYPES`.
        at: Where it begins in the text.
    """

    source: str
    target: str
    type: str
    at: int


@dataclass(slots=True)
class Graph:
    """What was read.

    Fields:
        nodes: Nodes by name, in their order.
        edges: What joins them.
        whole: Whether nothing was left out because it could not be read; then what is missing was
            never written.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    whole: bool = True


def read_graph(text: str, faults: Faults) -> Graph:
    """Read a graph from text or JSON; JSON begins with ``{``.

    What is wrong with a part goes to `faults`, and the others are read.

    Raises:
        SpecError: if it cannot be read at all.
    """
    graph = Graph()
    try:
        if len(text) > MOST_BYTES or len(text.encode("utf-8", "replace")) > MOST_BYTES:
            message = f"the text is longer than {MOST_BYTES:,} bytes"
            faults.say(0, message, "large tables belong into an .npz file")
            raise Stop
        elif text.lstrip("\ufeff \t\r\n").startswith("{"):
            _read_json(text, graph, faults)
        else:
            _read_text(text, graph, faults)
    except Stop:
        faults.settle()
    return graph


def _read_text(text: str, graph: Graph, faults: Faults) -> None:
    reader = Reader(text, faults)
    section = ""
    while reader.next.kind != "end":
        start = reader.next
        try:
            if reader.take("["):
                section = _section(reader, faults)
            elif not section:
                faults.say(start.at, "nodes come after a line [nodes], edges after [edges]")
                raise Stop
            elif section == "nodes":
                _add_node(graph, faults, *_text_node(reader))
            else:
                _add_edge(graph, faults, *_text_edge(reader))
        except Stop:
            # What cannot be read ends at the next line that is no deeper than where it began.
            faults.check()
            if not section:
                raise
            graph.whole = False
            _skip(reader, faults, faults.column(start.at))


def _skip(reader: Reader, faults: Faults, column: int) -> None:
    while reader.next.kind != "end":
        line = faults.line(reader.step().at)
        if faults.line(reader.next.at) > line and faults.column(reader.next.at) <= column:
            return


def _section(reader: Reader, faults: Faults) -> str:
    token = reader.word("nodes or edges")
    reader.expect("]", f"after [{token.text}")
    name = token.text.lower()
    if name not in _SECTIONS:
        hint = near(name, _SECTIONS) or "there are [nodes] and [edges]"
        faults.say(token.at, f"there is no section [{token.text}]", hint)
        raise Stop
    return name


def _text_node(reader: Reader) -> tuple[Token, Token, Value]:
    name = reader.word("the name of a node")
    reader.expect(":", f"and a type after {name.text!r}")
    kind = reader.word(f"the type of {name.text!r}")
    braces = reader.next.kind == "mark" and reader.next.text == "{"
    return name, kind, reader.value() if braces else Value({}, kind.at)


def _text_edge(reader: Reader) -> tuple[Token, Token, Token]:
    source = reader.word("the name of a node")
    reader.expect("->", f"after {source.text!r}")
    target = reader.word("the name of a node")
    reader.expect(":", f"and a type after {target.text!r}")
    return source, target, reader.word("the type of the edge")


def _add_node(graph: Graph, faults: Faults, name: Token, kind: Token, about: Value) -> None:
    where = ("nodes", name.text)
    known = kind.text.lower()
    if known not in NODE_TYPES:
        hint = near(known, NODE_TYPES) or f"there are {', '.join(NODE_TYPES)}"
        faults.say(kind.at, f"there is no node type {kind.text!r}", hint, where)
        known = nearest(known, NODE_TYPES)
    if not known:
        graph.whole = False
        return
    if known == "llm_query":
        message = f"node {name.text!r} asks a language model, and no model of an agent can"
        hint = "leave it out; a program may set preferences between ticks"
        faults.say(name.at, message, hint, where)
        graph.whole = False
        return
    if name.text in graph.nodes or not name.text:
        message = f"there are two nodes {name.text!r}" if name.text else "a node has no name"
        faults.say(name.at, message, "give each a name of its own", where)
        graph.whole = False
        return
    if len(name.text) > MOST_NAME:
        faults.say(name.at, f"a name has more than {MOST_NAME} characters", "give a shorter one")
        graph.whole = False
        return
    if len(graph.nodes) >= MOST_NODES:
        faults.say(name.at, f"there are more than {MOST_NODES:,} nodes")
        raise Stop
    graph.nodes[name.text] = Node(name.text, known, about, name.at)


def _add_edge(graph: Graph, faults: Faults, source: Token, target: Token, kind: Token) -> None:
    where = ("edges", len(graph.edges))
    known = kind.text.lower()
    if known not in EDGE_TYPES:
        hint = near(known, EDGE_TYPES) or f"there are {', '.join(EDGE_TYPES)}"
        faults.say(kind.at, f"there is no edge type {kind.text!r}", hint, where)
        known = nearest(known, EDGE_TYPES)
    if not known:
        graph.whole = False
        return
    graph.edges.append(Edge(source.text, target.text, known, source.at))


def _read_json(text: str, graph: Graph, faults: Faults) -> None:
    try:
        json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        faults.say(error.pos, f"this is no JSON: {error.msg}")
        raise Stop from error
    except (ValueError, RecursionError) as error:
        faults.say(0, f"this is no JSON: {str(error)[:100]}")
        raise Stop from error
    before = faults.count
    whole = Reader(text, faults).value()
    _known_keys(whole, ("nodes", "edges"), "GMN in JSON", faults)
    for item in _items(whole, "nodes", faults):
        _known_keys(item, ("id", "type", "properties"), "a node", faults)
        about = item.data.get("properties", Value({}, item.at))
        name, kind = _text_of(item, "id", faults), _text_of(item, "type", faults)
        if not isinstance(about.data, dict):
            faults.say(about.at, "properties are no object", 'write {"size": 3}')
        elif name and kind:
            _add_node(graph, faults, name, kind, about)
    for item in _items(whole, "edges", faults):
        _known_keys(item, ("source", "target", "type"), "an edge", faults)
        ends = [_text_of(item, key, faults) for key in ("source", "target", "type")]
        if all(ends):
            _add_edge(graph, faults, *(end for end in ends if end))
    graph.whole = graph.whole and faults.count == before


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _known_keys(value: Value, known: Iterable[str], what: str, faults: Faults) -> None:
    if not isinstance(value.data, dict):
        return
    for key, at in value.keys.items():
        if key not in known:
            hint = near(key, known) or f"there are {', '.join(known)}"
            faults.say(at, f"{key!r} is no key of {what}", hint)


def _items(whole: Value, key: str, faults: Faults) -> list[Value]:
    given = whole.data.get(key) if isinstance(whole.data, dict) else None
    if given is None or not isinstance(given.data, list):
        at = whole.at if given is None else given.at
        faults.say(at, f"there is no list {key!r}", f'write {{"{key}": [...]}}')
        return []
    good = [item for item in given.data if isinstance(item.data, dict)]
    for item in given.data:
        if not isinstance(item.data, dict):
            faults.say(item.at, f"an item of {key!r} is no object")
    return good


def _text_of(item: Value, key: str, faults: Faults) -> Token | None:
    given = item.data.get(key)
    if given is None or not isinstance(given.data, str):
        at = item.at if given is None else given.at
        faults.say(at, f"{key!r} is missing, or no text", f'write "{key}": "..."')
        return None
    return Token("text", given.data, given.at)
