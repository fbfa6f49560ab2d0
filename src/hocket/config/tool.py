"""What an agent may call and how long its answers are kept, as a Python program says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, TypedDict, Unpack

from hocket.config.argv import guard_dashes, split
from hocket.config.limit import Limit, limits_of
from hocket.config.mcp import server_options
from hocket.config.pin import tool_pin
from hocket.config.shorthand import read_arguments, read_cache
from hocket.config.signatures import about as described
from hocket.config.signatures import tool_schema
from hocket.config.types import object_schema
from hocket.core.errors import Problem, SpecError, suggest
from hocket.core.specs import AgentKind, AgentSpec, LimitSpec
from hocket.core.teams import CacheSpec, ToolSpec
from hocket.core.values import Json, parse_duration

Caching: TypeAlias = "Cache | str | int | float"
"""``off``, ``exact``, ``similar``, a duration like ``1h``, or a `Cache`."""


class Cache:
    """How long, and for which questions, answers are given again.

    Args:
        mode: ``exact``: everything that goes into the call is equal. ``similar``: the prompt may
            differ, as long as its meaning is near enough.
        ttl: For how long an answer counts; None for ever.
        threshold: The least cosine similarity of two prompts for ``similar``.
        embed: The model that says what a prompt means, as ``{"model": …, "base_url": …}``.

    Raises:
        SpecError: The duration cannot be read.
    """

    __slots__ = ("spec",)

    def __init__(
        self,
        mode: Literal["exact", "similar"] = "exact",
        *,
        ttl: str | int | float | None = None,
        threshold: float = 0.95,
        embed: Mapping[str, str] | None = None,
    ) -> None:
        self.spec = CacheSpec(
            mode=mode,
            ttl=None if ttl is None else _duration(("cache",), ttl),
            threshold=threshold,
            embed=dict(embed or {}),
        )

    def __repr__(self) -> str:
        return f"Cache({self.spec.mode!r})"


def cache_spec(where: tuple[str, ...], value: Caching | None) -> CacheSpec | None:
    """Give what is meant by a cache; None if nothing is kept.

    Raises:
        SpecError: Nothing is meant by it.
    """
    if value is None or isinstance(value, Cache):
        return None if value is None else value.spec
    try:
        known: Any = read_cache(value)
    except ValueError as error:
        raise _mistake(where, str(error)) from None
    if not isinstance(value, str | int | float):
        raise _mistake(where, "cache is off, exact, similar, a duration, or a Cache")
    if known.get("mode") == "off":
        return None
    ttl = known.get("ttl")
    mode = known.get("mode", "exact")
    return CacheSpec(mode=mode, ttl=None if ttl is None else parse_duration(ttl))


class CommandTold(TypedDict, total=False):
    """What a command that is a tool can be told, as command agents can."""

    cwd: str
    env: Mapping[str, str]
    env_pass: Sequence[str]
    keep: int
    quota: int
    grace: str | float
    ok: Sequence[int]
    allow_dashes: bool


_SHORT: Final[dict[Any, str]] = {str: "str", int: "int", float: "float", bool: "bool"}
"""What a file calls these types."""


class Tool:
    """Something that a model may call: a function, a command, or a tool of an MCP server.

    A function alone is a tool, too; this says more of it, or of a command.

    Args:
        name: What the model calls it.
        command: The program and its arguments; ``{{args.NAME}}`` in them becomes what the model
            gave. Those from the first value on are data, and cannot pass for options.
        function: The function; what it takes is read from its signature.
        mcp: The MCP server that has it, as in a file: ``{"command": […]}`` or ``{"url": …}``.
        tool: What the MCP server calls it; by default its name here.
        pin: Names an MCP tool by `tool`, `about` and `args`; ``hocket mcp FILE --pin`` gives it.
        about: What it does, for the model; by default the beginning of the function's docstring.
        args: What a command takes: types by name, as ``{"pattern": str}``, or as in a file; of an
            MCP tool the JSON Schema that its server gives.
        stdin: What the command reads; ``{{args.NAME}}`` in it becomes what the model gave.
        approve: Whether a person approves of each call first.
        timeout: The longest that one call may take.
        tries: How many tries a call has in all.
        effects: Whether repeating a call could do harm; by default for all but functions.
        concurrency: The most calls at once over the run.
        limits: Limits that each call claims.
        cache: How long what it gives is given again, for one without effects.
        told: For a command what command agents can be told: ``cwd``, ``env`` and others.

    Raises:
        SpecError: It is none or several of a command, a function and an MCP server's, or cannot be
            a tool.
    """

    __slots__ = ("doer", "function", "limits", "name", "spec")

    def __init__(
        self,
        name: str,
        *,
        command: Sequence[str] | None = None,
        function: Callable[..., Any] | None = None,
        mcp: Mapping[str, Any] | None = None,
        tool: str = "",
        pin: str = "",
        about: str = "",
        args: Mapping[str, Any] | None = None,
        stdin: str | None = None,
        approve: bool = False,
        timeout: str | int | float = "1h",
        tries: int = 1,
        effects: bool | None = None,
        concurrency: int | None = None,
        limits: Sequence[Limit] | Limit = (),
        cache: Caching | None = None,
        **told: Unpack[CommandTold],
    ) -> None:
        self.name = name
        self.function = function
        """The function, if it is one."""
        self.limits: dict[str, LimitSpec] = limits_of(limits)
        """What its calls claim, by name."""
        where = ("tools", name)
        _refuse_several(where, command, function, mcp)
        options = _told(where, told)
        kind: AgentKind = "function" if command is None else "command"
        given: Json = "{{args}}"
        if mcp is not None:
            _refuse_told(where, "an MCP tool", options, stdin)
            kind, schema = "mcp", dict(args or {})
            options = _pinned(where, mcp, tool or name, pin, about, schema)
        elif command is not None:
            schema = _arguments(where, args or {})
            given = _command(where, command, stdin, options)
        elif function is not None:
            said = "a function takes what its signature says, and"
            _refuse_told(where, said, options, stdin if args is None else "")
            schema, about = _signature(where, function), about or described(function)
        self.spec = ToolSpec(
            agent="",
            about=about,
            schema=schema,
            input=given,
            approve=approve,
            timeout=_duration(where, timeout),
            tries=tries,
        )
        self.doer = AgentSpec(
            kind=kind,
            options=options,
            concurrency=concurrency,
            effects=kind != "function" if effects is None else effects,
            limits=tuple(self.limits),
            cache=cache_spec((*where, "cache"), cache),
        )
        """Who does it."""

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


def tools_of(agent: str, given: object) -> tuple[Tool, ...]:
    """Give an agent's tools; a function is one that is called like it.

    Raises:
        SpecError: Something is no tool, or two have one name.
    """
    where = ("agents", agent, "tools")
    if not isinstance(given, list | tuple):
        raise _mistake(where, "tools are a list of functions and of Tool(…)")
    tools: dict[str, Tool] = {}
    for one in given:
        if not isinstance(one, Tool) and not callable(one):
            raise _mistake(where, f"{one!r} is neither a function nor a Tool(…)")
        tool = one if isinstance(one, Tool) else Tool(_name(one), function=one)
        if tool.name in tools:
            raise _mistake(where, f"two tools are called {tool.name!r}")
        tools[tool.name] = tool
    return tuple(tools.values())


def _name(function: Any) -> str:
    name = str(getattr(function, "__name__", type(function).__name__))
    return name.replace("<lambda>", "lambda").strip("_") or "function"


def _told(where: tuple[str, ...], told: Mapping[str, Any]) -> dict[str, Json]:
    for key in told:
        if key not in CommandTold.__annotations__:
            hint = suggest(key, CommandTold.__annotations__)
            raise _mistake(where, f"unknown setting {key!r}", hint)
    return {key: _plain(value) for key, value in told.items()}


def _refuse_several(where: tuple[str, ...], *doers: object) -> None:
    if doers.count(None) != len(doers) - 1:
        raise _mistake(where, "a tool is either a command or a function, or of an MCP server")


def _refuse_told(
    where: tuple[str, ...], what: str, options: Mapping[str, Json], stdin: str | None
) -> None:
    if options or stdin is not None:
        raise _mistake(where, f"{what} is told nothing of commands")


def _pinned(
    where: tuple[str, ...], mcp: Mapping[str, Any], tool: str, pin: str, about: str, args: Json
) -> dict[str, Json]:
    if pin != tool_pin(tool, about, args):
        said = f"this is not the pin of {tool!r} with the about and args that stand here"
        raise _mistake((*where, "pin"), said, "hocket mcp FILE --pin shows it in full")
    options = server_options(where, mcp)
    return {**options, "tool": tool, "about": about, "args": args, "pin": pin}


def _command(
    where: tuple[str, ...], command: Sequence[str], stdin: str | None, options: dict[str, Json]
) -> Json:
    if isinstance(command, str):
        raise _mistake(where, "a command is a list of texts")
    fixed, rest = split(list(command))
    options["command"] = fixed
    if not fixed:
        raise _mistake(where, "a command begins with a program, not a template")
    if said := guard_dashes(rest, options):
        raise _mistake(where, said)
    return {"args": rest, "stdin": stdin}


def _arguments(where: tuple[str, ...], given: Mapping[str, Any]) -> Json:
    kinds = {name: _short(kind) for name, kind in given.items()}
    try:
        if all(isinstance(kind, str | dict | list) for kind in kinds.values()):
            return read_arguments(kinds)
        required = [name for name in given if not name.endswith("?")]
        return object_schema({name.removesuffix("?"): k for name, k in given.items()}, required)
    except (TypeError, ValueError) as error:
        raise _mistake((*where, "args"), str(error)) from None


def _short(kind: Any) -> Any:
    return _SHORT.get(kind, kind) if isinstance(kind, type) else kind


def _signature(where: tuple[str, ...], function: Any) -> Json:
    try:
        return tool_schema(function)
    except TypeError as error:
        raise _mistake(where, str(error)) from None


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _duration(where: tuple[str, ...], value: str | int | float) -> int:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise _mistake(where, str(error)) from None


def _mistake(where: tuple[str, ...], message: str, hint: str = "") -> SpecError:
    return SpecError([Problem(where=where, message=message, hint=hint)])
