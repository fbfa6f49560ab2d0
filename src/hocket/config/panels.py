"""Makes the step of a panel of what a Python program says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from hocket.config.agent import Agent
from hocket.config.draft import Draft, duration, output_schema, retry_of
from hocket.config.functions import mistake, result_type
from hocket.config.handles import Handle
from hocket.config.panel import Contributor, Learned
from hocket.config.panel_names import panel_problems
from hocket.config.shorthand import REVISED_WITHIN, read_revise
from hocket.config.team_shapes import output_of, panel_shape
from hocket.config.told import Duration
from hocket.core.errors import ExprError, SpecError
from hocket.core.specs import Learned as LearnedSpec
from hocket.core.specs import StepSpec
from hocket.core.values import Json
from hocket.workflows.check_team import is_empty
from hocket.workflows.check_types import fits
from hocket.workflows.panel import (
    REVISION,
    SELECT,
    SYNTHESIS,
    Panel,
    by_name,
    panel_step,
)

Who: TypeAlias = "Agent[Any] | Contributor[Any] | Callable[..., Any]"


class Drawing:
    """A panel on its way into a plan.

    Args:
        draft: The plan in the making.
        name: What the step is called.
        agents: The contributors by name.
    """

    def __init__(self, draft: Draft, name: str, agents: Mapping[str, Who]) -> None:
        self._draft = draft
        self._name = name
        if not isinstance(agents, Mapping):
            said = f"agents of a panel are contributors by name, not {agents!r}"
            raise mistake(name, said, 'write {"NAME": agent}')
        self._who = {str(key): _contributor(who) for key, who in agents.items()}
        self._used: dict[str, None] = {}

    def panel(
        self,
        question: Any,
        synthesis: Who,
        quorum: int | None,
        within: Duration | Learned | None,
        select: str | Who | None,
        revise: bool | Duration,
        revision: Who | None,
        timeout: Duration | None,
    ) -> Panel:
        """Give what the panel is.

        Raises:
            SpecError: Something does not fit.
        """
        about = {key: who.about for key, who in self._who.items() if who.about}
        self._judge(question, quorum, select)
        late = self._late(revise)
        return Panel(
            question=self._draft.json(self._name, question, self._used),
            contributors=tuple([self._step(key, who) for key, who in self._who.items()]),
            synthesis=self._replying(SYNTHESIS, synthesis),
            quorum=quorum,
            within=self._within(within),
            select=select
            if select is None or isinstance(select, str)
            else self._step(SELECT, _contributor(select)),
            about=about,
            late=REVISED_WITHIN if late is None and revision is not None else late,
            revision=None if revision is None else self._replying(REVISION, revision),
            **({} if timeout is None else {"timeout": self._duration("timeout", timeout)}),
        )

    def add(self, panel: Panel, gives: Any, told: dict[str, Any], after: Sequence[Handle]) -> None:
        """Add the step.

        Raises:
            SpecError: There is such a step, or something does not fit.
        """
        shapes = {step.name: output_of(step) for step in panel.contributors}
        try:
            made = panel_step(self._name, panel)
        except ExprError as error:
            raise mistake(self._name, str(error), error.hint) from None
        needs = told.get("needs") or ()
        stated = [needs] if isinstance(needs, str) or not isinstance(needs, Sequence) else needs
        told["needs"] = [*stated, *(name for name in self._used if name not in stated)]
        self._draft.add(
            self._name,
            gives,
            told,
            made.input,
            after,
            kind="plan",
            plan=made.plan,
            output=panel_shape(output_of(panel.synthesis), shapes),
        )

    @staticmethod
    def reply_of(synthesis: Who) -> Any:
        """Give the type of the reply."""
        who = _contributor(synthesis)
        if who.output is not None:
            return who.output
        return who.who.output if isinstance(who.who, Agent) else result_type(who.who)

    # -- within -----------------------------------------------------------------------------

    def _step(self, key: str, who: Contributor[Any]) -> StepSpec:
        """Make a step of the panel; handles in it are of steps outside."""
        draft, used, told = self._draft, dict[str, None](), dict(who.told)
        if not isinstance(who.who, Agent) and not callable(who.who):
            said = f"{key} is an Agent(…), a Contributor(…) or a function, not {who.who!r}"
            hint = "write an expression as a text" if key == SELECT else ""
            raise mistake(self._name, said, hint)
        for need in _listed(told.get("needs")):
            if not isinstance(need, str):
                said = f"{key!r} waits for contributors by name; give {need!r} to the panel"
                raise mistake(self._name, said)
        schema: Json
        if isinstance(who.who, Agent):
            agent = draft.agent(self._name, who.who)
            schema = who.who.schema if who.output is None else output_schema(who.output)
            if told.get("retry") is None:
                told["retry"] = retry_of(who.who)
        else:
            agent, schema = draft.function(key, who.who, told), output_schema(who.output)
        made = draft.made(key, told, who.prompt, {"agent": agent, "output": schema}, used)
        for name in used:
            if name in self._who:
                said = f"a step and a contributor are both called {name!r}: rename one"
                raise mistake(self._name, said)
        self._used.update(used)
        return msgspec.structs.replace(made, needs=tuple(n for n in made.needs if n not in used))

    def _replying(self, key: str, given: Who) -> StepSpec:
        """Make the step of who replies; a function is told by name what there is."""
        who = _contributor(given)
        made = self._step(key, who)
        function = not isinstance(who.who, Agent) or who.who.spec.kind == "function"
        return by_name(made) if function else made

    def _judge(self, question: Any, quorum: Any, select: Any) -> None:
        if not self._who:
            raise mistake(self._name, "a panel has at least one contributor")
        if is_empty(question):
            raise mistake(self._name, "there is no question to reply to")
        if not fits(quorum, int | None):
            raise mistake(self._name, f"quorum is a whole number, not {quorum!r}")
        for key, who in self._who.items():
            if not isinstance(who.about, str):
                raise mistake(self._name, f"what {key} is good at is a text, not {who.about!r}")
        if wrong := [*panel_problems(self._who, (), select)]:
            place = ("steps", self._name)
            raise SpecError(
                [msgspec.structs.replace(one, where=(*place, *one.where)) for one in wrong]
            )

    def _late(self, revise: bool | Duration) -> int | None:
        try:
            return read_revise(revise)
        except ValueError as error:
            raise mistake(self._name, f"revise: {error}") from None

    def _within(self, within: Duration | Learned | None) -> int | LearnedSpec | None:
        if isinstance(within, Learned):
            return within.spec
        return None if within is None else self._duration("within", within)

    def _duration(self, key: str, value: Duration) -> int:
        return duration(self._name, key, value)


def _contributor(given: Who) -> Contributor[Any]:
    return given if isinstance(given, Contributor) else Contributor(given)


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]
