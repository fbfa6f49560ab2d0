"""Builds plans in Python: each method adds a step and hands out its typed handle.

The plan is data: it can be checked, drawn and compared before anything of it runs.
Neither pydantic nor YAML is imported here; the first type that needs pydantic imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Unpack, final, overload

import msgspec

from hocket.config.approval import Approving, filled, patient_steps, read_approval, size_of
from hocket.config.argv import guard_dashes, split
from hocket.config.calls import Calls
from hocket.config.draft import Draft, duration, output_schema
from hocket.config.functions import mistake, result_type
from hocket.config.handles import Approval, Handle, Ref, Step
from hocket.config.limit import Budget, Limit, Money, budgets_of, limits_of
from hocket.config.populations import Populations
from hocket.config.shorthand import beside_files
from hocket.config.teams import Teams
from hocket.config.told import Duration, Waits, Work
from hocket.config.types import schema_of
from hocket.core.specs import AgentSpec, InputSpec, OnTimeout, PlanSpec, RunSpec
from hocket.core.values import Json
from hocket.workflows.check import complete_plan

T = TypeVar("T")
P = TypeVar("P")


@final
class Plan(Calls, Teams, Populations):
    """A workflow of steps, each started the moment its inputs are there.

    Args:
        name: What people call it.
        max_parallel: The most calls at once.
        timeout: The longest that a run may take.
        inputs: What a run must be given, by name; or by name what it may be given, and its default.
        closures: Whether functions are allowed that only this program can find: lambdas and those
            defined inside others. Such a run is resumed by this program alone.
        limits: The limits of which every call of a run claims one unit.
        budget: The most that a run may spend: dollars, a `Budget`, or one per run and one per day.
        priority: Runs of a higher one go first where limits are shared.
        weight: The share of a contended limit, beside other runs of the same priority.
        deadline: How long after its start a run should be over; nearer ones go first.
        approve: Whether a person approves of a run before it begins; or a dict that says how long
            that is waited for, and what no answer means.
    """

    def __init__(
        self,
        name: str,
        *,
        max_parallel: int = 16,
        timeout: Duration | None = None,
        inputs: Iterable[str] | Mapping[str, InputSpec] = (),
        closures: bool = False,
        limits: Sequence[Limit] | Limit = (),
        budget: Sequence[Budget] | Budget | Money | None = None,
        priority: int = 0,
        weight: float = 1.0,
        deadline: Duration | None = None,
        approve: bool | Approving = False,
    ) -> None:
        self.name = name
        self.max_parallel = max_parallel
        self._timeout = None if timeout is None else duration("", "timeout", timeout)
        self._inputs: dict[str, InputSpec] = (
            dict(inputs) if isinstance(inputs, Mapping) else {name: InputSpec() for name in inputs}
        )
        self._draft = Draft(self, closures)
        self._output: Json = None
        self._approval = read_approval("", approve)
        claims = {**limits_of(limits), **budgets_of("plan", name, budget)}
        self._order: dict[str, Json] = {"claims": self._draft.bound("", claims)}
        if priority:
            self._order["priority"] = priority
        if weight != 1:
            self._order["weight"] = float(weight)
        if deadline is not None:
            self._order["deadline"] = duration("", "deadline", deadline)

    # -- what it is made of -----------------------------------------------------------------

    def input(
        self,
        name: str,
        kind: type[T] | None = None,
        *,
        about: str = "",
        **default: Json,
    ) -> Ref[T]:
        """Declare an input of the run; with ``default=`` a run need not give it."""
        if default.keys() - {"default"}:
            raise TypeError(f"input() takes about and default, not {', '.join(default)}")
        required = "default" not in default
        value = default.get("default")
        self._inputs[name] = InputSpec(required=required, default=value, about=about)
        return Ref(self, f"inputs.{name}")

    @overload
    def command(
        self,
        name: str,
        command: Sequence[str | Handle],
        *,
        output: None = None,
        lines: Literal[False] = False,
        stdin: Any = None,
        settings: Mapping[str, Json] | None = None,
        **told: Unpack[Work],
    ) -> Step[str]: ...
    @overload
    def command(
        self,
        name: str,
        command: Sequence[str | Handle],
        *,
        files: Sequence[str],
        stdin: Any = None,
        settings: Mapping[str, Json] | None = None,
        **told: Unpack[Work],
    ) -> Step[dict[str, Any]]: ...
    @overload
    def command(
        self,
        name: str,
        command: Sequence[str | Handle],
        *,
        lines: Literal[True],
        stdin: Any = None,
        settings: Mapping[str, Json] | None = None,
        **told: Unpack[Work],
    ) -> Step[list[str]]: ...
    @overload
    def command(
        self,
        name: str,
        command: Sequence[str | Handle],
        *,
        output: type[P],
        stdin: Any = None,
        settings: Mapping[str, Json] | None = None,
        **told: Unpack[Work],
    ) -> Step[P]: ...
    def command(
        self,
        name: str,
        command: Sequence[str | Handle],
        *,
        output: Any = None,
        lines: bool = False,
        files: Sequence[str] = (),
        stdin: Any = None,
        settings: Mapping[str, Json] | None = None,
        **told: Any,
    ) -> Step[Any]:
        """Run a program with arguments; no shell reads them.

        Args:
            name: What the step is called.
            command: The program and its arguments; those from the first value on are data.
            output: The type of the JSON that it writes; otherwise its text is the output.
            lines: Give a list of lines.
            files: Patterns of files to keep; the output has its ``text`` and its ``files`` by name.
            stdin: What the program reads.
            settings: What a command agent can be told: ``cwd``, ``env``, ``ok`` and others.
            told: See `Work`.

        Raises:
            SpecError: There is such a step, or something does not fit.
        """
        fixed, args = split([str(item) for item in command])
        kind = list[str] if lines else str if output is None else output
        schema = schema_of(list[str]) if lines else output_schema(output)
        options: dict[str, Json] = {"command": fixed, **(settings or {})}
        if lines or output is not None:
            options["output"] = "lines" if lines else "text" if output is str else "json"
        if files:
            options["files"] = list(files)
            kind, schema = dict[str, Any], beside_files(schema)
        if not fixed:
            raise mistake(name, "a command begins with a program, not with a value")
        if said := guard_dashes(args, options):
            raise mistake(name, said)
        agent = AgentSpec(kind="command", options=options, effects=True)
        return self._draft.add(
            name,
            kind,
            told,
            {"args": list(command[len(fixed) :]), "stdin": stdin},
            agent=self._draft.bring(name, agent),
            output=schema,
        )

    def approval(
        self,
        name: str,
        shown: Any = "",
        *after: Handle,
        on_timeout: OnTimeout = "pause",
        confirm_effects: bool = False,
        **told: Unpack[Waits],
    ) -> Step[Approval]:
        """Wait until a person approves of exactly what is shown.

        `confirm_effects` says that ``on_timeout="approve"`` is meant, although what waits for it
        may do harm.
        """
        if isinstance(shown, Step | Ref) and not after:
            after = (shown,)
        return self._draft.add(
            name,
            Approval,
            {**told},
            shown,
            after,
            kind="approve",
            on_timeout=on_timeout,
            **({"confirm_effects": True} if confirm_effects else {}),
        )

    def ask(
        self,
        name: str,
        prompt: Any = "",
        *after: Handle,
        on_timeout: OnTimeout = "pause",
        **told: Unpack[Waits],
    ) -> Step[str]:
        """Wait for a person's text."""
        return self._draft.add(
            name, str, {**told}, prompt, after, kind="input", on_timeout=on_timeout
        )

    def nest(
        self,
        name: str,
        plan: Plan,
        inputs: Mapping[str, Any] | None = None,
        *after: Handle,
        **told: Unpack[Work],
    ) -> Step[Any]:
        """Run another plan as a step; its output is that plan's, `timeout` bounds all of it."""
        nested = plan.spec()
        self._draft.functions.join(name, plan._draft.functions)
        if nested.claims:
            said = f"plan {plan.name!r} has limits of its own, which would not hold within another"
            raise mistake(name, said, "state them on the outer plan, or on the agents")
        for known, spec in nested.agents.items():
            self._draft.join(name, known, spec)
        self._draft.bound(name, nested.limits)
        given = dict(inputs or {})
        work = {**told}
        workflow = nested.workflow
        approves = {} if workflow.approval is None else {"approval": workflow.approval}
        if (limit := told.get("timeout")) is not None:
            longest = min(workflow.timeout, duration(name, "timeout", limit))
            workflow = msgspec.structs.replace(workflow, timeout=longest)
        return self._draft.add(
            name, Any, work, given, after, kind="plan", plan=workflow, **approves
        )

    def returns(self, value: Any) -> None:
        """Say what the plan's output is: a handle, or JSON with handles and templates in it."""
        self._output = self._draft.json("", value, {})

    # -- what it becomes --------------------------------------------------------------------

    def spec(self) -> RunSpec:
        """Give the plan as data."""
        size = size_of(self._draft.steps.values())
        plan = PlanSpec(
            name=self.name,
            steps=patient_steps(self._draft.steps.values(), size),
            approval=filled(self._approval, size),
            inputs=dict(self._inputs),
            output=self._output,
            **({} if self._timeout is None else {"timeout": self._timeout}),
        )
        if self._draft.templates:
            plan = complete_plan(plan)
        return RunSpec(
            workflow=plan,
            agents=dict(self._draft.agents),
            max_parallel=self.max_parallel,
            limits=dict(self._draft.limits),
            **self._order,
        )

    @property
    def live(self) -> dict[str, Any]:
        """The functions themselves, by reference."""
        return dict(self._draft.functions.live)

    def type_of(self, step: Step[T] | str) -> Any:
        """Give the type of a step's output; `Any` if nobody said."""
        name = step if isinstance(step, str) else step.name
        kind = self._draft.types.get(name, Any)
        if isinstance(kind, tuple):
            inner: Any = self._resolved(kind[0])
            return list[inner]
        return self._resolved(kind)

    @staticmethod
    def _resolved(kind: Any) -> Any:
        is_function = callable(kind) and not isinstance(kind, type) and hasattr(kind, "__code__")
        return result_type(kind) if is_function else kind
