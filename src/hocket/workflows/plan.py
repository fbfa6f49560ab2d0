"""The plan: steps of a graph, each started the moment its inputs are there.

There are no phases and no barriers.
`Progress` keeps the graph and `Steps` what a step is while it runs; here is the whole, as the run
machine drives it: start, end, time limit, retry, a changed spec, copies and checks.

A path within a plan is ``step``, ``step/item``, with ``~round`` from the second round on, and then
the path within a nested plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Self

import msgspec

from hocket.core.errors import EngineBug, ExprError, Fault, Refused
from hocket.core.events import ApprovalGiven, InputGiven
from hocket.core.machine import End, Move, StepStatus, StepView, Workflow
from hocket.core.specs import AgentSpec, PlanSpec
from hocket.core.values import Json, format_duration
from hocket.workflows.live import ALONE, UNDONE, read_place
from hocket.workflows.progress import FAILED, RUNNING, STATUS, SUCCEEDED, WAITING
from hocket.workflows.shape import Node, Shape
from hocket.workflows.steps import Steps

VERSION: Final = 1
"""The version of these rules; a run remembers under which it began."""

MAX_DEFAULT_OUTPUT: Final = 1_000
"""A plan without ``output`` gives its last steps' outputs, unless there are more than these."""


class PlanMachine:
    """The pure machine of one plan; a `hocket.core.machine.Workflow`.

    Args:
        shape: The plan made ready.
        inputs: Its inputs; those that are missing have their defaults.
        facts: What ``run.NAME`` means.
    """

    def __init__(self, shape: Shape, inputs: Mapping[str, Json], facts: Mapping[str, Json]) -> None:
        given = {name: value.default for name, value in shape.spec.inputs.items()}
        self.shape = shape
        self.inputs: dict[str, Json] = {**given, **inputs}
        self.facts = dict(facts)
        self.over = False
        self._steps = Steps(shape, self.inputs, self.facts, self._nest)

    @property
    def moves(self) -> list[Move]:
        """What follows for the run from the last calls."""
        return self._steps.moves

    @moves.setter
    def moves(self, moves: list[Move]) -> None:
        self._steps.moves = moves

    def start(self, at: int) -> None:
        """Begin."""
        self._steps.time_limit(at)
        self._steps.progress.begin()
        self._go(at)

    def ended(self, path: str, output: Json, fault: Fault | None, at: int) -> None:
        """A job has given an output, or has failed for good."""
        steps = self._steps
        place, node = steps.find(path)
        if place.rest:
            steps.child(node, place).ended(place.rest, output, fault, at)
            steps.pull(node, _outer(path, place.rest), at)
        else:
            steps.unit_ended(node, place, output, fault, at)
        self._go(at)

    def answered(self, event: ApprovalGiven | InputGiven) -> None:
        """A person or an outside event has answered.

        Raises:
            Refused: Nothing waits for that, or other bytes were shown.
        """
        steps = self._steps
        place, node = steps.find(event.path)
        if place.rest:
            child = steps.child(node, place)
            child.answered(msgspec.structs.replace(event, path=place.rest))
            steps.pull(node, _outer(event.path, place.rest), event.at)
        else:
            steps.answer(node, place, event)
        self._go(event.at)

    def retry(self, path: str, at: int) -> None:
        """Do a failed step again, and what was skipped for its sake.

        "" means all failed ones, and what was cut short; no job may be under way then.

        Raises:
            Refused: The step has not failed.
        """
        steps, progress = self._steps, self._steps.progress
        if path:
            place, node = steps.find(path)
            if progress.status[node.index] != FAILED:
                said = STATUS[progress.status[node.index]]
                raise Refused(f"step {node.spec.name!r} is {said}; only a failed one is retried")
            again = [node.index]
        else:
            again = [i for i, status in enumerate(progress.status) if status == FAILED]
        # What a stop or a time-out cut short goes on where it was.
        cut = [i for i, status in enumerate(progress.status) if status in (RUNNING, WAITING)]
        stopped = self.over
        self.over = False
        steps.fatal = ""
        for index in again:
            progress.reopen(index)
        if stopped:
            steps.time_limit(at)
        if stopped or not path:
            for index in cut:
                self._revive(self.shape.nodes[index], at)
        for index in again:
            if progress.left[index] == 0 and index in steps.live:
                progress.move(index, RUNNING)
                self._revive(self.shape.nodes[index], at)
        progress.ready.clear()
        progress.begin()
        self._go(at)

    def wake(self, at: int) -> None:
        """The deadline has come."""
        steps = self._steps
        for kind, index, path in steps.deadlines.due(at, steps.holds):
            if not steps.holds((kind, index, path)):
                continue
            if kind == "plan":
                limit = format_duration(self.shape.spec.timeout)
                steps.fatal = f"plan {self.shape.spec.name!r} took longer than its {limit}"
            elif kind == "within":
                steps.out_of_patience[index] = True
                steps.progress.ready.append(index)
            elif kind == "answer":
                steps.expire(self.shape.nodes[index], path, at)
            else:
                node, place = self.shape.nodes[index], read_place(path)
                assert place is not None
                child = steps.child(node, place)
                due = child.deadline()
                if due is not None and due <= at:
                    child.wake(at)
                steps.pull(node, path, at)
            self._go(at)

    def resumed(self, at: int) -> None:
        """The run goes on after a pause: questions that had expired are asked anew."""
        steps = self._steps
        for index, live in steps.live.items():
            timeout = self.shape.nodes[index].spec.timeout
            for path, asked in live.asked.items():
                if asked.expires is None:
                    asked.expires = at + timeout
                    steps.deadlines.add(asked.expires, ("answer", index, path))
            for path, child in live.children.items():
                child.resumed(at)
                steps.watch(index, path, child)

    def deadline(self) -> int | None:
        """Give when to `wake` it at the latest, if ever."""
        return None if self.over else self._steps.deadlines.next(self._steps.holds)

    def request(self, path: str) -> Json:
        """Render what the agent gets for the job at `path`.

        Raises:
            ExprError: A template asks for what is not there.
        """
        steps = self._steps
        place, node = steps.find(path)
        if place.rest:
            return steps.child(node, place).request(place.rest)
        return node.input.render(steps.lookup(node, place.item, place.round))

    def adopt(self, old: Workflow, agents: frozenset[str], at: int) -> None:
        """Begin with what `old` has finished, where definition and inputs are equal."""
        kept: dict[int, Json] = {}
        if isinstance(old, PlanMachine) and self.inputs == old.inputs:
            for node in self._in_order():
                self._keep(node, old._steps, agents, kept)
        self._steps.progress.adopt(kept)
        self.start(at)

    def view(self) -> list[StepView]:
        """Give every step's state, nested ones after theirs."""
        views: list[StepView] = []
        for node in self.shape.nodes:
            views.append(_view(node, self._steps))
            live = self._steps.live.get(node.index)
            for path, child in live.children.items() if live is not None else ():
                views.extend(
                    msgspec.structs.replace(view, path=f"{path}/{view.path}")
                    for view in child.view()
                )
        return views

    def counts(self) -> dict[StepStatus, int]:
        """Count the steps by their state, nested ones within theirs."""
        return dict(zip(STATUS, self._steps.progress.counts, strict=True))

    def shown(self, path: str) -> str | None:
        """Give the digest of what is shown for approval at a path, or None if nothing is."""
        steps = self._steps
        place, node = steps.find(path)
        if place.rest:
            return steps.child(node, place).shown(place.rest)
        live = steps.live.get(node.index)
        asked = live.asked.get(path) if live is not None else None
        return asked.digest if asked is not None and asked.digest else None

    def result(self, path: str) -> Json:
        """Give a step's output; None if it has none yet.

        Raises:
            Refused: There is no such step.
        """
        steps = self._steps
        place, node = steps.find(path)
        live = steps.live.get(node.index)
        if place.rest:
            return steps.child(node, place).result(place.rest)
        if place.item == ALONE:
            return steps.progress.value(node.index)
        results = live.results if live is not None else steps.progress.value(node.index) or []
        value = results[place.item] if place.item < len(results) else None
        return None if value is UNDONE else value

    def fork(self) -> Self:
        """Copy it, sharing what is finished."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._steps = self._steps.fork(other._nest)
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        steps = self._steps
        broken = steps.progress.broken()
        for index, live in steps.live.items():
            undone = sum(result is UNDONE for result in live.results)
            if undone != live.undone:
                broken.append("undone counts the units that are not done")
            status = steps.progress.status[index]
            if status in (RUNNING, WAITING) and not undone:
                broken.append("a running step has something to do")
            if (status == WAITING) != bool(live.asked) and status in (RUNNING, WAITING):
                broken.append("a waiting step has a question")
            for child in live.children.values():
                child.check()
        if any(steps.progress.done(index) for index in steps.late):
            broken.append("late steps are open")
        if not self.over and not steps.progress.open:
            broken.append("a plan with nothing open is over")
        if broken:
            raise EngineBug(f"plan {self.shape.spec.name!r}: " + "; ".join(broken))

    # -- within -----------------------------------------------------------------------------

    def _nest(self, shape: Shape, inputs: Mapping[str, Json]) -> Workflow:
        return PlanMachine(shape, inputs, self.facts)

    def _go(self, at: int) -> None:
        """Begin what can begin; end if nothing is left, or if nothing may go on."""
        steps = self._steps
        if self.over:
            return
        steps.go(at)
        if steps.fatal:
            self.over = True
            steps.moves.append(End("failed", steps.fatal))
        elif not steps.progress.open:
            self.over = True
            steps.moves.append(self._end())

    def _end(self) -> End:
        steps, shape = self._steps, self.shape
        if shape.output is None and len(shape.sinks) > MAX_DEFAULT_OUTPUT:
            return End("succeeded")
        if shape.output is None:
            values = {shape.nodes[i].spec.name: steps.progress.value(i) for i in shape.sinks}
            only = next(iter(values.values())) if len(values) == 1 else values
            return End("succeeded", output=only)
        try:
            return End("succeeded", output=shape.output.render(steps.lookup(None, ALONE, 1)))
        except ExprError as error:
            return End("failed", f"the plan's output cannot be made: {error}")

    def _revive(self, node: Node, at: int) -> None:
        """Go on with a step that was cut short: begin again what is not done."""
        live = self._steps.live.get(node.index)
        if live is not None:
            self._steps.restart(node, live, at)
        else:
            self._steps.again(node)

    def _in_order(self) -> Iterator[Node]:
        """Give the nodes so that each comes behind those that it depends on."""
        nodes = self.shape.nodes
        left = [len(node.needs) + len(node.wants) for node in nodes]
        ready = [node for node in nodes if not left[node.index]]
        for node in ready:
            yield node
            for index in (*node.dependents, *node.wanters):
                left[index] -= 1
                if not left[index]:
                    ready.append(nodes[index])

    def _keep(self, node: Node, old: Steps, agents: frozenset[str], kept: dict[int, Json]) -> None:
        was = old.shape.index.get(node.spec.name)
        if was is None or not all(i in kept for i in (*node.needs, *node.wants)):
            return
        if old.shape.nodes[was].spec != node.spec or not _agents_of(node) <= agents:
            return
        if old.progress.status[was] == SUCCEEDED:
            kept[node.index] = old.progress.outputs[was]
        elif was in old.live and node.child is None:
            self._steps.carried[node.spec.name] = old.live[was]


def _outer(path: str, rest: str) -> str:
    return path[: -len(rest) - 1]


def _agents_of(node: Node) -> frozenset[str]:
    if node.child is not None:
        return frozenset[str]().union(*(_agents_of(inner) for inner in node.child.nodes))
    return frozenset(node.job.agents) if node.job is not None else frozenset()


def _view(node: Node, steps: Steps) -> StepView:
    index, progress = node.index, steps.progress
    live, detail, done, total = steps.live.get(index), "", 0, None
    if index in progress.faults:
        detail = progress.faults[index].message
    elif index in progress.skipped_by:
        cause = steps.shape.nodes[progress.skipped_by[index]].spec.name
        detail = f"for the sake of {cause}"
    elif live is not None and live.asked:
        detail = "waits for " + ", ".join(live.asked)
    if node.each is not None:
        value = progress.value(index)
        if live is not None and live.items is not None:
            done, total = len(live.items) - live.undone, len(live.items)
        elif value is not None:
            done = total = len(value)
    return StepView(
        path=node.spec.name,
        kind=node.spec.kind,
        status=STATUS[progress.status[index]],
        agent=node.spec.agent,
        detail=detail,
        done=done,
        total=total,
    )


def make_plan(
    spec: PlanSpec,
    agents: Mapping[str, AgentSpec],
    inputs: Mapping[str, Json],
    facts: Mapping[str, Json],
) -> Workflow:
    """Make the machine of a plan; its spec has passed `hocket.workflows.check`."""
    return PlanMachine(Shape(spec, agents), inputs, facts)
