"""The plan: steps of a graph, each started the moment its inputs are there.

There are no phases and no barriers.
`Progress` keeps the graph and `Steps` what a step is while it runs; here is the whole, as the run
machine drives it: start, end, time limit, retry, a changed spec, copies and checks.

A path within a plan is ``step``, ``step/item``, with ``~round`` from the second round on, and then
the path within a nested plan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Self

import msgspec

from hocket.core.errors import EngineBug, ExprError, Fault, Refused
from hocket.core.events import ApprovalGiven, InputGiven
from hocket.core.machine import Departure, End, Landing, Move, StepStatus, StepView, Workflow
from hocket.core.reports import Fate, Report
from hocket.core.specs import AgentSpec, PlanSpec
from hocket.core.timeouts import plan_too_long
from hocket.core.values import Json
from hocket.core.views import stands
from hocket.workflows.inherit import inherit
from hocket.workflows.live import ALONE, UNDONE, Live, read_place, unit_path
from hocket.workflows.progress import FAILED, SKIPPED, STATUS
from hocket.workflows.questions import answer_time
from hocket.workflows.shape import Node, Shape
from hocket.workflows.state import State, own_child
from hocket.workflows.steps import Steps
from hocket.workflows.team import Team

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
        self.over = False
        known = dict(facts)

        def nest(shape: Shape, inputs: Mapping[str, Json]) -> Workflow:
            return PlanMachine(shape, inputs, known)

        self._state = State(shape, self.inputs, known, nest)
        self._steps = Steps(self._state)
        self.moves: list[Move] = self._steps.moves
        self.listens = shape.nests

    def start(self, at: int) -> None:
        """Begin."""
        self._state.time_limit(at)
        self._state.progress.begin()
        self._go(at)

    def told(self, path: str, news: Departure | Landing, at: int) -> None:
        """A call has left, or is over; only nested workflows want to know."""
        place, node = self._state.find(path)
        if place.rest:
            child = own_child(self._state, node, place)
            if child is not None:
                child.told(place.rest, news, at)

    def ended(self, path: str, output: Json, fault: Fault | None, at: int) -> None:
        """A job has given an output, or has failed for good."""
        steps, shape = self._steps, self.shape
        index = shape.index.get(path)
        if index is not None:
            node = shape.nodes[index]
            steps.unit_ended(node, node.place, output, fault, at)
            self._go(at)
            return
        place, node = self._state.find(path)
        if place.rest:
            self._state.child(node, place).ended(place.rest, output, fault, at)
            steps.pull(node, _outer(path, place.rest), at)
        else:
            steps.unit_ended(node, place, output, fault, at)
        self._go(at)

    def keep(self, path: str, output: Json) -> None:
        """A job that was dropped has given an output all the same."""
        place, node = self._state.find(path)
        if not place.rest:
            self._steps.keep(node, place, output)
        elif self._state.present(node, place):
            self._state.child(node, place).keep(place.rest, output)

    def answered(self, event: ApprovalGiven | InputGiven) -> None:
        """A person or an outside event has answered.

        Raises:
            Refused: Nothing waits for that, or other bytes were shown.
        """
        steps, state = self._steps, self._state
        place, node = state.find(event.path)
        if place.rest:
            child = state.child(node, place)
            if self.over or not state.goes_on(node, place):
                raise Refused(f"{event.path!r} waits for nothing any more")
            child.answered(msgspec.structs.replace(event, path=place.rest))
            steps.pull(node, _outer(event.path, place.rest), event.at)
        elif self.over:
            raise Refused(f"{event.path!r} waits for nothing any more")
        else:
            steps.answer(node, place, event)
        self._go(event.at)

    def retry(self, path: str, at: int) -> None:
        """Do a failed step again, and what was skipped for its sake.

        "" means all failed ones, and what was cut short; no job may be under way then.

        Raises:
            Refused: The step has not failed.
        """
        state, progress = self._state, self._state.progress
        again: list[int] = []
        if path:
            place, node = state.find(path)
            if place.rest and state.goes_on(node, place):
                child = state.child(node, place)
                if not self.over:
                    child.retry(place.rest, at)
                    self._steps.pull(node, _outer(path, place.rest), at)
                    self._go(at)
                    return
                # What was cut short goes on as a whole, with all that had failed in it.
                child.fork().retry(place.rest, at)
            elif progress.status[node.index] != FAILED:
                said = STATUS[progress.status[node.index]]
                raise Refused(
                    f"step {node.spec.name!r} {stands(said)}; only a failed one is retried"
                )
            else:
                again = [node.index]
        for index, status in enumerate(progress.status):
            # What has stopped the plan would stop it again, so it is always done again.
            if status == FAILED and (not path or (self.over and self.shape.nodes[index].stops)):
                again.append(index)
        cut_short = self.over or not path
        self.over = False
        self._steps.again(dict.fromkeys(again), cut_short, at)
        self._go(at)

    def wake(self, at: int) -> None:
        """The deadline has come."""
        steps, state = self._steps, self._state
        for timer in state.deadlines.due(at, state.holds):
            if self.over or not state.holds(timer):
                continue
            kind, index, path, _ = timer
            if kind == "plan":
                state.fatal = plan_too_long(self.shape.spec.name, self.shape.spec.timeout)
            elif kind == "within":
                state.progress.ready.append(index)
            elif kind == "answer":
                steps.expire(self.shape.nodes[index], path, at)
            else:
                live = state.live[index]
                del live.watched[path]
                live.children[path].wake(at)
                steps.pull(self.shape.nodes[index], path, at)
            self._go(at)

    def resumed(self, at: int) -> None:
        """The run goes on after a pause: questions that had expired are asked anew."""
        steps, state = self._steps, self._state
        for index, live in list(state.live.items()):
            if state.progress.done(index):
                continue
            timeout = answer_time(self.shape.nodes[index].spec)
            for path, asked in live.asked.items():
                if asked.expires is None:
                    asked.expires = at + timeout
                    state.remind(asked.expires, "answer", index, path)
            for path in _under_way(self.shape.nodes[index], live):
                live.children[path].resumed(at)
                steps.pull(self.shape.nodes[index], path, at)

    def deadline(self) -> int | None:
        """Give when to `wake` it at the latest, if ever."""
        state = self._state
        return None if self.over else state.deadlines.next(state.holds)

    def request(self, path: str) -> Json:
        """Render what the agent gets for the job at `path`.

        Raises:
            ExprError: A template asks for what is not there.
        """
        state, index = self._state, self.shape.index.get(path)
        if index is not None and (node := self.shape.nodes[index]).fixed:
            return node.input.render(_nothing)
        place, node = state.find(path)
        if place.rest:
            return state.child(node, place).request(place.rest)
        live = state.live.get(node.index)
        if live is not None and path in live.bound:
            # What was approved of is what leaves.
            return live.bound[path]
        return node.input.render(state.lookup(node, place.item, place.round))

    def jobs(self) -> list[str]:
        """Give the paths of the jobs that it waits for."""
        return list(self._state.jobs())

    def adopt(self, old: Workflow, agents: frozenset[str], at: int) -> None:
        """Begin with what `old` has finished, where definition and inputs are equal."""
        if isinstance(old, PlanMachine) and self.inputs == old.inputs:
            inherit(self._state, old._state, agents)
        self.start(at)

    def view(self, only: Collection[str] | None = None) -> list[StepView]:
        """Give the state of every step, or of those of these names, nested ones after theirs."""
        views: list[StepView] = []
        nodes, index = self.shape.nodes, self.shape.index
        for node in nodes if only is None else [nodes[index[name]] for name in only]:
            views.append(view_of(node, self._state))
            live = self._state.live.get(node.index)
            for path, child in live.children.items() if live is not None else ():
                views.extend(
                    msgspec.structs.replace(view, path=f"{path}/{view.path}")
                    for view in child.view()
                )
        return views

    def counts(self) -> dict[StepStatus, int]:
        """Count the steps by their state, nested ones within theirs."""
        return dict(zip(STATUS, self._state.progress.counts, strict=True))

    def result(self, path: str) -> Json:
        """Give a step's output; None if it has none yet.

        Raises:
            Refused: There is no such step.
        """
        state = self._state
        place, node = state.find(path)
        live = state.live.get(node.index)
        if place.rest:
            return state.child(node, place).result(place.rest)
        if place.item == ALONE:
            return state.progress.value(node.index)
        if node.each is None:
            raise Refused(f"step {node.spec.name!r} has no items")
        results = live.results if live is not None else state.progress.value(node.index) or []
        value = results[place.item] if place.item < len(results) else None
        return None if value is UNDONE else value

    def reports(self) -> dict[str, Report]:
        """Give what teams have done so far, by the path of their steps."""
        found: dict[str, Report] = {}
        for live in self._state.live.values():
            for path, child in live.children.items():
                for inner, report in child.reports().items():
                    found[f"{path}/{inner}" if inner else path] = report
        return found

    def fork(self) -> Self:
        """Copy it, sharing what is finished."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._steps = self._steps.fork()
        other._state = other._steps.state
        other.moves = other._steps.moves
        return other

    def check(self) -> None:
        """Assert every invariant.

        Raises:
            EngineBug: One does not hold.
        """
        broken = self._state.broken(self.over)
        if broken:
            raise EngineBug(f"plan {self.shape.spec.name!r}: " + "; ".join(broken))

    # -- within -----------------------------------------------------------------------------

    def _go(self, at: int) -> None:
        """Begin what can begin; end if nothing is left, or if nothing may go on."""
        if self.over:
            return
        steps, state = self._steps, self._state
        if state.progress.ready or state.rounds or state.late:
            steps.go(at)
        if state.fatal:
            self.over = True
            steps.moves.append(End("failed", state.fatal))
        elif not state.progress.open:
            self.over = True
            steps.moves.append(_end(state))


def _under_way(node: Node, live: Live[Workflow]) -> list[str]:
    paths = [unit_path(node.spec.name, item, live.round(item)) for item in live.units()]
    return [path for path in paths if path in live.children]


def _nothing(name: str) -> Json:
    raise ExprError(f"unknown name {name!r}")


def _outer(path: str, rest: str) -> str:
    return path[: -len(rest) - 1]


def _end(state: State) -> End:
    """Say how a plan ends that has nothing left to do."""
    shape = state.shape
    if shape.output is None and len(shape.sinks) > MAX_DEFAULT_OUTPUT:
        return End("succeeded")
    if shape.output is None:
        values = {shape.nodes[i].spec.name: state.progress.value(i) for i in shape.sinks}
        only = next(iter(values.values())) if len(values) == 1 else values
        return End("succeeded", output=only)
    try:
        return End("succeeded", output=shape.output.render(state.lookup(None, ALONE, 1)))
    except ExprError as error:
        return End("failed", f"the plan's output cannot be made: {error}")


def view_of(node: Node, state: State) -> StepView:
    """Give one step's state as people see it."""
    index, progress = node.index, state.progress
    live, detail, done, total = state.live.get(index), "", 0, None
    if index in progress.faults:
        detail = progress.faults[index].message
    elif progress.status[index] == SKIPPED:
        detail = state.skip_reason(index)
    elif live is not None and live.asked:
        what = "input" if node.spec.kind == "input" else "approval"
        items = [path for path in live.asked if path != node.spec.name]
        detail = f"waits for {what}" + f": {', '.join(items)}" * bool(items)
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


def state_of(machine: PlanMachine) -> State:
    """Give what a plan's machine remembers; only to be read."""
    return machine._state


def assuming(machine: PlanMachine, shape: Shape) -> PlanMachine:
    """Copy a plan under way, to go on with other texts: for a forecast of what is not known yet.

    `shape` has the same steps with the same edges; conditions, lists and inputs may differ.
    """
    copy = machine.fork()
    _go_on_with(copy, shape)
    return copy


def _go_on_with(machine: PlanMachine, shape: Shape) -> None:
    state = machine._state
    machine.shape = state.shape = state.progress.shape = machine._steps.shape = shape
    for index, live in state.live.items():
        node = shape.nodes[index]
        if node.child is None or state.progress.done(index):
            continue
        for item in live.units():
            child = live.children.get(unit_path(node.spec.name, item, live.round(item)))
            if isinstance(child, PlanMachine):
                _go_on_with(child, node.child)


def report_at(workflow: Workflow, path: str) -> Report | None:
    """Give what the team at `path` has done so far; other teams cost nothing.

    None if no team has begun there.
    """
    while isinstance(workflow, PlanMachine):
        state, place = workflow._state, read_place(path)
        index = None if place is None else state.shape.index.get(place.name)
        live = None if index is None else state.live.get(index)
        if place is None or live is None:
            return None
        child = live.children.get(unit_path(place.name, place.item, place.round))
        if child is None:
            return None
        workflow, path = child, place.rest
    return workflow.reports().get(path)


def fates_of(workflow: Workflow) -> dict[str, Fate]:
    """Give what became of each call of a team that is over, by the call's name."""
    if isinstance(workflow, Team):
        return workflow.floor.books.each()
    if not isinstance(workflow, PlanMachine):
        return {}
    return {
        f"{path}/{name}": fate
        for live in workflow._state.live.values()
        for path, child in live.children.items()
        for name, fate in fates_of(child).items()
    }


def waits_at(workflow: Workflow, path: str) -> bool:
    """Tell whether a question at `path` still waits for somebody; other steps cost nothing."""
    while isinstance(workflow, PlanMachine):
        state, place = workflow._state, read_place(path)
        index = None if place is None else state.shape.index.get(place.name)
        live = None if index is None else state.live.get(index)
        if place is None or index is None or live is None or state.progress.done(index):
            return False
        own = unit_path(place.name, place.item, place.round)
        if not place.rest:
            return own in live.asked
        if own not in live.children:
            return False
        workflow, path = live.children[own], place.rest
    return any(view.path == path and view.status == "waiting" for view in workflow.view())


def patience(machine: PlanMachine) -> dict[str, int]:
    """Give until when steps wait for what they want, by path; nested ones with their outer's."""
    state = machine._state
    found = {state.shape.nodes[i].spec.name: until for i, until in state.patience.items()}
    for index, live in state.live.items():
        if not state.progress.done(index):
            for path, child in live.children.items():
                if isinstance(child, PlanMachine):
                    inner = patience(child)
                    found.update({f"{path}/{name}": until for name, until in inner.items()})
    return found
