"""Other limits for one run, as the command line states them: ``flash.requests=15/min``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from hocket.config.amounts import read_spending
from hocket.config.bounds import overlaid
from hocket.config.file import Loaded
from hocket.config.limit import budget_of
from hocket.config.limit_names import budget_name, endpoint_name, limits_name
from hocket.config.limit_parts import LimitPart
from hocket.config.messages import to_problem
from hocket.config.yaml import YamlError, parse
from hocket.core.errors import NotFound, Refused, suggest
from hocket.core.specs import LimitSpec, RunSpec
from hocket.core.values import DAY, Json, parse_duration

T = TypeVar("T")
Part = TypeVar("Part", bound=BaseModel)

_HOW: Final = "write NAME.KEY=VALUE, as in flash.requests=15/min"
_SHOWN: Final = 10
"""The most names that are listed."""
_PLACES: Final = ("limits", "models", "agents")


class Overrides(NamedTuple):
    """What one run has otherwise than its file.

    Fields:
        limits: ``NAME.KEY=VALUE`` each; NAME is a limit's, a model's or an agent's, or, where it
            could be several, as in ``models.NAME``.
        budget: Dollars of the run, or of all runs in a day, as ``1.00`` or ``5/day``.
        priority: Instead of the plan's.
        weight: Instead of the plan's.
        deadline: Instead of the plan's, as ``10m``.
    """

    limits: Sequence[str] = ()
    budget: str | None = None
    priority: int | None = None
    weight: float | None = None
    deadline: str | None = None

    def __bool__(self) -> bool:
        """Whether anything is otherwise."""
        return any(value not in ((), [], None) for value in self)


def overridden(spec: RunSpec, given: Overrides, loaded: Loaded | None) -> RunSpec:
    """Give a run's spec with other limits.

    Args:
        spec: The spec.
        given: What is otherwise.
        loaded: The file that it came from, which knows the names of models.

    Raises:
        Refused: Something cannot be read, or could mean several.
        NotFound: There is no such limit, model or agent in the run.
    """
    for text in given.limits:
        spec = _with_limit(spec, text, loaded)
    if given.budget is not None:
        spec = _with_budget(spec, given.budget, loaded)
    changes: dict[str, Json] = {}
    if given.priority is not None:
        changes["priority"] = given.priority
    if given.weight is not None:
        changes["weight"] = given.weight
    if given.deadline is not None:
        changes["deadline"] = _read("--deadline", given.deadline, parse_duration)
    return msgspec.structs.replace(spec, **changes) if changes else spec


def bounded_as(spec: RunSpec, other: RunSpec) -> RunSpec:
    """Give a spec with the limits of another one of the same plan, and its place among runs."""
    agents = {
        name: msgspec.structs.replace(agent, limits=other.agents[name].limits)
        if name in other.agents
        else agent
        for name, agent in spec.agents.items()
    }
    return msgspec.structs.replace(
        spec,
        agents=agents,
        limits=other.limits,
        claims=other.claims,
        priority=other.priority,
        weight=other.weight,
        deadline=other.deadline,
    )


def _with_limit(spec: RunSpec, text: str, loaded: Loaded | None) -> RunSpec:
    left, equals, value = text.partition("=")
    name, dot, key = left.rpartition(".")
    told = f"--limit {text!r}"
    if not (equals and dot and name and key):
        raise Refused(f"{told}: {_HOW}")
    return with_limit(spec, told, name, _part(told, key, value), loaded)


def with_limit(
    spec: RunSpec,
    told: str,
    name: str,
    about: LimitPart,
    loaded: Loaded | None,
    *,
    there: bool = False,
) -> RunSpec:
    """Give a run's spec in which one limit is otherwise.

    Args:
        spec: The spec.
        told: Begins the messages of errors.
        name: A limit's name, a model's or an agent's, or as in ``models.NAME``.
        about: What is otherwise.
        loaded: The file that it came from, which knows the names of models.
        there: Whether a limit that is there is meant before one that an agent would get anew.

    Raises:
        Refused: Several could be meant.
        NotFound: There is no such limit, model or agent in the run.
    """
    known = meant(told, name, spec, loaded, there=there)
    limit = overlaid(spec.limits.get(known, LimitSpec()), about)
    if known in spec.limits:
        return put(spec, known, limit)
    # Only what an agent states itself may be new.
    agent = spec.agents[name.removeprefix("agents.")]
    if about.adaptive is None:
        # Of a model it is the endpoint's own limit that learns.
        limit = msgspec.structs.replace(limit, adaptive=agent.kind != "model")
    agent = msgspec.structs.replace(agent, limits=(*agent.limits, known))
    agents = {**spec.agents, name.removeprefix("agents."): agent}
    return put(msgspec.structs.replace(spec, agents=agents), known, limit)


def put(spec: RunSpec, name: str, limit: LimitSpec) -> RunSpec:
    """Give a run's spec in which a name stands for that limit."""
    limits = dict(sorted({**spec.limits, name: limit}.items()))
    return msgspec.structs.replace(spec, limits=limits)


def _part(told: str, key: str, value: str) -> LimitPart:
    """Read a key and its value as a file would."""
    return limit_part(told, key, read_value(told, value))


def limit_part(told: str, key: str, value: Json) -> LimitPart:
    """Give the part of a file that says this of a limit.

    Raises:
        Refused: There is no such key, or the value means nothing there.
    """
    if key == "preset":
        raise Refused(f"{told}: a preset belongs into the file")
    return read_part(told, LimitPart, {key: value})


def read_value(told: str, text: str) -> Json:
    """Read a value as a file would.

    Raises:
        Refused: It cannot be read.
    """
    try:
        return parse(text.encode("utf-8", "surrogatepass")).tree
    except YamlError as error:
        raise Refused(f"{told}: {error.message}") from None


def read_part(told: str, part: type[Part], tree: dict[str, Json]) -> Part:
    """Read a part of a file that came from elsewhere.

    Args:
        told: Begins the messages of errors.
        part: Which part.
        tree: Its keys and values.

    Raises:
        Refused: Its shape is wrong.
    """
    try:
        return part.model_validate(tree)
    except ValidationError as error:
        problem, _ = to_problem(error.errors(include_url=False)[0], tree, part)
        hint = f"; {problem.hint}" if problem.hint else ""
        raise Refused(f"{told}: {problem.message}{hint}") from None


def meant(
    told: str, name: str, spec: RunSpec, loaded: Loaded | None, *, there: bool = False
) -> str:
    """Give the own name of the limit that somebody means by a name.

    Args:
        told: Begins the messages of errors.
        name: The name, as `with_limit` has it.
        spec: The run's spec.
        loaded: The file that it came from, which knows the names of models.
        there: Whether a limit that is there is meant before one that an agent would get anew.

    Raises:
        Refused: Several could be meant.
        NotFound: There is none.
    """
    place, dot, rest = name.partition(".")
    qualified = bool(dot) and place in _PLACES
    bare = rest if qualified else name
    found: dict[str, str] = {}
    if bare in spec.limits:
        found["limits"] = bare
    entry = None if loaded is None else loaded.file.models.get(bare)
    if entry is not None and endpoint_name(entry.id, entry.base_url) in spec.limits:
        found["models"] = endpoint_name(entry.id, entry.base_url)
    if bare in spec.agents:
        own = limits_name("agent", bare)
        stated = (n for n in spec.agents[bare].limits if n == own or n.startswith(f"{own} in "))
        found["agents"] = next(stated, limits_name("agent", bare, _place(loaded)))
    if qualified:
        found = {key: known for key, known in found.items() if key == place}
    if not found:
        models = () if loaded is None else loaded.file.models
        names = [*dict.fromkeys([*spec.limits, *models, *spec.agents])]
        # What an agent or a plan states itself is meant by that one's name.
        short = [one for one in names if " " not in one]
        hint = suggest(bare, names) or f"there are {', '.join(short[:_SHOWN])}"
        raise NotFound(f"{told}: this run has no limit, model or agent {bare!r}; {hint}")
    if there and any(known in spec.limits for known in found.values()):
        found = {key: known for key, known in found.items() if known in spec.limits}
    if len(set(found.values())) > 1:
        which = " or ".join(f"{key}.{bare}" for key in found)
        raise Refused(f"{told}: {bare!r} could be {which}: write which")
    return next(iter(found.values()))


def _with_budget(spec: RunSpec, text: str, loaded: Loaded | None) -> RunSpec:
    rate = _read("--budget", text, read_spending)
    if rate.per not in (0, DAY):
        raise Refused(f"--budget {text!r}: a budget is of the run, as 1.00, or as 5.00/day")
    daily = rate.per == DAY
    own = budget_name("plan", spec.name, daily=daily)
    name = next(
        (n for n in spec.claims if n == own or (daily and n.startswith(f"{own} in "))),
        budget_name("plan", spec.name, daily=daily, place=_place(loaded)),
    )
    limit = budget_of(rate.amount, None, daily=daily, on_exceed="pause")
    if name in spec.limits:
        limit = msgspec.structs.replace(spec.limits[name], cost=(rate,))
    claims = tuple(dict.fromkeys((*spec.claims, name)))
    return put(msgspec.structs.replace(spec, claims=claims), name, limit)


def _place(loaded: Loaded | None) -> str:
    return "" if loaded is None else loaded.place


def _read(option: str, text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise Refused(f"{option} {text!r}: {error}") from None
