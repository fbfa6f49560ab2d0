"""Panel: specialists contribute side by side, and one reply is made of what is there in time.

A panel is a plan, made here from a description: contributors as steps of their own, a router before
them if it is asked for, then ``gather``, which ends with the quorum or at the deadline, the
synthesis, and, if it is asked for, a revision with what came late.
What is pinned in a run is the plan; nothing here is needed to go on with one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from hocket.core.specs import InputSpec, Learned, PlanSpec, StepSpec
from hocket.core.values import DAY, Json
from hocket.workflows.scope import Scope

SELECT: Final = "select"
GATHER: Final = "gather"
SYNTHESIS: Final = "synthesis"
LATER: Final = "later"
REVISION: Final = "revision"
OWN_STEPS: Final = (SELECT, GATHER, SYNTHESIS, LATER, REVISION)
"""The steps of a panel that are no contributors: no contributor may be called so."""

QUESTION: Final = "question"
_ASKED: Final = f"{{{{inputs.{QUESTION}}}}}"


_BY_NAME: Final[Json] = {name: f"{{{{{name}}}}}" for name in (QUESTION, "contributions", "missing")}
"""What a function that replies is told."""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """What a panel is asked, who contributes, and who replies.

    Texts may name steps and inputs of the plan that the panel is a step of.
    Besides, ``question`` is what everybody is asked, and in the texts of the synthesis and of the
    revision ``contributions`` and ``missing`` are what is there and what is not, by name; in those
    of the revision ``reply`` is what is revised.

    Fields:
        question: What everybody is asked.
        contributors: Steps of any kind, by their names; one without input gets the question.
            They begin at once unless they need or want one another; one that fails is missing,
            and nothing else happens. If all of them fail the panel does, and no reply is made.
        synthesis: Who makes the reply; its name counts for nothing. Without input it gets the
            question, the contributions and what is missing in one text; see `by_name`, too.
        quorum: How many contributions are enough to begin the reply; None for all that come in
            time. With fewer it begins when no more can come, or when the time is up.
        within: How long contributions are waited for, once they may begin; None for ever.
        select: Who says which contributors are needed: a step that gives a list of their names, or
            an expression that does. None asks them all. If the step fails all are asked.
        about: What each contributor is good at, for a model that selects.
        late: How long after the reply late contributions are waited for, to revise it; None leaves
            it as it is.
        revision: Who revises, if not whoever has made the reply.
        timeout: The longest that it all may take.
    """

    question: Json
    contributors: tuple[StepSpec, ...]
    synthesis: StepSpec
    quorum: int | None = None
    within: int | Learned | None = None
    select: StepSpec | str | None = None
    about: Mapping[str, str] = {}
    late: int | None = None
    revision: StepSpec | None = None
    timeout: int = 7 * DAY


def panel_plan(panel: Panel, name: str = "panel") -> PlanSpec:
    """Make the plan of a panel; its inputs are the question and what its texts name outside."""
    return _Expansion(panel).plan(name)


def panel_step(name: str, panel: Panel, **fields: Any) -> StepSpec:
    """Make the step of a plan that is done by a panel.

    Its output has ``reply``, ``contributions`` by name, ``missing`` and ``skipped``, which say why
    by name, and ``revised``. Who was skipped was not asked.

    Args:
        name: What the step is called.
        panel: The panel.
        fields: What else its spec says: ``needs``, ``when``, ``each``.
    """
    expansion = _Expansion(panel)
    plan = expansion.plan(name)
    given = {QUESTION: panel.question, **expansion.scope.captured}
    return StepSpec(name=name, kind="plan", plan=plan, input=given, **fields)


def by_name(step: StepSpec) -> StepSpec:
    """Give a function that replies ``question``, ``contributions`` and ``missing`` by name.

    With a fallback it gets the one text that whoever stands in for it can read, too.
    """
    if step.input is not None or step.fallback:
        return step
    return msgspec.structs.replace(step, input=_BY_NAME)


def is_panel(plan: PlanSpec) -> bool:
    """Tell whether a plan is that of a panel."""
    kinds = {step.name: step.kind for step in plan.steps}
    return kinds.get(GATHER) == "gather" and SYNTHESIS in kinds


class _Expansion:
    """One panel on its way to a plan."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._names = tuple(step.name for step in panel.contributors)
        self.scope = Scope({*self._names, *OWN_STEPS}, {QUESTION: f"inputs.{QUESTION}"})

    def plan(self, name: str) -> PlanSpec:
        panel = self._panel
        steps = [
            *self._router(),
            *map(self._contributor, panel.contributors),
            self._gather(GATHER, self._router_name(), panel.within, panel.quorum),
            self._synthesis(),
        ]
        if panel.late is not None:
            later = self._gather(LATER, (SYNTHESIS,), panel.late, None)
            # If nobody has contributed in the end, the reply stays as it is.
            steps.append(msgspec.structs.replace(later, on_failure="skip"))
            steps.append(self._revision())
        return PlanSpec(
            name=name,
            steps=tuple(steps),
            inputs={key: InputSpec() for key in (QUESTION, *self.scope.captured)},
            output=_output(panel.late is not None),
            timeout=panel.timeout,
        )

    def _router_name(self) -> tuple[str, ...]:
        return (SELECT,) if isinstance(self._panel.select, StepSpec) else ()

    def _router(self) -> list[StepSpec]:
        router = self._panel.select
        if not isinstance(router, StepSpec):
            return []
        schema = {"type": "array", "items": {"type": "string", "enum": list(self._names)}}
        changes: dict[str, Any] = {
            "name": SELECT,
            # Who fails to select has said nothing against anybody.
            "on_failure": "continue",
            "output": schema if router.output is None else router.output,
        }
        if router.input is None:
            changes["input"] = _selecting(self._names, self._panel.about)
        return [msgspec.structs.replace(self.scope.step(router), **changes)]

    def _contributor(self, step: StepSpec) -> StepSpec:
        changes: dict[str, Any] = {}
        own = self.scope.step(step)
        chosen = self._chosen(step.name)
        if chosen:
            changes["when"] = chosen if own.when is None else f"({chosen}) and ({own.when})"
        if own.input is None and own.kind != "plan":
            changes["input"] = _ASKED
        if own.on_failure == "stop":
            changes["on_failure"] = "skip"
        return msgspec.structs.replace(own, **changes)

    def _chosen(self, name: str) -> str:
        select = self._panel.select
        if select is None:
            return ""
        if isinstance(select, StepSpec):
            return f"{SELECT} == null or '{name}' in {SELECT}"
        return f"'{name}' in ({self.scope.expr(select)})"

    def _gather(
        self,
        name: Literal["gather", "later"],
        needs: tuple[str, ...],
        within: int | Learned | None,
        quorum: int | None,
    ) -> StepSpec:
        learned = {"within": within} if isinstance(within, Learned) else {}
        return StepSpec(
            name=name,
            kind="gather",
            needs=needs,
            wants=self._names,
            within=within.cap if isinstance(within, Learned) else within,
            quorum=quorum,
            learned=learned,
        )

    def _synthesis(self) -> StepSpec:
        step = self._panel.synthesis
        text = f"{_ASKED}\n\n{_contributed(self._names, GATHER)}\n{_REPLY}"
        return self._replying(SYNTHESIS, step, text, (GATHER,), "stop")

    def _revision(self) -> StepSpec:
        given = self._panel.revision
        reply = self._panel.synthesis
        step = given or msgspec.structs.replace(
            reply, input=_BY_NAME if reply.input == _BY_NAME else None
        )
        text = (
            f"{_ASKED}\n\nThe reply so far:\n\n{{{{{SYNTHESIS}}}}}\n\n"
            f"{_contributed(self._names, LATER)}\n{_REVISE}"
        )
        revised = self._replying(REVISION, step, text, (LATER, SYNTHESIS), "skip")
        when = f"{LATER}.there != {GATHER}.there"
        if revised.when is not None:
            when = f"{when} and ({revised.when})"
        return msgspec.structs.replace(revised, when=when)

    def _replying(
        self, name: str, step: StepSpec, text: str, needs: tuple[str, ...], on_failure: str
    ) -> StepSpec:
        """Make a step that makes a reply of what was gathered."""
        gathered = needs[0]
        own = self.scope.step(
            step,
            {
                "contributions": f"{gathered}.there",
                "missing": f"{gathered}.missing",
                "reply": SYNTHESIS,
            },
        )
        return msgspec.structs.replace(
            own,
            name=name,
            input=text if own.input is None else own.input,
            needs=(*needs, *(need for need in own.needs if need not in needs)),
            # Its texts may name contributors; they were waited for.
            wants=self._names,
            within=0,
            on_failure=on_failure,
        )


def _output(revises: bool) -> Json:
    """Give a panel's output: what its last reply was made of, and what it was made without."""
    if not revises:
        return {
            "reply": f"{{{{{SYNTHESIS}}}}}",
            "contributions": f"{{{{{GATHER}.there}}}}",
            "missing": f"{{{{{GATHER}.missing}}}}",
            "skipped": f"{{{{{GATHER}.skipped}}}}",
            "revised": False,
        }
    # Without a revision nothing came late, or what came was of no use.
    revised = f"steps.{REVISION}.status == 'succeeded'"
    as_it_was = f"steps.{REVISION}.status != 'succeeded'"
    return {
        "reply": f"{{{{{REVISION} or {SYNTHESIS}}}}}",
        "contributions": f"{{{{{revised} and {LATER}.there or {GATHER}.there}}}}",
        "missing": f"{{{{{as_it_was} and {GATHER}.missing or {LATER}.missing}}}}",
        "skipped": f"{{{{{revised} and {LATER}.skipped or {GATHER}.skipped}}}}",
        "revised": f"{{{{{revised}}}}}",
    }


_REPLY: Final = (
    "Reply to the question above from these contributions. Where something is missing that the "
    "reply would need, say so in it."
)
_REVISE: Final = (
    "Contributions came after the reply so far. Give the reply again, changed where they change it."
)


def _contributed(names: tuple[str, ...], gathered: str) -> str:
    """Write the contributions that are there, then what is missing and why."""
    texts: list[str] = []
    for name in names:
        there, value = f"'{name}' in {gathered}.there", f"{gathered}.there.{name}"
        texts += [_where(there, f"Contribution of {name}:\n"), f"{{{{{there} and {value} or ''}}}}"]
        texts.append(_where(there, "\n\n"))
    for name in names:
        lost, why = f"'{name}' in {gathered}.missing", f"{gathered}.missing.{name}"
        texts += [_where(lost, f"No contribution of {name}: "), f"{{{{{lost} and {why} or ''}}}}"]
        texts.append(_where(lost, "\n"))
    return "".join(texts)


def _where(condition: str, text: str) -> str:
    return f"{{{{{condition} and '{text}' or ''}}}}"


def _selecting(names: tuple[str, ...], about: Mapping[str, str]) -> str:
    lines = [f"- {name}: {about[name]}" if name in about else f"- {name}" for name in names]
    return (
        f"{_ASKED}\n\nThese can contribute to a reply:\n" + "\n".join(lines) + "\n\n"
        "Give the list of the names of those whose contribution the reply needs, and of no others."
    )
