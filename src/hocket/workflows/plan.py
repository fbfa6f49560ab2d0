"""The plan: steps of a graph, each started the moment its inputs are there.

There are no phases and no barriers.
`Progress` keeps the graph; this machine does what a step is while it runs: an agent's job, a job
for each item of a list, rounds until an expression holds, a question to a person, a nested plan.

A path within a plan is ``step``, ``step/item``, with ``~round`` from the second round on, and then
the path within a nested plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Self, TypeAlias

import msgspec

from hocket.core.deadlines import Deadlines
from hocket.core.errors import EngineBug, ExprError, Fault, Refused
from hocket.core.events import ApprovalAsked, ApprovalGiven, InputAsked, InputGiven
from hocket.core.events import StepFailed, StepSkipped
from hocket.core.machine import Do, Drop, End, Halt, Move, Say, StepView
from hocket.core.specs import AgentSpec, PlanSpec
from hocket.core.template import show
from hocket.core.values import Json, digest, format_duration
from hocket.workflows.live import ALONE, Asked, Live, Place, UNDONE, read_place, unit_path
from hocket.workflows.progress import (
    FAILED,
    PENDING,
    RUNNING,
    SKIPPED,
    STATUS,
    SUCCEEDED,
    WAITING,
    Progress,
)
from hocket.workflows.shape import Node, Shape, evaluate_list

VERSION: Final = 1
"""The version of these rules; a run remembers under which it began."""

_Timer: TypeAlias = tuple[str, int, str]
"""What a deadline is for: ("plan" | "within" | "answer" | "child", step, unit path)."""


class PlanMachine:
    """The pure machine of one plan.

    Args:
        spec: The plan; it has passed `hocket.workflows.check`.
        agents: The agents that it names.
        inputs: Its inputs.
        facts: What ``run.NAME`` means.
        shape: The spec made ready, if a caller has it already.
    """

    def __init__(
        self,
        spec: PlanSpec,
        agents: Mapping[str, AgentSpec],
        inputs: Mapping[str, Json],
        facts: Mapping[str, Json],
        shape: Shape | None = None,
    ) -> None:
        self.shape = shape or Shape(spec, agents)
        self.agents = agents
        given = {name: value.default for name, value in spec.inputs.items()}
        self.inputs: dict[str, Json] = {**given, **inputs}
        self.facts = facts
        self.progress = Progress(self.shape)
        self.moves: list[Move] = []
        self.over = False
        self.live: dict[int, Live[PlanMachine]] = {}
        """Running steps that are more than a plain job, and failed ones with results to keep."""
        self.impatient: dict[int, None] = {}
        """Steps whose wait for their wants is over."""
        self.late: dict[int, None] = {}
        """Open steps that nobody waits for any more and whose end does no harm."""
        self.carried: dict[str, Live[PlanMachine]] = {}
        """What steps of an earlier spec had done in part, by name."""
        self.deadlines: Deadlines[_Timer] = Deadlines()

    # -- the workflow protocol --------------------------------------------------------------

    def start(self, at: int) -> None:
        """Begin."""
        self.deadlines.add(at + self.shape.spec.timeout, ("plan", -1, ""))
        self.progress.begin()
        self._go(at)

    def ended(self, path: str, output: Json, fault: Fault | None, at: int) -> None:
        """A job has given an output, or has failed for good."""
        index = self.shape.index.get(path)
        if index is not None and index not in self.live:
            if fault is None:
                self._succeed(index, output)
            else:
                self._fail(index, fault, at)
        else:
            place, node = self._find(path)
            if place.rest:
                child = self._child(node, place)
                child.ended(place.rest, output, fault, at)
                self._pull(node, place, child, at)
            else:
                self._unit_ended(node, place, output, fault, at)
        self._go(at)

    def answered(self, event: ApprovalGiven | InputGiven) -> None:
        """A person or an outside event has answered.

        Raises:
            Refused: Nothing waits for that, or other bytes were shown.
        """
        place, node = self._find(event.path)
        live = self.live.get(node.index)
        if place.rest and live is not None:
            child = self._child(node, place)
            inner = msgspec.structs.replace(event, path=place.rest)
            child.answered(inner)
            self._pull(node, place, child, event.at)
        else:
            self._answer(node, place, live, event)
        self._go(event.at)

    def retry(self, path: str, at: int) -> None:
        """Do a failed step again, and what was skipped for its sake; "" means all failed ones.

        Raises:
            Refused: The step has not failed.
        """
        status = self.progress.status
        if path:
            place, node = self._find(path)
            if status[node.index] != FAILED:
                said = STATUS[status[node.index]]
                raise Refused(f"step {node.spec.name!r} is {said}; only a failed one is retried")
            again = [(node, place.rest)]
        else:
            again = [(node, "") for node in self.shape.nodes if status[node.index] == FAILED]
            if not again and not self.over:
                raise Refused("no step has failed")
        self._retry(again, at)

    def wake(self, at: int) -> None:
        """The deadline has come."""
        for kind, index, path in self.deadlines.due(at, self._holds):
            if kind == "plan":
                limit = format_duration(self.shape.spec.timeout)
                self._end_failed(f"the plan took longer than its timeout of {limit}")
            elif kind == "within":
                self.impatient[index] = None
                self.progress.ready.append(index)
            else:
                node, place = self.shape.nodes[index], read_place(path)
                assert place is not None
                if kind == "answer":
                    self._expired(node, place, at)
                else:
                    child = self._child(node, place)
                    child.wake(at)
                    self._pull(node, place, child, at)
            self._go(at)

    def resumed(self, at: int) -> None:
        """The run goes on after a pause: questions that had expired are asked anew."""
        for index, live in self.live.items():
            timeout = self.shape.nodes[index].spec.timeout
            for path, asked in live.asked.items():
                if asked.expires is None:
                    asked.expires = at + timeout
                    self.deadlines.add(asked.expires, ("answer", index, path))
            for path, child in live.children.items():
                child.resumed(at)
                self._watch(index, path, child)

    def deadline(self) -> int | None:
        """Give when to `wake` it at the latest, if ever."""
        return self.deadlines.next(self._holds)

    def request(self, path: str) -> Json:
        """Render what the agent gets for the job at `path`.

        Raises:
            ExprError: A template asks for what is not there.
        """
        index = self.shape.index.get(path)
        if index is not None and index not in self.live:
            node = self.shape.nodes[index]
            return node.input.render(self._lookup(node, ALONE, 1))
        place, node = self._find(path)
        if place.rest:
            return self._child(node, place).request(place.rest)
        return node.input.render(self._lookup(node, place.item, place.round))

    def adopt(self, old: Self, agents: frozenset[str], at: int) -> None:
        """Begin with what `old` has finished, where definition and inputs are equal."""
        kept: dict[int, Json] = {}
        if dict(self.inputs) == dict(old.inputs):
            for index in self._order():
                node = self.shape.nodes[index]
                was = old.shape.index.get(node.spec.name)
                if was is None or not _same(node, old.shape.nodes[was], agents):
                    continue
                if not all(i in kept for i in (*node.needs, *node.wants)):
                    continue
                if old.progress.status[was] == SUCCEEDED:
                    kept[index] = old.progress.outputs[was]
                elif was in old.live:
                    self.carried[node.spec.name] = old.live[was]
        self.progress.adopt(kept)
        self.start(at)

    def view(self) -> list[StepView]:
        """Give every step's state, nested ones after theirs."""
        views: list[StepView] = []
        for node in self.shape.nodes:
            views.append(self._view(node))
            live = self.live.get(node.index)
            if live is not None:
                for path, child in live.children.items():
                    views.extend(
                        msgspec.structs.replace(view, path=f"{path}/{view.path}")
                        for view in child.view()
                    )
        return views

    def result(self, path: str) -> Json:
        """Give a step's output; None if it has none.

        Raises:
            Refused: There is no such step.
        """
        place, node = self._find(path)
        live = self.live.get(node.index)
        if place.rest:
            return self._child(node, place).result(place.rest)
        if place.item != ALONE:
            done = self.progress.value(node.index) or (live.results if live else [])
            value = done[place.item] if place.item < len(done) else None
            return None if value is UNDONE else value
        return self.progress.value(node.index)

    def fork(self) -> Self:
        """Copy it, sharing what is finished."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.progress = self.progress.fork()
        other.moves = self.moves.copy()
        other.live = {
            index: live.fork({path: child.fork() for path, child in live.children.items()})
            for index, live in self.live.items()
        }
        other.impatient = self.impatient.copy()
        other.late = self.late.copy()
        other.carried = self.carried.copy()
        other.deadlines = self.deadlines.fork()
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
