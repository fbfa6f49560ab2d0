"""Makes a JSON Schema fit for a small model: every text and list gets an end.

Without bounds a model of this size may write blanks or repeat itself until it is cut, and what was
cut is not JSON.
What is allowed here is allowed by the original schema too; the reverse does not hold.
"""

from __future__ import annotations

from hocket.core.values import Json

TEXT = 160
"""The longest text in characters, where the schema sets no bound."""

ITEMS = 6
"""The longest list, where the schema sets no bound."""

_NUMBER = 24
_UNBOUNDED = 1 << 20
_PARTS = ("anyOf", "oneOf", "allOf")
_NAMED = ("properties", "$defs", "definitions")


def bounded(schema: Json) -> Json:
    """Give a schema whose texts and lists are bounded and whose JSON has no blanks."""
    root = _bound(schema if isinstance(schema, dict) else {})
    # Without it the grammar allows any run of blanks, which the model then writes.
    return root | {"x-guidance": {"whitespace_flexible": False}}


def _bound(node: Json) -> Json:
    if not isinstance(node, dict):
        return node
    made = dict(node)
    for key in _NAMED:
        if isinstance(node.get(key), dict):
            made[key] = {name: _bound(part) for name, part in node[key].items()}
    for key in _PARTS:
        if isinstance(node.get(key), list):
            made[key] = [_bound(part) for part in node[key]]
    if "items" in node:
        made["items"] = _bound(node["items"])
    if "enum" in node or "const" in node:
        return made
    if _is(node, "string") and not node.keys() & {"maxLength", "pattern", "format"}:
        made["maxLength"] = max(TEXT, node.get("minLength", 0))
    if _is(node, "array") and "maxItems" not in node:
        made["maxItems"] = max(ITEMS, node.get("minItems", 0))
    if node.get("properties") and node.get("additionalProperties", True) is True:
        made["additionalProperties"] = False
    return made


def _is(node: dict[str, Json], kind: str) -> bool:
    stated = node.get("type")
    return stated == kind or (isinstance(stated, list) and kind in stated)


def most_tokens(schema: Json) -> int:
    """Give the most tokens that JSON of a bounded schema can take: one for each character.

    A schema that refers to itself, or that allows anything, has no such bound: the result is then
    more than any model can write.
    """
    return min(_longest(schema, schema, {}) + 2, _UNBOUNDED)


def _longest(node: Json, root: Json, known: dict[str, int]) -> int:
    if not isinstance(node, dict):
        return _UNBOUNDED
    if "$ref" in node:
        ref = str(node["$ref"])
        if ref not in known:
            # Whoever comes here again before it is known has gone round in a circle.
            known[ref] = _UNBOUNDED
            known[ref] = _longest(_resolve(ref, root), root, known)
        return known[ref]
    if "const" in node:
        return len(repr(node["const"])) + 2
    if "enum" in node:
        return max((len(repr(item)) + 2 for item in node["enum"]), default=0)
    for key in _PARTS:
        if isinstance(node.get(key), list):
            return max((_longest(part, root, known) for part in node[key]), default=0)
    stated = node.get("type")
    kinds = stated if isinstance(stated, list) else [stated]
    return max((_of_kind(kind, node, root, known) for kind in kinds), default=_UNBOUNDED)


def _of_kind(kind: Json, node: dict[str, Json], root: Json, known: dict[str, int]) -> int:
    match kind:
        case "string":
            return int(node.get("maxLength", _UNBOUNDED)) + 2
        case "integer" | "number":
            return _NUMBER
        case "boolean" | "null":
            return 5
        case "array":
            most = int(node.get("maxItems", _UNBOUNDED))
            return min(most * (_longest(node.get("items"), root, known) + 1) + 2, _UNBOUNDED)
        case "object" if node.get("properties"):
            parts = node["properties"].items()
            return 2 + sum(len(k) + 4 + _longest(part, root, known) for k, part in parts)
        case _:
            return _UNBOUNDED


def _resolve(ref: str, root: Json) -> Json:
    """Find what a ``#/…`` reference means, or None."""
    found = root
    for key in ref.removeprefix("#").strip("/").split("/") if ref != "#" else []:
        found = found.get(key) if isinstance(found, dict) else None
    return found if ref.startswith("#") else None
