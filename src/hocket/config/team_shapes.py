"""What steps of several agents give, as closed JSON Schemas: so that misspelt fields are found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from hocket.core.reports import FATES
from hocket.core.specs import StepSpec
from hocket.core.teams import Member
from hocket.core.values import Json

_TEXT: Final[Json] = {"type": "string"}
_NUMBER: Final[Json] = {"type": "number"}
_TRUTH: Final[Json] = {"type": "boolean"}
_COUNT: Final[Json] = {"type": "integer"}


def consensus_shape(answer: Json, members: Iterable[Member]) -> Json:
    """Give the schema of what a consensus gives.

    Args:
        answer: The schema of an answer; None for text.
        members: Who takes part.
    """
    defs: dict[str, Json] = {}
    shape = _lifted(_TEXT if answer is None else answer, defs)
    names = [member.name for member in members]
    vote = _closed(member=_TEXT, choice=_TEXT, confidence=_NUMBER, reason=_TEXT, counts=_TRUTH)
    made = _closed(
        answer=shape,
        winner=_closed(member=_TEXT, agent=_TEXT, label=_TEXT),
        decision=_TEXT,
        forced=_TRUTH,
        tally=_some(dict.fromkeys(names, _NUMBER)),
        votes=_list(vote),
        dissent=_list(vote),
        answers=_some(dict.fromkeys(names, shape)),
        calls=_fates(),
    )
    return {**made, "$defs": defs} if defs else made


def review_shape() -> Json:
    """Give the schema of what a review gives."""
    verdict = _closed(
        member=_TEXT, verdict=_TEXT, confidence=_NUMBER, reason=_TEXT, issues=_list(_TEXT)
    )
    return _closed(
        approved=_TRUTH,
        score=_NUMBER,
        verdicts=_list(verdict),
        issues=_list(_TEXT),
        rounds=_COUNT,
        artefact={},
        calls=_fates(),
    )


def panel_shape(reply: Json, contributions: Mapping[str, Json]) -> Json:
    """Give the schema of what a panel gives.

    Args:
        reply: The schema of the reply; None if it can be anything.
        contributions: Those of the contributions, by name.
    """
    defs: dict[str, Json] = {}
    shapes = {
        name: _lifted({} if shape is None else shape, defs, f"{name}-")
        for name, shape in contributions.items()
    }
    made = _closed(
        reply=_lifted({} if reply is None else reply, defs),
        contributions=_some(shapes),
        missing=_some(dict.fromkeys(contributions, _TEXT)),
        skipped=_some(dict.fromkeys(contributions, _TEXT)),
        revised=_TRUTH,
    )
    return {**made, "$defs": defs} if defs else made


def output_of(step: StepSpec) -> Json:
    """Give the schema of what a step gives; None if that can be anything."""
    return step.output if step.each is None else {"type": "array", "items": step.output or {}}


def _closed(**properties: Json) -> dict[str, Json]:
    return {**_some(properties), "required": list(properties)}


def _some(properties: Mapping[str, Json]) -> dict[str, Json]:
    """Give an object in which each of these fields may be missing."""
    return {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }


def _list(item: Json) -> Json:
    return {"type": "array", "items": item}


def _fates() -> Json:
    return _some(dict.fromkeys(FATES, _COUNT))


def _lifted(schema: Json, defs: dict[str, Json], prefix: str = "") -> Json:
    """Put what a schema refers to at the root, under names of its own."""
    if not isinstance(schema, dict) or "$defs" not in schema:
        return schema
    own = dict(schema)
    known = own.pop("$defs")
    defs.update({f"{prefix}{name}": _renamed(one, prefix) for name, one in known.items()})
    return _renamed(own, prefix)


def _renamed(node: Json, prefix: str) -> Json:
    if not prefix:
        return node
    if isinstance(node, list):
        return [_renamed(item, prefix) for item in node]
    if not isinstance(node, dict):
        return node
    start = "#/$defs/"
    return {
        key: f"{start}{prefix}{value.removeprefix(start)}"
        if key == "$ref" and isinstance(value, str) and value.startswith(start)
        else _renamed(value, prefix)
        for key, value in node.items()
    }
