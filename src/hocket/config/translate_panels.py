"""Turns panels of a file into plans, and finds their texts again in the file.

A panel becomes a plan within its step, whose texts are not those of the file: names of the outer
plan are handed in as inputs. What is wrong with such a plan is shown where the file says it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from hocket.config.models import DefaultsPart
from hocket.config.panel_names import REPLYING, TAKEN, panel_problems
from hocket.config.panel_parts import LearnedPart, PanelPart, PanelStep
from hocket.config.places import Path, Places
from hocket.config.shorthand import REVISED_WITHIN
from hocket.config.staff import Say
from hocket.config.step_parts import NestedStep
from hocket.config.team_shapes import output_of, panel_shape
from hocket.config.translate_calls import CallStep
from hocket.core.errors import ExprError, suggest
from hocket.core.expr import Reference, parse_expr
from hocket.core.specs import AgentSpec, Learned, StepSpec
from hocket.core.template import parse_template
from hocket.core.values import Json
from hocket.workflows.fields import fields_problem
from hocket.workflows.panel import (
    GATHER,
    LATER,
    QUESTION,
    REVISION,
    SELECT,
    SYNTHESIS,
    Panel,
    by_name,
    panel_step,
)

Worker: TypeAlias = CallStep | NestedStep
MakeStep: TypeAlias = Callable[[Path, Worker, DefaultsPart], StepSpec]


class _Drawn(NamedTuple):
    """A panel that was translated.

    Fields:
        panel: What it is.
        step: The step that it became.
        parts: Where its own steps stand below the panel, and what stands there, by the names that
            they have in its plan.
        given: Those steps before they were moved into the plan.
    """

    panel: Panel
    step: StepSpec
    parts: dict[str, tuple[Path, Worker]]
    given: dict[str, StepSpec]

    def moved(self, name: str) -> StepSpec:
        """Give a step as it is in the plan."""
        assert self.step.plan is not None
        return next(step for step in self.step.plan.steps if step.name == name)


class Spot(NamedTuple):
    """Where something stands in a file.

    Fields:
        where: The place, or that of the step which it is in.
        offset: The character within the text, if that is meant.
        about: The step; None if the place is exact.
        rest: The path below the step's spec.
        hint: What may have been meant.
    """

    where: Path
    offset: int | None = None
    about: Worker | None = None
    rest: Path = ()
    hint: str = ""


class Panels:
    """Translates the panels of one file.

    Args:
        make: Translates a contributor, a router, or whoever replies.
        agents: The agents met so far, by name.
        places: Where things stand.
        say: Is told what is wrong.
    """

    def __init__(
        self, make: MakeStep, agents: Mapping[str, AgentSpec], places: Places, say: Say
    ) -> None:
        self._make = make
        self._agents = agents
        self._places = places
        self._say = say
        self._drawn: dict[Path, _Drawn] = {}
        self._of_plan: dict[str, list[Path]] = {}

    def step(
        self, where: Path, about: PanelStep, defaults: DefaultsPart, common: dict[str, Json]
    ) -> StepSpec | None:
        """Translate a step that a panel does; None if that cannot be done."""
        part = about.panel
        place: Path = (*where, "panel")
        for problem in panel_problems(part.agents, part.about, part.select):
            self._say((*place, *problem.where), problem.message, problem.hint, problem.offset)
        parts = _parts(part)
        made = {
            name: self._make((*place, *key), one, defaults) for name, (key, one) in parts.items()
        }
        for name in (SYNTHESIS, REVISION):
            agent = self._agents.get(made[name].agent) if name in made else None
            if agent is not None and agent.kind == "function":
                made[name] = by_name(made[name])
        panel = Panel(
            question=part.question,
            contributors=tuple([made[name] for name in part.agents]),
            synthesis=made[SYNTHESIS],
            quorum=part.quorum,
            within=_within(part),
            select=part.select if isinstance(part.select, str) else made.get(SELECT),
            about=part.about,
            late=REVISED_WITHIN if part.revise is None and part.revision else part.revise,
            revision=made.get(REVISION),
            **({} if about.timeout is None else {"timeout": about.timeout}),
        )
        shapes = {step.name: output_of(step) for step in panel.contributors}
        try:
            step = panel_step(
                output=panel_shape(output_of(panel.synthesis), shapes), panel=panel, **common
            )
        except ExprError as error:
            self._say(place, str(error), error.hint)
            return None
        self._drawn[where] = _Drawn(panel, step, parts, made)
        self._of_plan.setdefault(str(where[1]), []).append(where)
        return step

    def drawn(self, plan: str) -> list[tuple[Path, StepSpec]]:
        """Give the panels of a plan that were translated, with the places of their steps."""
        return [(where, self._drawn[where].step) for where in self._of_plan.get(plan, ())]

    # -- the outer plan ---------------------------------------------------------------------

    def misspelt(self, plan: str, steps: Sequence[StepSpec]) -> None:
        """Say which texts ask steps of the outer plan for fields that they cannot have."""
        drawn_here = self.drawn(plan)
        outside = {step.name: step for step in steps} if drawn_here else {}
        for where, _ in drawn_here:
            drawn = self._drawn[where]
            for spot, reference in self._references(where, drawn):
                outer = outside.get(reference.root)
                inside = reference.root in drawn.given or reference.root in TAKEN
                if outer is None or inside or outer.name == where[-1]:
                    continue
                wrong = fields_problem(outer, reference.names[1:], reference.root)
                if wrong is not None:
                    self._say(spot.where, wrong[0], wrong[1], spot.offset)

    # -- places -----------------------------------------------------------------------------

    def find(self, where: Path, rest: Path, offset: int | None) -> Spot:
        """Find what the spec of a panel's step has at a path."""
        place: Path = (*where, "panel")
        drawn = self._drawn[where]
        match rest:
            case ("plan", "steps", str(name), *below) if name in drawn.parts or name == REVISION:
                key, part = drawn.parts.get(name, drawn.parts[SYNTHESIS])
                given = drawn.given.get(name, drawn.given[SYNTHESIS])
                offset = _before(given, drawn.moved(name), tuple(below), offset)
                return Spot((*place, *key), offset, part, tuple(below))
            case ("plan", "steps", str(name), *below):
                key = {GATHER: tuple(below), LATER: ("revise",)}.get(name, ())
                return Spot((*place, *key))
            case ("plan", "timeout"):
                return Spot((*where, "timeout"))
            case ("input", "question", *below):
                return Spot((*place, "question", *below), offset)
            case ("input", str(name), *_):
                return self._handed_in(where, drawn, name)
            case _:
                return Spot(self._places.find(where, rest), offset)

    def _handed_in(self, where: Path, drawn: _Drawn, name: str) -> Spot:
        """Find the first text that names what is handed in from outside."""
        outer = name.removeprefix("outer-")
        wanted: Path = ("inputs", name) if outer == name else (outer,)
        for spot, reference in self._references(where, drawn):
            if reference.names[: len(wanted)] == wanted:
                own = [step.name for step in drawn.panel.contributors]
                known = [] if outer == name else [*own, QUESTION, *REPLYING]
                return spot._replace(hint=suggest(outer, known))
        return Spot((*where, "panel"))

    def _references(self, where: Path, drawn: _Drawn) -> Iterator[tuple[Spot, Reference]]:
        """Give every name that texts of a panel read, but those of its question, with its place."""
        place: Path = (*where, "panel")
        if isinstance(drawn.panel.select, str):
            for reference in _read(drawn.panel.select):
                yield Spot((*place, "select"), reference.offset), reference
        for name, (key, _) in drawn.parts.items():
            for below, reference in _texts(drawn.given[name]):
                exact = self._places.find((*place, *key), below)
                yield Spot(exact, reference.offset), reference


def _parts(part: PanelPart) -> dict[str, tuple[Path, Worker]]:
    """Give the steps of a panel by the names that they have in its plan, with their places."""
    found: dict[str, tuple[Path, Worker]] = {}
    if part.select is not None and not isinstance(part.select, str):
        found[SELECT] = (("select",), part.select)
    for name, one in part.agents.items():
        found[name] = (("agents", name), one)
    found[SYNTHESIS] = (("synthesis",), part.synthesis)
    if part.revision is not None:
        found[REVISION] = (("revision",), part.revision)
    return found


def _within(part: PanelPart) -> int | Learned | None:
    if isinstance(part.within, LearnedPart):
        about = part.within
        return Learned(cap=about.cap, floor=about.floor, quantile=about.learned)
    return part.within


def _texts(step: StepSpec) -> Iterator[tuple[Path, Reference]]:
    """Give every name that a step's texts read, with the path of its text."""
    for place, reference in _templates(step.input):
        yield ("input", *place), reference
    for field in ("when", "each"):
        for reference in _read(getattr(step, field) or "true"):
            yield (field,), reference
    if step.repeat is not None:
        for reference in _read(step.repeat.until):
            yield ("repeat", "until"), reference


def _templates(tree: Json) -> tuple[tuple[Path, Reference], ...]:
    """Read templates; of those that cannot be read the plan's checker says what is wrong."""
    try:
        return parse_template(tree).references
    except ExprError:
        return ()


def _read(text: str) -> tuple[Reference, ...]:
    """Read an expression, as `_templates` does templates."""
    try:
        return tuple(parse_expr(text).references)
    except ExprError:
        return ()


def _before(given: StepSpec, moved: StepSpec, rest: Path, offset: int | None) -> int | None:
    """Say which character of a text is meant, before it was moved into a panel's plan."""
    old, new = _at(given, rest), _at(moved, rest)
    if offset is None or not isinstance(old, str) or not isinstance(new, str) or old == new:
        return offset if old == new else None
    is_template = rest[:1] == ("input",)
    was, now = _offsets(old, is_template), _offsets(new, is_template)
    if offset in now:
        # What was put before it, as a condition, may name something, too.
        number = now.index(offset) - len(now) + len(was)
        return was[number] if number >= 0 else None
    # Only a condition is put in brackets behind another; what cannot be read is left as it is.
    start = len(new) - len(old) - 1
    return offset - start if new.endswith(f"({old})") and offset >= start else None


def _offsets(text: str, is_template: bool) -> list[int]:
    read = [r for _, r in _templates(text)] if is_template else _read(text)
    return [reference.offset for reference in read]


def _at(step: StepSpec, rest: Path) -> Json:
    node: Json = step
    for key in rest:
        if isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, list) and isinstance(key, int) and key < len(node):
            node = node[key]
        else:
            node = getattr(node, str(key), None)
    return node
