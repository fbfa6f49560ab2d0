"""Who does work, as a Python program says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypedDict, TypeVar, Unpack, overload

from hocket.config.functions import Function
from hocket.config.limit import Budget, Limit, Money, budgets_of, limits_of
from hocket.config.limit_names import endpoint_name
from hocket.config.place import Place, read_place
from hocket.config.tool import Caching, Tool, cache_spec, tools_of
from hocket.config.types import schema_of
from hocket.core.errors import Problem, SpecError, suggest
from hocket.core.specs import AgentKind, AgentSpec, LimitSpec
from hocket.core.values import Json

O_co = TypeVar("O_co", covariant=True)
O_ = TypeVar("O_")

_KINDS: Final[tuple[AgentKind, ...]] = (
    *("model", "command", "function"),
    *("local", "scripted", "session"),
)


class AgentSettings(TypedDict, total=False):
    """Says who an agent is, by one of the first six, and how it works."""

    model: str
    command: Sequence[str] | str
    function: Callable[..., Any] | str
    local: str
    scripted: Mapping[str, Json]
    session: str
    concurrency: int
    effects: bool
    limits: Sequence[Limit] | Limit
    budget: Sequence[Budget] | Budget | Money
    system: str
    temperature: float
    max_tokens: int
    seed: int
    threads: int
    base_url: str
    key_env: str
    price: Mapping[str, float]
    stream: bool
    structured: str
    settings: Mapping[str, Json]
    mode: str
    shell: bool
    cwd: str
    env: Mapping[str, str]
    env_pass: Sequence[str]
    files: Sequence[str]
    keep: int
    quota: int
    grace: str | float
    ok: Sequence[int]
    allow_dashes: bool
    tools: Sequence[Tool | Callable[..., Any]]
    max_turns: int
    args: Sequence[str]
    permissions: str
    one_shot: str
    pool: int
    turns: int
    max_jobs: int
    max_memory: int
    max_age: str | float
    idle: str | float
    silence: str | float
    worktree: bool
    branch: str
    cache: Caching
    place: Place


class Agent(Generic[O_co]):
    """Whoever does work: a model, a program, a function, a coding agent, a script.

    Args:
        name: What it is called; steps that use it share its `concurrency`.
        output: The type of what it gives: a pydantic model, a dataclass, a TypedDict, a plain type.
        settings: One of ``model="provider:model"``, ``command=[…]``, ``function=f``,
            ``local="smollm2-135m"``, ``scripted={…}`` and ``session="claude"``, and what its kind
            can be told.

    Raises:
        SpecError: It is none or several of these.
    """

    __slots__ = ("function", "limits", "name", "output", "schema", "spec", "tools")

    @overload
    def __init__(
        self: Agent[str], name: str, *, output: None = None, **settings: Unpack[AgentSettings]
    ) -> None: ...
    @overload
    def __init__(
        self: Agent[O_], name: str, *, output: type[O_], **settings: Unpack[AgentSettings]
    ) -> None: ...
    def __init__(self, name: str, *, output: Any = None, **settings: Unpack[AgentSettings]) -> None:
        given: dict[str, Any] = dict(settings)
        kinds = [kind for kind in _KINDS if given.get(kind) is not None]
        if "session" in kinds:
            # It names a model and a command besides.
            kinds = ["session"]
        if len(kinds) != 1:
            self._refuse(name, f"an agent has one of {', '.join(_KINDS)}", kinds)
        self.name = name
        kind = kinds[0]
        self.function: Function | None = None
        """The function itself, if the agent is one and was given as such."""
        self.output: Any = output if output is not None else (Any if kind == "function" else str)
        self.schema: Json = None if output is None or output is str else schema_of(output)
        self.limits: dict[str, LimitSpec] = {
            **limits_of(given.pop("limits", None)),
            **budgets_of("agent", name, given.pop("budget", None)),
        }
        """What its calls claim, by name."""
        self.tools: tuple[Tool, ...] = tools_of(name, given.pop("tools", ()))
        """What it may call; the plan sees to it that each is done by somebody."""
        if kind == "model":
            endpoint = endpoint_name(given["model"], given.get("base_url"))
            self.limits = {endpoint: LimitSpec(), **self.limits}
        self.spec = self._spec(name, kind, given)

    @staticmethod
    def _refuse(name: str, message: str, found: Sequence[str]) -> None:
        hint = f"here are {', '.join(found)}" if found else ""
        raise SpecError([Problem(where=("agents", name), message=message, hint=hint)])

    def _spec(self, name: str, kind: AgentKind, given: dict[str, Any]) -> AgentSpec:
        known = AgentSettings.__annotations__
        for key in given:
            if key not in known:
                problem = Problem(
                    where=("agents", name),
                    message=f"unknown setting {key!r}",
                    hint=suggest(key, known),
                )
                raise SpecError([problem])
        concurrency = given.pop("concurrency", None)
        effects = given.pop("effects", None)
        cache = cache_spec(("agents", name, "cache"), given.pop("cache", None))
        place = read_place(("agents", name, "place"), given.pop("place", None))
        if place is not None and callable(given.get("function")):
            self._refuse(name, "a function that is handed over runs where the program does", [])
        turns = given.pop("max_turns", None)
        fields: dict[str, Json] = {} if turns is None else {"max_turns": turns}
        who = given.pop(kind)
        options = {key: _plain(value) for key, value in given.items() if value is not None}
        match kind:
            case "function":
                # Its reference is known to the plan, which sees to it that names are unique.
                self.function = who if callable(who) else None
                options["ref"] = "" if callable(who) else who
            case "scripted":
                options.update(_plain(who))
            case "local":
                options["model"] = who
            case _:
                options[kind] = _plain(who)
        return AgentSpec(
            kind=kind,
            options=options,
            concurrency=concurrency,
            effects=kind in ("command", "session") if effects is None else effects,
            limits=tuple(self.limits),
            cache=cache,
            place=place,
            **fields,
        )

    def __repr__(self) -> str:
        return f"Agent({self.name!r}, {self.spec.kind}={self.spec.options.get(self.spec.kind)!r})"


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
