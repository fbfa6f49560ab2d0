"""Finds everything that is wrong with a spec before anything of it runs.

Pure, and linear in the number of steps: a plan of 100,000 steps is checked in about a second.
It never stops at the first mistake, and it names places by path: whoever read the spec from a file
turns a path into a line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec

from hocket.core.errors import ExprError, Problem, suggest
from hocket.core.expr import Reference, parse_expr
from hocket.core.specs import RETRIED, PlanSpec, Retry, RunSpec, StepSpec
from hocket.core.template import Place, parse_template
from hocket.core.values import DAY, Json, format_duration
from hocket.workflows.check_approval import approval_problems
from hocket.workflows.check_limits import claim_problems, learned_problems, limit_problems
from hocket.workflows.check_staff import staff_problems
from hocket.workflows.check_team import team_problems
from hocket.workflows.fields import fields_problem
from hocket.workflows.loops import loops

MAX_STEPS: Final = 1_000_000
"""The most steps of a run, those of nested plans counted each time they are used."""
MAX_DEPTH: Final = 8
"""How deeply plans may be nested."""
MAX_ROUNDS: Final = 100_000
MAX_TRIES: Final = 1_000
MAX_PARALLEL: Final = 100_000
MAX_TIME: Final = 3_650 * DAY

RESERVED: Final = (
    *("inputs", "steps", "item", "index", "round", "previous", "run"),
    *("and", "or", "not", "in", "true", "false", "null"),
)
"""Names that mean something else in templates and expressions."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}\Z")
_BARE = re.compile(r"\{\{ *([A-Za-z][A-Za-z0-9_-]*) *\}\}")
_STEP_FIELDS = ("status", "output", "error")
_RUN_FIELDS = ("id", "name")
_CONSTANTS = ("true", "false", "null")
_OPERATORS = ("and", "or", "not", "in")
_SUGGESTED_FROM = 2_000


def problems(spec: RunSpec, *, whole: bool = True) -> list[Problem]:
    """Find everything wrong with a spec, in the order of its steps.

    Args:
        spec: What to check.
        whole: Whether to look at agents and into nested plans too; a caller that checks many plans
            which share them does so once.
    """
    found: list[Problem] = []
    if not 1 <= spec.max_parallel <= MAX_PARALLEL:
        found.append(
            Problem(
                where=("max_parallel",),
                message=f"max_parallel lies between 1 and {MAX_PARALLEL:,}, "
                f"not {spec.max_parallel:,}",
            )
        )
    if whole:
        found.extend(_agent_problems(spec))
        found.extend(limit_problems(spec))
    _Checker(spec.workflow, spec, (), found, [0], 0 if whole else None).check()
    return found


def _agent_problems(spec: RunSpec) -> Iterator[Problem]:
    for name in spec.agents:
        yield from name_problems(name, "an agent's name", ("agents", name))
    yield from staff_problems(spec.agents)


def name_problems(name: str, what: str, where: Place) -> Iterator[Problem]:
    """Say what is wrong with a name; `what` begins the sentence."""
    if not _NAME.match(name):
        yield Problem(
            where=where,
            message=f"{what} has letters a-z, digits, '_' and '-', first a letter, "
            f"at most 100 in all; not {name[:60]!r}",
        )
    elif name in RESERVED:
        yield Problem(where=where, message=f"{name!r} has another meaning in templates: rename it")


def complete(spec: RunSpec) -> RunSpec:
    """Add to each step's needs the steps that its templates and expressions name.

    A step that is named there but wanted stays wanted.
    Texts that cannot be read are left alone: `problems` tells about them.
    """
    return msgspec.structs.replace(spec, workflow=complete_plan(spec.workflow))


def complete_plan(plan: PlanSpec) -> PlanSpec:
    """Do as `complete` does, for one plan and those nested in it."""
    names = {step.name for step in plan.steps}
    steps = tuple([_complete_step(step, names) for step in plan.steps])
    return msgspec.structs.replace(plan, steps=steps)


def _complete_step(step: StepSpec, names: set[str]) -> StepSpec:
    new: dict[str, None] = {}
    for reference in references(step):
        name = _step_named(reference.names)
        if name in names and name != step.name:
            new[str(name)] = None
    missing = [name for name in new if name not in step.needs and name not in step.wants]
    changes: dict[str, Json] = {}
    if missing:
        changes["needs"] = (*step.needs, *missing)
    if step.plan is not None:
        changes["plan"] = complete_plan(step.plan)
    return msgspec.structs.replace(step, **changes) if changes else step


def references(step: StepSpec) -> Iterator[Reference]:
    """Give every name that a step's templates and expressions read; unreadable texts give none."""
    for text, is_template, _where in _texts(step):
        try:
            yield from _read(text, is_template)
        except ExprError:
            continue


def _step_named(names: tuple[str | int, ...]) -> str | None:
    """Say which step a reference may mean."""
    if names[0] == "steps":
        return str(names[1]) if len(names) > 1 else None
    return str(names[0])


def _texts(step: StepSpec) -> Iterator[tuple[str, bool, Place]]:
    """Give every text of a step that may name others: itself, whether a template, its place."""
    if step.input is not None:
        yield from _templates(step.input, ("input",))
    if step.when is not None:
        yield step.when, False, ("when",)
    if step.each is not None:
        yield step.each, False, ("each",)
    if step.repeat is not None:
        yield step.repeat.until, False, ("repeat", "until")


def _templates(tree: Json, where: Place) -> Iterator[tuple[str, bool, Place]]:
    # A stack and not recursion: Python's own limit must not decide how deep a tree may be.
    stack: list[tuple[Json, Place]] = [(tree, where)]
    while stack:
        node, place = stack.pop()
        if isinstance(node, str):
            if "{{" in node:
                yield node, True, place
        elif isinstance(node, dict):
            stack.extend([(v, (*place, str(k))) for k, v in reversed(node.items())])
        elif isinstance(node, list | tuple):
            stack.extend([(node[i], (*place, i)) for i in range(len(node) - 1, -1, -1)])


def _read(text: str, is_template: bool) -> Iterable[Reference]:
    if not is_template:
        return parse_expr(text).references
    # Nearly all templates of a large plan are bare names, which need no parser.
    bare = list(_BARE.finditer(text))
    if len(bare) == text.count("{{") and not any(m[1] in _OPERATORS for m in bare):
        return [Reference((m[1],), m.start(1)) for m in bare if m[1] not in _CONSTANTS]
    return [reference for _, reference in parse_template(text).references]


class _Checker:
    """Checks one plan; nested ones get a checker each and share `found` and `count`.

    A `depth` of None means that nested ones are left out.
    """

    def __init__(
        self,
        plan: PlanSpec,
        spec: RunSpec,
        where: Place,
        found: list[Problem],
        count: list[int],
        depth: int | None,
    ) -> None:
        self.plan = plan
        self.agents = spec.agents
        self.spec = spec
        self.where = where
        self.found = found
        self.count = count
        self.depth = depth
        self.steps: dict[str, StepSpec] = {}
        self.edges: dict[str, dict[str, Place]] = {}

    def check(self) -> None:
        plan = self.plan
        self.count[0] += len(plan.steps)
        if self.count[0] > MAX_STEPS:
            self.say(("steps",), f"a run has {MAX_STEPS:,} steps at most, nested ones included")
            return
        if not plan.steps:
            self.say(("steps",), "a plan has at least one step")
        if not 0 < plan.timeout <= MAX_TIME:
            self.say(("timeout",), _time_message("timeout", plan.timeout))
        for name in plan.inputs:
            self.found.extend(name_problems(name, "an input's name", (*self.where, "inputs", name)))
        for step in plan.steps:
            place: Place = ("steps", step.name)
            if step.name in self.steps:
                self.say(place, f"there are two steps named {step.name!r}")
            self.steps[step.name] = step
            self.found.extend(name_problems(step.name, "a step's name", (*self.where, *place)))
        for step in plan.steps:
            self._step(step)
        self._output()
        self._cycles()
        said = approval_problems(plan, self.agents, self.edges, self.where, MAX_TIME)
        self.found.extend(said)

    def say(self, where: Place, message: str, hint: str = "", offset: int | None = None) -> None:
        self.found.append(
            Problem(where=(*self.where, *where), message=message, hint=hint, offset=offset)
        )

    def hint(self, word: str, known: Iterable[str]) -> str:
        """Suggest a name; in a huge plan only among names that are alike at sight."""
        # Comparing is slow, and a spec with hundreds of mistakes has another cause than typing.
        if len(self.found) > 200:
            return ""
        names = list(known)
        if len(names) > _SUGGESTED_FROM:
            alike = [n for n in names if n[:1] == word[:1] and abs(len(n) - len(word)) <= 1]
            names = alike[:_SUGGESTED_FROM]
        return suggest(word, names)

    def _step(self, step: StepSpec) -> None:
        place: Place = ("steps", step.name)
        edges: dict[str, Place] = {}
        self.edges[step.name] = edges
        if step.needs or step.wants:
            self._waits(step, place, edges)
        self._who(step, place)
        self._numbers(step, place)
        if step.uses or step.takes is not None or step.hedge is not None:
            self.found.extend(claim_problems(step, self.spec, (*self.where, *place)))
        if step.learned:
            self.found.extend(learned_problems(step, (*self.where, *place)))
        for text, is_template, where in _texts(step):
            self._text(step, text, is_template, (*place, *where), edges)
        if step.kind == "plan":
            self._nested(step, place)
        elif step.kind in ("consensus", "review") or step.team or step.review:
            self.found.extend(team_problems(step, self.spec, (*self.where, *place)))

    def _waits(self, step: StepSpec, place: Place, edges: dict[str, Place]) -> None:
        for field, names in (("needs", step.needs), ("wants", step.wants)):
            for i, name in enumerate(names):
                where = (*place, field, i)
                if name == step.name:
                    self.say(where, f"step {name!r} waits for itself")
                elif name not in self.steps:
                    self.say(where, f"unknown step {name!r}", self.hint(name, self.steps))
                elif name in edges:
                    self.say(where, f"step {name!r} is named twice")
                else:
                    edges[name] = where

    def _who(self, step: StepSpec, place: Place) -> None:
        if step.kind == "call":
            if not step.agent:
                self.say(place, f"step {step.name!r} names no agent")
            elif step.agent not in self.agents:
                hint = self.hint(step.agent, self.agents)
                self.say((*place, "agent"), f"unknown agent {step.agent!r}", hint)
            for i, name in enumerate(step.fallback):
                where = (*place, "fallback", i)
                if name not in self.agents:
                    self.say(where, f"unknown agent {name!r}", self.hint(name, self.agents))
                elif name == step.agent or name in step.fallback[:i]:
                    self.say(where, f"agent {name!r} has had its tries already")
            return
        if step.agent:
            self.say((*place, "agent"), f"a step of kind {step.kind!r} has no agent")
        if step.fallback:
            self.say((*place, "fallback"), f"a step of kind {step.kind!r} has no fallback")
        if step.review is not None:
            self.say((*place, "review"), f"a step of kind {step.kind!r} has no output to review")
        if step.repeat is not None and step.kind in ("approve", "input"):
            self.say((*place, "repeat"), "a step that waits for a person cannot be repeated")
        if step.kind == "gather":
            self._gathers(step, place)
        if step.kind == "input" and step.on_timeout == "approve":
            message = "a step that waits for input has nothing to approve: pause or reject"
            self.say((*place, "on_timeout"), message)

    def _gathers(self, step: StepSpec, place: Place) -> None:
        if not step.wants:
            self.say((*place, "wants"), f"step {step.name!r} gathers what it wants: name steps")
        for field, value in (("each", step.each), ("repeat", step.repeat), ("input", step.input)):
            if value is not None:
                self.say((*place, field), f"a step that gathers has no {field}")

    def _numbers(self, step: StepSpec, place: Place) -> None:
        if not 0 < step.timeout <= MAX_TIME:
            self.say((*place, "timeout"), _time_message("timeout", step.timeout))
        if not step.wants:
            for field, value in (("within", step.within), ("quorum", step.quorum)):
                if value is not None:
                    self.say((*place, field), f"{field} is about wants, and there are none")
        else:
            if step.within is not None and not 0 <= step.within <= MAX_TIME:
                self.say((*place, "within"), _time_message("within", step.within))
            if step.quorum is not None and not 1 <= step.quorum <= len(step.wants):
                message = f"quorum {step.quorum} of {len(step.wants)} wants cannot be met"
                if step.quorum < 1:
                    message = "quorum is at least 1"
                self.say((*place, "quorum"), message)
        if step.repeat is not None and not 1 <= step.repeat.max <= MAX_ROUNDS:
            message = f"max lies between 1 and {MAX_ROUNDS:,}, not {step.repeat.max:,}"
            self.say((*place, "repeat", "max"), message)
        if step.output is not None and not isinstance(step.output, dict | bool):
            self.say((*place, "output"), "output is a JSON Schema: an object")
        # Most steps share one policy, and comparing is cheaper than checking.
        if step.retry != _NO_RETRY:
            for field, message in _retry_problems(step.retry):
                self.say((*place, "retry", field), message)

    def _text(
        self, step: StepSpec, text: str, is_template: bool, where: Place, edges: dict[str, Place]
    ) -> None:
        try:
            read = _read(text, is_template)
        except ExprError as error:
            self.say(where, str(error), error.hint, error.offset)
            return
        for reference in read:
            self._reference(step, reference, where)
            name = _step_named(reference.names)
            if name in self.steps and name != step.name and name not in RESERVED:
                edges.setdefault(str(name), where)

    def _reference(self, step: StepSpec | None, reference: Reference, where: Place) -> None:
        """Judge one name in a template or expression of a step, or of the plan's output."""
        names, offset = reference.names, reference.offset
        root = names[0]
        result: tuple[str, str] | None = None
        if root == "inputs":
            result = self._known("input", names, self.plan.inputs)
        elif root == "run":
            result = self._known("field of run:", names, _RUN_FIELDS)
        elif root == "steps":
            result = self._known("step", names, self.steps) or self._through_steps(
                step, names, where
            )
        elif root in ("item", "index"):
            if step is None or step.each is None or where[-1:] in (("each",), ("when",)):
                result = f"{root!r} has a meaning only in the input of a step with each", ""
        elif root in ("round", "previous"):
            if step is None or step.repeat is None or where[-1:] in (("each",), ("when",)):
                result = f"{root!r} has a meaning only in a step with repeat", ""
            elif root == "previous":
                result = fields_problem(step, names[1:], "previous", each=False)
        elif root in self.steps:
            result = self._through(step, str(root), names[1:], where)
        else:
            result = f"unknown name {root!r}", self._root_hint(str(root))
        if result is not None:
            self.say(where, result[0], result[1], offset)

    def _known(
        self, what: str, names: tuple[str | int, ...], known: Collection[str]
    ) -> tuple[str, str] | None:
        if len(names) < 2:
            # The whole of `inputs` or `run` is a value like any other.
            return ("say which step, as in steps.NAME.status", "") if names[0] == "steps" else None
        if str(names[1]) in known:
            return None
        return f"unknown {what} {names[1]!r}", self.hint(str(names[1]), known)

    def _root_hint(self, root: str) -> str:
        if root in self.plan.inputs:
            return f"did you mean 'inputs.{root}'?"
        return self.hint(root, (*self.steps, "inputs", "item", "index", "previous", "run"))

    def _through_steps(
        self, step: StepSpec | None, names: tuple[str | int, ...], where: Place
    ) -> tuple[str, str] | None:
        name, fields = str(names[1]), names[2:]
        if not fields or fields[0] not in _STEP_FIELDS:
            said = f"steps.{name} has status, output and error"
            return said, self.hint(str(fields[0]), _STEP_FIELDS) if fields else ""
        return self._through(step, name, fields[1:] if fields[0] == "output" else (), where)

    def _through(
        self, step: StepSpec | None, name: str, fields: tuple[str | int, ...], where: Place
    ) -> tuple[str, str] | None:
        own = step is not None and name == step.name
        if own and where[-1:] != ("until",):
            return f"step {name!r} cannot use its own output, except in until", ""
        return fields_problem(self.steps[name], fields, name, each=not own)

    def _nested(self, step: StepSpec, place: Place) -> None:
        if step.plan is None:
            self.say(place, f"step {step.name!r} has no plan to run")
            return
        if self.depth is not None and self.depth >= MAX_DEPTH:
            self.say((*place, "plan"), f"plans may be nested {MAX_DEPTH} deep at most")
            return
        given = step.input if step.input is not None else {}
        if isinstance(given, dict):
            for name in given:
                if name not in step.plan.inputs:
                    hint = self.hint(str(name), step.plan.inputs)
                    message = f"plan {step.plan.name!r} has no input {name!r}"
                    self.say((*place, "input", name), message, hint)
            for name, about in step.plan.inputs.items():
                if about.required and name not in given:
                    message = f"plan {step.plan.name!r} needs the input {name!r}"
                    self.say((*place, "input"), message)
        elif not isinstance(given, str) or "{{" not in given:
            self.say((*place, "input"), "a nested plan's inputs are an object of names and values")
        if self.depth is None:
            return
        nested = (*self.where, *place, "plan")
        _Checker(step.plan, self.spec, nested, self.found, self.count, self.depth + 1).check()

    def _output(self) -> None:
        for text, is_template, where in _templates(self.plan.output, ("output",)):
            try:
                for reference in _read(text, is_template):
                    self._reference(None, reference, where)
            except ExprError as error:
                self.say(where, str(error), error.hint, error.offset)

    def _cycles(self) -> None:
        for loop in loops({name: tuple(edges) for name, edges in self.edges.items()}):
            shown = list(loop)
            if len(loop) > 8:
                shown = [*loop[:4], f"… ({len(loop) - 6:,} more)", *loop[-2:]]
            said = " → ".join((*shown, loop[0]))
            # An arrow means "waits for", so the first step's own entry is the place to mend.
            where = self.edges[loop[0]][loop[1 % len(loop)]]
            self.say(where, f"steps wait for each other: {said}")


_NO_RETRY = Retry()


def _time_message(field: str, value: int) -> str:
    if value <= 0:
        return f"{field} must be longer than 0"
    return f"{field} is 10 years at most, not {format_duration(value)}"


def _retry_problems(retry: Retry) -> Iterator[tuple[str, str]]:
    if not 1 <= retry.tries <= MAX_TRIES:
        yield "tries", f"tries lies between 1 and {MAX_TRIES:,}, not {retry.tries:,}"
    for kind in retry.on:
        if kind not in RETRIED:
            known = ", ".join(RETRIED)
            yield "on", f"a retry cannot help against {kind!r}; there are {known}"
    if not 0 <= retry.first <= MAX_TIME:
        yield "first", "the first back-off cannot be negative or above 10 years"
    if not retry.first <= retry.longest <= MAX_TIME:
        yield "longest", "the longest back-off is not shorter than the first, and 10 years at most"
    if not 1 <= retry.factor <= 1_000:
        yield "factor", f"factor lies between 1 and 1,000, not {retry.factor:g}"
    if not 0 <= retry.jitter <= 1:
        yield "jitter", f"jitter lies between 0 and 1, not {retry.jitter:g}"
