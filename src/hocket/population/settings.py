"""What a run of a population is told, by a command, a step of a plan, or a program."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from hocket.config.population import (
    AGENTS,
    BOUNDS,
    TICKS,
    Device,
    Dtype,
    Format,
    Picture,
    contradictions,
    plain_preferences,
    within,
)
from hocket.core.errors import Problem, Refused, SpecError, suggest
from hocket.core.values import Json

Preferences: TypeAlias = list[Any] | dict[str, Any] | str

Told = TypeVar("Told", bound=msgspec.Struct)

_FENCE: Final = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
_AT: Final = re.compile(r" - at `\$\.?(.*)`$")


class Continued(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A population that goes on.

    Fields:
        population: The file that it was saved in.
        settings: The file of what it was told.
        digest: Names the two, to tell them from others.
    """

    population: str
    settings: str
    digest: str


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a group has of its own.

    Fields:
        model: The file of its model.
        gmn: Its model as GMN text.
        agents: How many agents it has.
        preferences: What its agents prefer, in nats: numbers by observations' names, or a number
            for each observation, or for each modality such a list; or JSON text of that.
    """

    model: str | None = None
    gmn: str | None = None
    agents: int | None = None
    preferences: Preferences | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who lives in a population, in which world, and for how long.

    Fields:
        example: A ready scenario.
        model: The file of a model; its agents live in what it says.
        gmn: The same as GMN text.
        continues: A population that goes on; its agents, seed and precision stay as they are.
        agents: How many agents there are.
        ticks: For how many ticks they live, or live on.
        seed: Where chance comes from.
        set: Options of the example, by name.
        groups: What groups have of their own, or further groups, by name.
        checkpoint_every: After how many ticks all is saved; None for never.
        device: Where it runs; None for what JAX prefers.
        devices: How many cores or GPUs; None for all.
        nodes: How many nodes of a cluster share it; without a cluster it makes no difference.
        dtype: How exactly it is computed.
        at_once: The most ticks between two looks at it, 1 to 32; None for half a second's.
        format: What the result files are.
        picture: Which picture of the world is made, if any.
        keep: Whether the population itself is among the results.
    """

    example: str | None = None
    model: str | None = None
    gmn: str | None = None
    continues: Continued | None = None
    agents: int = AGENTS
    ticks: int = TICKS
    seed: int = 0
    set: dict[str, Any] = {}
    groups: dict[str, GroupSettings] = {}
    checkpoint_every: int | None = None
    device: Device | None = None
    devices: int | None = None
    nodes: Literal[1, 2, 4, 8] | None = None
    dtype: Dtype = "float32"
    at_once: int | None = None
    format: Format = "npz"
    picture: Picture | None = None
    keep: bool = False


def read_settings(given: Mapping[str, Json]) -> Settings:
    """Read settings; a text that says a number is one, as a language model may have written it.

    Raises:
        SpecError: A setting is unknown, or of a wrong type or size; or nobody lives there.
    """
    groups = given.get("groups")
    told = {
        name: _converted(("groups", str(name)), group, GroupSettings)
        for name, group in (groups.items() if isinstance(groups, Mapping) else ())
    }
    settings = _converted((), {**given, **({"groups": told} if told else {})}, Settings)
    problems = list(_problems(settings))
    if problems:
        raise SpecError(problems)
    return settings


def _converted(where: tuple[str, ...], given: Any, kind: type[Told]) -> Told:
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        said = str(error)
        place = _AT.search(said)
        inner = tuple(place[1].split(".")) if place and place[1] else ()
        hint = ""
        if "unknown field" in said:
            hint = suggest(said.split("`")[1], kind.__struct_fields__)
            hint = hint or f"there are {', '.join(kind.__struct_fields__)}"
        message = _AT.sub("", said)
        problem = Problem(where=(*where, *inner), message=message, hint=hint)
        raise SpecError([problem]) from None


def _problems(settings: Settings) -> Iterator[Problem]:
    yield from _numbers((), settings)
    for name, group in settings.groups.items():
        yield from _numbers(("groups", name), group)
    usual = msgspec.to_builtins(Settings())
    given = msgspec.to_builtins(settings)
    # A step passes all it could be told: what is as usual was not told.
    yield from contradictions({key: given[key] for key in given if given[key] != usual[key]})


def _numbers(where: tuple[str, ...], told: Settings | GroupSettings) -> Iterator[Problem]:
    for name in BOUNDS:
        value = getattr(told, name, None)
        if value is not None:
            try:
                within(name, value)
            except ValueError as error:
                yield Problem(where=(*where, name), message=str(error))


def kept_in(settings: Settings) -> str:
    """Name the folder of what a step saves on the way.

    A population that goes on was made with the same, whatever it prefers now: so the name says it.
    """
    if settings.continues is None:
        return "checkpoint"
    wishes = msgspec.json.encode((settings.continues.digest, settings.groups), order="sorted")
    return f"checkpoint-{hashlib.sha256(wishes).hexdigest()[:16]}"


def bare(text: str) -> str:
    """Give the GMN text of an answer: what stands within a fence, if there is one."""
    fenced = _FENCE.search(text)
    return fenced[1] if fenced else text


def read_preferences(
    where: tuple[str | int, ...], given: Preferences
) -> list[Any] | dict[str, Any]:
    """Give preferences as lists of numbers, one for each modality, or as numbers by name.

    Raises:
        SpecError: They are none.
    """
    value: Any = given
    if isinstance(given, str):
        try:
            value = json.loads(bare(given))
        except ValueError:
            message = f'preferences are JSON, such as {{"food": 3}}, not {given[:60]!r}'
            raise SpecError([Problem(where=where, message=message)]) from None
    try:
        taken = plain_preferences(value)
    except ValueError as error:
        raise SpecError([Problem(where=where, message=str(error))]) from None
    return [taken] if isinstance(taken, list) and not isinstance(taken[0], list) else taken


def need_extra(modules: Sequence[str] = ("jax", "numpy")) -> None:
    """See that what populations need is installed.

    Args:
        modules: What is needed; NumPy alone reads and checks models.

    Raises:
        Refused: It is not.
    """
    for module in modules:
        if find_spec(module) is None:
            raise Refused(
                f"populations need {module}, which is not installed: "
                "pip install 'hocket[population]'"
            )
