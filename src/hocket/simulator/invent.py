"""What calls give of which no record tells: answers, votes, verdicts and what fits a schema."""

from __future__ import annotations

from typing import Final

from hocket.core.errors import Fault
from hocket.core.values import Json
from hocket.forecast.assume import ITEMS
from hocket.simulator.agents import Asked, Behaviour
from hocket.simulator.assume import Assumed
from hocket.simulator.kinds import Kinds
from hocket.simulator.teams import author, permitted, reviewer, voter, with_tools
from hocket.workflows.stages import likely_output

_JUDGE: Final = frozenset({"judge", "assess", "correct", "vote"})


class Invented:
    """An agent that does whatever it is asked for; it can be sent to other processes.

    Args:
        assumed: What is assumed of it.
        kinds: Which kind of call stands where.
    """

    def __init__(self, assumed: Assumed, kinds: Kinds) -> None:
        self._assumed = assumed
        self._kinds = kinds
        self._give = _behaviour(assumed, kinds)

    def __call__(self, asked: Asked) -> Json | Fault:
        """Say what it gives."""
        return self._give(asked)

    def __reduce__(self) -> tuple[type[Invented], tuple[Assumed, Kinds]]:
        """Say what it is made of."""
        return type(self), (self._assumed, self._kinds)


def _behaviour(assumed: Assumed, kinds: Kinds) -> Behaviour:
    votes = voter(assumed.votes or "unanimous", revises=assumed.revises or 0.0)
    judges = reviewer(1.0 if assumed.accuracy is None else assumed.accuracy)
    writes = author(assumed.faulty or 0.0)

    def give(asked: Asked) -> Json | Fault:
        if permitted(asked.job.output) is not None:
            return votes(asked)
        task = kinds.of(asked.path).task
        if task in ("author", "fixer") and asked.job.output is None:
            return writes(asked)
        if task in _JUDGE:
            return judges(asked)
        if asked.job.output is None:
            return f"the output of {asked.path}"
        likely = likely_output(asked.job)
        return _listed(likely["answer"] if asked.job.tools else likely, asked.job.output)

    return with_tools(give, assumed.turns or 1)


def _listed(value: Json, schema: Json) -> Json:
    """Put items into the lists of an invented output, or nothing would be done for each of them."""
    if isinstance(value, dict) and isinstance(schema, dict):
        fields = schema.get("properties") or {}
        return {name: _listed(inner, fields.get(name)) for name, inner in value.items()}
    if value != [] or not isinstance(schema, dict) or schema.get("maxItems") == 0:
        return value
    items = schema.get("items")
    kind = items.get("type") if isinstance(items, dict) else None
    sample: Json = "expected"
    if kind in ("number", "integer"):
        sample = 1
    elif kind == "object" and isinstance(items, dict):
        sample = {name: "expected" for name in items.get("properties") or {}}
    return [sample] * min(ITEMS, schema.get("maxItems", ITEMS))
