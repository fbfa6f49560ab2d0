"""What a run of a population is told, by a command, a step of a plan, or a program."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from hocket.core.errors import Problem, Refused, SpecError, suggest
from hocket.core.values import Json

Format: TypeAlias = Literal["npz", "parquet"]
Picture: TypeAlias = Literal["svg", "png", "gif"]
Preferences: TypeAlias = list[Any] | dict[str, Any] | str

Told = TypeVar("Told", bound=msgspec.Struct)

MAIN: Final = "agents"
"""What the group is called whose model is the world."""
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
    agents: int = 1_000
    ticks: int = 100
    seed: int = 0
    set: dict[str, Any] = {}
    groups: dict[str, GroupSettings] = {}
    checkpoint_every: int | None = None
    device: Literal["cpu", "gpu"] | None = None
    devices: int | None = None
    dtype: Literal["float32", "float64"] = "float32"
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


def _problems(settings: Settings) -> list[Problem]:
    found = []
    known = ("example", "model", "gmn", "continues")
    sources = [name for name in known if getattr(settings, name) is not None]
    if len(sources) != 1:
        said = f"here are {' and '.join(sources)}" if sources else "here is none"
        message = "a population has one of an example, a model's file, GMN text, and another that "
        message += f"goes on; {said}"
        found.append(Problem(where=(), message=message))
    if settings.set and settings.example is None:
        found.append(Problem(where=("set",), message="only an example has options to set"))
    for name, least in (("agents", 0), ("ticks", 0), ("devices", 1), ("checkpoint_every", 1)):
        value = getattr(settings, name)
        if value is not None and value < least:
            found.append(Problem(where=(name,), message=f"must be at least {least}, not {value}"))
    if not 0 <= settings.seed < 2**32:
        message = f"must lie between 0 and 4294967295, not {settings.seed}"
        found.append(Problem(where=("seed",), message=message))
    if settings.at_once is not None and not 1 <= settings.at_once <= 32:
        message = f"must lie between 1 and 32, not {settings.at_once}"
        found.append(Problem(where=("at_once",), message=message))
    for name, group in settings.groups.items():
        if group.model is not None and group.gmn is not None:
            message = "has either a model's file or GMN text, not both"
            found.append(Problem(where=("groups", name), message=message))
        own = (group.model, group.gmn, group.agents)
        if settings.continues is not None and any(value is not None for value in own):
            message = "is in a population that goes on: only its preferences may be new"
            found.append(Problem(where=("groups", name), message=message))
        if group.agents is not None and group.agents < 0:
            message = f"must be at least 0, not {group.agents}"
            found.append(Problem(where=("groups", name, "agents"), message=message))
    return found


def bare(text: str) -> str:
    """Give the GMN text of an answer: what stands within a fence, if there is one."""
    fenced = _FENCE.search(text)
    return fenced[1] if fenced else text


def read_preferences(where: tuple[str, ...], given: Preferences) -> list[Any] | dict[str, Any]:
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
    if isinstance(value, dict) and value and all(map(_is_number, value.values())):
        return value
    rows = value if isinstance(value, list) and any(isinstance(r, list) for r in value) else [value]
    for row in rows:
        if not isinstance(row, list) or not row or not all(map(_is_number, row)):
            message = "preferences are numbers by observations' names, a number for each "
            message += f"observation, or such a list for each modality, not {str(value)[:60]}"
            raise SpecError([Problem(where=where, message=message)])
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def need_extra() -> None:
    """See that what populations need is installed.

    Raises:
        Refused: It is not.
    """
    for module in ("jax", "numpy"):
        if find_spec(module) is None:
            raise Refused(
                f"populations need {module}, which is not installed: "
                "pip install 'hocket[population]'"
            )
