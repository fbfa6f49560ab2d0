"""The gate before a run: nothing of it begins until a person has approved of the whole plan.

What is shown is the plan with this run's inputs, and its digest; whoever approved of exactly that
is not asked again, and of anything else they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

import msgspec

from hocket.core.errors import Refused
from hocket.core.events import ApprovalAsked, ApprovalGiven
from hocket.core.machine import End, Halt, Say, Workflow
from hocket.core.people import AS_SHOWN
from hocket.core.shown import shown_plan
from hocket.core.specs import AgentSpec, Approval, RunSpec
from hocket.core.values import Json, digest, format_duration

GATE: Final = "run"
"""The path of its question; no step may be called so."""


class Gate:
    """Whether a run may begin.

    Attributes:
        passed: Whether it may.
        expires: When its question counts as unanswered; None if there is none, or it has done so.
    """

    __slots__ = ("_approval", "_approved", "_asked", "_before", "expires", "passed")

    def __init__(self) -> None:
        self.passed = True
        self.expires: int | None = None
        self._approval = Approval()
        self._asked = ""
        self._approved = ""
        self._before: tuple[Workflow, Mapping[str, AgentSpec]] | None = None

    def begin(
        self,
        workflow: Workflow,
        spec: RunSpec,
        mark: str,
        inputs: Mapping[str, Json],
        at: int,
    ) -> None:
        """Begin the workflow, or have a person asked whether it may; `mark` names the spec."""
        approval = spec.workflow.approval
        self.passed, self.expires = True, None
        if approval is not None:
            shown = shown_plan(spec, mark, inputs)
            self._asked = digest(shown.encode())
            if self._asked != self._approved:
                self.passed, self._approval = False, approval
                self.expires = at + approval.timeout
                asked = ApprovalAsked(at=at, path=GATE, shown=shown, digest=self._asked)
                workflow.moves.append(Say(asked))
                return
        before, self._before = self._before, None
        if before is None:
            workflow.start(at)
        else:
            workflow.adopt(before[0], _same(before[1], spec.agents), at)

    def replaced(self, workflow: Workflow, agents: Mapping[str, AgentSpec]) -> None:
        """The spec is changed; remember what has begun, for the next one to take over."""
        if self.passed:
            self._before = workflow, agents

    def answered(self, event: ApprovalGiven) -> None:
        """Take an answer in.

        Raises:
            Refused: Nobody is asked, or other bytes were shown.
        """
        if self.passed:
            raise Refused(f"{event.path!r} does not wait for an approval")
        if event.digest not in (self._asked, AS_SHOWN):
            raise Refused(f"{event.path!r} shows something else by now; look at it again")
        self.expires = None
        if event.approved:
            self._approved = self._asked

    def decided(self, workflow: Workflow, event: ApprovalGiven) -> None:
        """End what a person has rejected."""
        if not event.approved:
            note = f": {event.note}" if event.note else ""
            why = f"the plan was rejected by {event.by or 'somebody'}{note}"
            workflow.moves.append(End("failed", why))

    def wake(self, workflow: Workflow, at: int) -> bool:
        """Do as the plan says if nobody has answered in time; tells whether it may begin."""
        if self.expires is None or self.expires > at:
            return False
        self.expires = None
        waited = format_duration(self._approval.timeout)
        why = f"approval of the plan was not given within {waited}"
        if self._approval.on_timeout == "approve":
            self._approved = self._asked
            return True
        pauses = self._approval.on_timeout == "pause"
        workflow.moves.append(Halt(why) if pauses else End("failed", why))
        return False

    def resumed(self, at: int) -> None:
        """The run goes on after a pause: a question that has expired is open again."""
        if not self.passed and self.expires is None:
            self.expires = at + self._approval.timeout

    def fork(self) -> Self:
        """Copy it."""
        other = object.__new__(type(self))
        for name in Gate.__slots__:
            setattr(other, name, getattr(self, name))
        return other


def _same(old: Mapping[str, AgentSpec], new: Mapping[str, AgentSpec]) -> frozenset[str]:
    """Name the agents that are equal in both; limits say when a call is made, not what it gives."""
    bare = {name: msgspec.structs.replace(spec, limits=()) for name, spec in old.items()}
    return frozenset(
        name
        for name, spec in new.items()
        if bare.get(name) == msgspec.structs.replace(spec, limits=())
    )
