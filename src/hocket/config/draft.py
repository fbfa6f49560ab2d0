"""Gathers the steps, agents and functions of a plan that is being built.

It is what stands behind the builder's methods: they know types, it knows specs.
It is on the way of every step of a large plan, so it does nothing twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from hocket.config.agent import Agent
from hocket.config.amounts import read_quantile
from hocket.config.approval import UNSAID, read_approval
from hocket.config.functions import Functions, mistake
from hocket.config.handles import Ref, Step, owner
from hocket.config.limit import Limit, limits_of
from hocket.config.seats import Entry, entry_problems, seated
from hocket.config.team import Review, Seats, seats_of
from hocket.config.tool import Tool
from hocket.config.types import schema_of
from hocket.core.errors import SpecError, suggest
from hocket.core.specs import PERSON_TIMEOUT, AgentSpec, LimitSpec, Retry, StepSpec
from hocket.core.teams import Member, ReviewSpec, ToolSpec
from hocket.core.values import Json, parse_duration

_BRACES = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_ROOT = re.compile(r"[\w-]+")
_UNNAMED = re.compile(r"[^A-Za-z0-9]+")
_PLAIN: Final = frozenset((str, int, float, bool, type(None)))
_TOLD: Final = (
    *("needs", "wants", "within", "quorum", "when", "timeout", "on_failure"),
    *("each", "repeat", "retry", "fallback", "effects", "options", "uses", "takes", "hedge"),
    *("review", "approve"),
)
_AS_IT_IS: Final = ("quorum", "on_failure", "repeat", "effects")
_RETRIED: Final = Retry(tries=3)
"""The retries of a step that says nothing: models fail by themselves now and then."""
_UNBOUND: Final = LimitSpec()
"""What a model's own limit is as long as nobody states it."""


class Draft:
    """A plan in the making.

    Args:
        plan: What handles belong to.
        closures: Whether functions are allowed that a resumed run could not find.

    Attributes:
        templates: Whether a text of the user's may name steps that are not among its needs yet.
    """

    def __init__(self, plan: object, closures: bool) -> None:
        self.functions = Functions(closures)
        self.agents: dict[str, AgentSpec] = {}
        self.limits: dict[str, LimitSpec] = {}
        self.steps: dict[str, StepSpec] = {}
        self.types: dict[str, Any] = {}
        self.templates = False
        self._plan = plan
        self._called: dict[tuple[object, ...], str] = {}
        self._hired: dict[Agent[Any], None] = {}
        self._tools: dict[Tool, ToolSpec] = {}
        self._population: str | None = None

    def add(
        self,
        name: str,
        gives: Any,
        told: dict[str, Any],
        payload: Any,
        after: Sequence[Step[Any] | Ref[Any]] = (),
        **fields: Any,
    ) -> Step[Any]:
        """Add a step.

        Args:
            name: What it is called.
            gives: The type of its output, or the function that gives it.
            told: What the caller said of the step, as `_TOLD` lists it.
            payload: Its input, with handles.
            after: Handles of steps that must have succeeded.
            fields: What its spec has besides.

        Raises:
            SpecError: There is such a step, or something does not fit.
        """
        if name in self.steps:
            raise mistake(name, f"there are two steps named {name!r}")
        used: dict[str, None] = {}
        for handle in after:
            self._use(name, handle, used)
        self.steps[name] = self.made(name, told, payload, fields, used)
        if gives is not Any:
            # A list of what one item gives, if there is one for each of several.
            self.types[name] = (gives,) if "each" in fields else gives
        return Step(self._plan, name)

    def made(
        self,
        name: str,
        told: dict[str, Any],
        payload: Any,
        fields: dict[str, Any],
        used: dict[str, None],
    ) -> StepSpec:
        """Make a step without adding it, and note the steps that it uses in `used`.

        Raises:
            SpecError: Something does not fit.
        """
        if (kind := fields.get("kind")) in ("approve", "input"):
            fields["timeout"] = PERSON_TIMEOUT if kind == "input" else UNSAID
        if payload is not None:
            fields["input"] = self.json(name, payload, used)
        if told:
            self._tell(name, told, fields, used)
        elif used:
            fields["needs"] = tuple(used)
        return StepSpec(name=name, **fields)

    def _tell(
        self, name: str, told: dict[str, Any], fields: dict[str, Any], used: dict[str, None]
    ) -> None:
        for key in told:
            if key not in _TOLD:
                raise mistake(name, f"unknown setting {key!r}", suggest(key, _TOLD))
        wants = self._names(name, told.get("wants"))
        needs = dict.fromkeys(self._names(name, told.get("needs")))
        for key in ("when", "each"):
            if (value := told.get(key)) is not None:
                fields[key] = self._expression(name, value, used)
        for key in ("within", "timeout", "takes"):
            if (value := told.get(key)) is not None:
                fields[key] = duration(name, key, value)
        for key in _AS_IT_IS:
            if (value := told.get(key)) is not None:
                fields[key] = value
        if (retry := told.get("retry")) is not None:
            if not isinstance(retry, int | Retry):
                raise mistake(name, f"retry is a whole number or a Retry(…), not {retry!r}")
            fields["retry"] = Retry(tries=retry + 1) if isinstance(retry, int) else retry
        if fallback := told.get("fallback"):
            agents = [fallback] if isinstance(fallback, Agent) else fallback
            fields["fallback"] = tuple([self.agent(name, agent) for agent in agents])
        if options := told.get("options"):
            fields["options"] = dict(options)
        if uses := told.get("uses"):
            fields["uses"] = self._units(name, uses)
        if (hedge := told.get("hedge")) is not None:
            fields["hedge"] = _quantile(name, hedge)
        if (review := told.get("review")) is not None:
            fields["review"] = self.review(name, review)
        if (approve := told.get("approve")) is not None:
            fields["approval"] = read_approval(name, approve)
        if "repeat" in fields:
            self.templates = True
        needs.update((step, None) for step in used if step not in wants)
        if needs:
            fields["needs"] = tuple(needs)
        if wants:
            fields["wants"] = wants

    def _names(self, name: str, given: Any) -> tuple[str, ...]:
        if given is None:
            return ()
        if isinstance(given, Step | str):
            given = (given,)
        names: dict[str, None] = {}
        for item in given:
            if isinstance(item, str):
                names[item] = None
            else:
                self._use(name, item, names)
        return tuple(names)

    def _use(self, name: str, handle: Step[Any] | Ref[Any], used: dict[str, None]) -> str:
        """Note that a step uses a handle; gives the handle's expression."""
        if owner(handle) is not self._plan:
            raise mistake(name, f"{handle!r} belongs to another plan")
        expr = handle.expr
        if isinstance(handle, Step):
            used[expr] = None
        elif (root := _ROOT.match(expr)) is not None and root[0] in self.steps:
            used[root[0]] = None
        return expr

    def _expression(self, name: str, value: Any, used: dict[str, None]) -> str:
        if isinstance(value, Step | Ref):
            return self._use(name, value, used)
        self.templates = True
        # In an f-string a handle has braces around it, which an expression does not need.
        return _BRACES.sub(r"\1", str(value))

    def json(self, name: str, value: Any, used: dict[str, None]) -> Json:
        """Make JSON with templates of values with handles, and note the steps used."""
        kind = type(value)
        if kind is str:
            if "{{" in value:
                self.templates = True
            return value
        if kind is Step or kind is Ref:
            return f"{{{{{self._use(name, value, used)}}}}}"
        if kind in _PLAIN:
            return value
        if isinstance(value, list | tuple):
            return [self.json(name, item, used) for item in value]
        if isinstance(value, Mapping):
            return {str(key): self.json(name, item, used) for key, item in value.items()}
        if isinstance(value, Step | Ref):
            return f"{{{{{self._use(name, value, used)}}}}}"
        if hasattr(kind, "model_dump"):
            return value.model_dump(mode="json")
        try:
            return msgspec.to_builtins(value)
        except TypeError as error:
            raise mistake(name, f"{kind.__qualname__} is no JSON: {error}") from None

    # -- limits -----------------------------------------------------------------------------

    def bound(self, step: str, limits: Mapping[str, LimitSpec]) -> tuple[str, ...]:
        """Take limits into the plan; gives their names.

        Raises:
            SpecError: Another limit has one of these names.
        """
        for name, spec in limits.items():
            known = self.limits.get(name)
            if known is None or known == _UNBOUND:
                self.limits[name] = spec
            elif spec not in (known, _UNBOUND):
                raise mistake(step, f"two limits are called {name!r}; give one another name")
        return tuple(limits)

    def _units(self, step: str, uses: Mapping[Limit, int]) -> dict[str, int]:
        for limit in uses:
            if not isinstance(limit, Limit):
                raise mistake(step, f"uses are units of limits: Limit(…), not {limit!r}")
        self.bound(step, limits_of(list(uses)))
        return {limit.name: units for limit, units in uses.items()}

    # -- agents -----------------------------------------------------------------------------

    def agent(self, step: str, agent: Agent[Any], what: str = "who does it") -> str:
        """Take an agent into the plan; gives its name.

        Raises:
            SpecError: It is none, or there is another of that name.
        """
        if not isinstance(agent, Agent):
            raise mistake(step, f"{what} is an Agent(…), not {agent!r}")
        if agent in self._hired:
            return agent.name
        spec, changes = agent.spec, dict[str, Any]()
        if agent.function is not None:
            ref = self.functions.name(step, agent.function)
            changes["options"] = {**spec.options, "ref": ref}
        if agent.tools:
            changes["tools"] = {tool.name: self._tool(step, tool) for tool in agent.tools}
        if changes:
            spec = msgspec.structs.replace(spec, **changes)
        self.join(step, agent.name, spec)
        self.bound(step, agent.limits)
        self._hired[agent] = None
        return agent.name

    def _tool(self, step: str, tool: Tool) -> ToolSpec:
        """Take in whoever does a tool; it is called like the tool if nobody else is."""
        known = self._tools.get(tool)
        if known is not None:
            return known
        doer = tool.doer
        if tool.function is not None:
            ref = self.functions.name(step, tool.function)
            doer = msgspec.structs.replace(doer, options={"ref": ref})
        name, number = tool.name, 1
        while self.agents.get(name, doer) != doer:
            name = f"{tool.name}-tool" if number == 1 else f"{tool.name}-tool-{number}"
            number += 1
        self.agents[name] = doer
        self.bound(step, tool.limits)
        self._tools[tool] = msgspec.structs.replace(tool.spec, agent=name)
        return self._tools[tool]

    def seats(self, step: str, given: Seats) -> tuple[Member, ...]:
        """Take in the agents of a team; gives its members."""
        try:
            seats = list(seats_of(given))
        except TypeError as error:
            raise mistake(step, str(error)) from None
        entries = [
            Entry(
                self.agent(step, seat.agent, "who sits in a team"),
                seat.count,
                seat.weight,
                seat.name,
                tuple([self.agent(step, other, "a fallback") for other in seat.fallback]),
            )
            for seat in seats
        ]
        if wrong := [problem for entry in entries for problem in entry_problems(entry)]:
            raise SpecError(
                [msgspec.structs.replace(one, where=("steps", step, *one.where)) for one in wrong]
            )
        return tuple([member for _, member in seated(entries)])

    def review(self, step: str, review: Review) -> ReviewSpec:
        """Take in the agents of a review; gives what it is."""
        if not isinstance(review, Review):
            raise mistake(step, f"a review is a Review(…), not {review!r}")
        fields = dict(review.fields)
        if review.fixer is not None:
            fields["fixer"] = self.agent(step, review.fixer, "fixer")
        return ReviewSpec(members=self.seats(step, review.by), **fields)

    def join(self, step: str, name: str, spec: AgentSpec) -> None:
        """Take a spec into the plan.

        Raises:
            SpecError: Another agent has that name.
        """
        known = self.agents.setdefault(name, spec)
        if known is not spec and known != spec:
            raise mistake(step, f"two agents are called {name!r}; give one another name")

    def bring(self, step: str, spec: AgentSpec) -> str:
        """Take in an agent of a step's own; it is called like the step if nobody else is."""
        name, number = step, 1
        while name in self.agents:
            name = f"{step}-agent" if number == 1 else f"{step}-agent-{number}"
            number += 1
        self.agents[name] = spec
        return name

    def population(self) -> str:
        """Name who runs populations: one for all steps, as each uses all processor cores."""
        if self._population is None:
            self._population = self.bring("population", AgentSpec(kind="population"))
        return self._population

    def function(self, step: str, fn: Any, told: dict[str, Any]) -> str:
        """Give the agent of a function; all steps that call it alike share one."""
        mode, concurrency = told.pop("mode", None), told.pop("concurrency", None)
        effects = bool(told.pop("effects", False))
        limits = self.bound(step, limits_of(told.pop("limits", None)))
        key = (fn, mode, concurrency, effects, limits)
        known = self._called.get(key)
        if known is not None:
            return known
        options: dict[str, Json] = {"ref": self.functions.name(step, fn)}
        if mode is not None:
            options["mode"] = mode
        name = _UNNAMED.sub("-", fn.__name__).strip("-") or "function"
        spec = AgentSpec(
            kind="function",
            options=options,
            concurrency=concurrency,
            effects=effects,
            limits=limits,
        )
        self._called[key] = self.bring(name, spec)
        return self._called[key]


def retry_of(*agents: Agent[Any]) -> Retry | None:
    """Give the retries of a step that says nothing, by who does it."""
    fails = any(agent.spec.kind in ("model", "local") for agent in agents)
    return _RETRIED if fails else None


def duration(name: str, key: str, value: str | int | float) -> int:
    """Read a duration that was given for a step, or for the plan if `name` is "".

    Raises:
        SpecError: It is none.
    """
    try:
        return parse_duration(value)
    except ValueError as error:
        raise mistake(name, f"{key}: {error}") from None
    except TypeError:
        raise mistake(name, f"{key}: {value!r} is not a duration; write it like '90s'") from None


def _quantile(name: str, value: str) -> float:
    try:
        return read_quantile(value)
    except ValueError as error:
        raise mistake(name, f"hedge: {error}") from None


def output_schema(output: Any) -> Json:
    """Give the schema of an output's type, if it needs one."""
    # Whoever answers in words gives text anyway, and a schema would ask it for JSON.
    return None if output is None or output is str else schema_of(output)
