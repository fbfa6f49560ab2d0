"""The running steps of a plan: an agent's job, one for each item, rounds, questions, nested plans.

`Progress` says which steps may begin; this room's part is what happens from there to a step's end.
"""

from __future__ import annotations

from typing import Self

import msgspec

from hocket.core.errors import ExprError, Fault, Refused
from hocket.core.events import ApprovalGiven, InputGiven, StepFailed, StepSkipped
from hocket.core.machine import Do, Drop, Halt, Move, Say, Workflow
from hocket.core.shown import shown_step
from hocket.core.specs import PlanSpec
from hocket.core.template import show
from hocket.core.values import Json
from hocket.core.views import stands
from hocket.workflows.gather import gathered, nobody_gave, to_gather_again
from hocket.workflows.live import ALONE, UNDONE, Live, Place, read_place, unit_path
from hocket.workflows.progress import PENDING, RUNNING, STATUS, WAITING
from hocket.workflows.questions import (
    Worth,
    answered,
    question,
    unanswered,
    waits_for_approval,
)
from hocket.workflows.shape import Node
from hocket.workflows.state import State


class Steps:
    """What the steps of one plan do.

    Attributes:
        state: What is remembered of them.
        moves: What follows for the run.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.shape = state.shape
        self.progress = state.progress
        self.moves: list[Move] = []

    # -- beginning --------------------------------------------------------------------------

    def go(self, at: int) -> None:
        """Begin every step and every round whose inputs are there."""
        state, progress, nodes = self.state, self.progress, self.shape.nodes
        ready, status, counts = progress.ready, progress.status, progress.counts
        while (ready or state.rounds) and not state.fatal:
            if state.rounds:
                index, item = state.rounds.popleft()
                if not progress.done(index):
                    self._begin(nodes[index], state.live[index], item, at)
                continue
            index = ready.popleft()
            # A step may be told of more than once, and may have been skipped since.
            if status[index] == PENDING and not progress.left[index]:
                node = nodes[index]
                if node.wants:
                    if state.wants_are_in(node, at):
                        self._launch(node, at)
                        for want in node.wants:
                            state.mark_late(nodes[want])
                elif node.bare and index not in state.live:
                    counts[PENDING] -= 1
                    counts[RUNNING] += 1
                    status[index] = RUNNING
                    assert node.job is not None
                    self.moves.append(Do(node.spec.name, node.job))
                else:
                    self._launch(node, at)
        if state.late and not state.fatal and len(state.late) == self.progress.open:
            for index in list(state.late):
                self._skip(self.shape.nodes[index], "late: nothing waits for it any more", at)

    def _launch(self, node: Node, at: int) -> None:
        """Begin a step whose needs and wants are settled."""
        if node.plain and node.when is None:
            self.progress.move(node.index, RUNNING)
            self.revive(node, at)
        else:
            self._launch_special(node, at)

    def _launch_special(self, node: Node, at: int) -> None:
        items: list[Json] | None = None
        try:
            lookup = self.state.lookup(node, ALONE, 1)
            if node.when is not None and not node.when.evaluate(lookup):
                self._skip(node, f"when: {node.when.text} is false", at)
                return
            if node.each is not None:
                items = node.each.evaluate(lookup)
                if not isinstance(items, list):
                    raise ExprError(f"each: {node.each.text} is {_kind(items)}, not a list")
        except ExprError as error:
            self.progress.move(node.index, RUNNING)
            self.fail(node, Fault(kind="permanent", message=str(error)), at)
            return
        self.progress.move(node.index, RUNNING)
        if node.plain:
            self.revive(node, at)
            return
        # A step that has failed, or was done in part under an earlier spec, goes on where it was.
        known = self.state.live.get(node.index) or self.state.carried.pop(node.spec.name, None)
        if known is None or known.items != items:
            self.state.live[node.index] = Live(items, anew=known is not None)
        else:
            self.state.live[node.index] = known
        self.revive(node, at)

    def revive(self, node: Node, at: int) -> None:
        """Begin every unit of a running step that is not done."""
        live = self.state.live.get(node.index)
        if live is None:
            assert node.job is not None
            self.moves.append(Do(node.spec.name, node.job))
            return
        for item in live.units():
            if self.progress.done(node.index):
                return
            self._begin(node, live, item, at)
        if not live.undone and not self.progress.done(node.index):
            self._succeed(node, live.output)

    def again(self, failed: dict[int, None], cut_short: bool, at: int) -> None:
        """Do failed steps again and, if so, go on with what was cut short where it was."""
        state, progress = self.state, self.progress
        cut = [i for i, status in enumerate(progress.status) if status in (RUNNING, WAITING)]
        state.fatal = ""
        state.rounds.clear()
        progress.ready.clear()
        progress.reopen([*failed, *to_gather_again(state, failed)])
        for index in list(state.patience):
            if cut_short or progress.left[index]:
                del state.patience[index]
        if cut_short:
            state.time_limit(at)
            for index in cut:
                self.revive(self.shape.nodes[index], at)
        for index in failed:
            # What gathers waits again for what is done again.
            gathers = self.shape.nodes[index].spec.kind == "gather"
            if progress.left[index] == 0 and index in state.live and not gathers:
                progress.move(index, RUNNING)
                self.revive(self.shape.nodes[index], at)
        progress.begin()

    def _begin(self, node: Node, live: Live[Workflow], item: int, at: int) -> None:
        """Begin one unit in its present round."""
        if live.result(item) is not UNDONE:
            return
        round_ = live.round(item)
        path = unit_path(node.spec.name, item, round_)
        approval = node.spec.approval
        if node.job is not None and node.team is None and approval is None:
            self.moves.append(Do(path, node.job, live.anew))
            return
        if node.spec.kind == "gather":
            place = Place(node.spec.name, item, round_, "")
            fault = nobody_gave(self.state, node)
            self.unit_ended(node, place, gathered(self.state, node), fault, at)
            return
        try:
            given = node.input.render(self.state.lookup(node, item, round_))
            if node.child is not None:
                _check_inputs(node.child.spec, given)
        except ExprError as error:
            self._unit_failed(node, item, Fault(kind="permanent", message=str(error)), at)
            return
        if approval is None and node.nests:
            self._begin_child(node, live, path, given, at)
            return
        agents = self.shape.agents
        text = show(given) if approval is None else shown_step(node.spec, given, agents)
        asked, say = question(node.spec, path, text, at)
        if approval is not None:
            live.bound[path] = given
            if live.approved.get(path) == asked.digest:
                live.asked.pop(path, None)
                self.begin_approved(node, live, path, at)
                return
        known = live.asked.get(path)
        if known is None or known.digest != asked.digest:
            self.moves.append(say)
        live.asked[path] = asked
        assert asked.expires is not None
        self.state.remind(asked.expires, "answer", node.index, path)
        self.progress.move(node.index, WAITING)

    def begin_approved(self, node: Node, live: Live[Workflow], path: str, at: int) -> None:
        """Begin a unit whose step's doings a person has approved of."""
        if node.nests:
            self._begin_child(node, live, path, live.bound[path], at)
        else:
            assert node.job is not None
            self.moves.append(Do(path, node.job, live.anew))

    def _begin_child(
        self, node: Node, live: Live[Workflow], path: str, given: Json, at: int
    ) -> None:
        child = live.children.get(path)
        # It may have been forgotten while the step had failed.
        live.watched.pop(path, None)
        if child is not None and live.given[path] == given:
            child.retry("", at)
        else:
            live.anew = live.anew or child is not None
            live.given[path] = given
            child = live.children[path] = _nested(self.state, node, given)
            heir = self.state.heirs.pop(path, None)
            if heir is None:
                child.start(at)
            else:
                child.adopt(*heir, at)
        self.pull(node, path, at)

    # -- ending -----------------------------------------------------------------------------

    def unit_ended(
        self, node: Node, place: Place, output: Json, fault: Fault | None, at: int
    ) -> None:
        """A unit has an output, or has failed for good."""
        live = self.state.live.get(node.index)
        if live is None:
            if fault is None:
                self._succeed(node, output)
            else:
                self.fail(node, fault, at)
            return
        if fault is not None:
            self._unit_failed(node, place.item, fault, at)
            return
        if node.until is not None and not self._until(node, live, place.item, output, at):
            return
        live.finish(place.item, output)
        if not live.undone:
            self._succeed(node, live.output)

    def _until(self, node: Node, live: Live[Workflow], item: int, output: Json, at: int) -> bool:
        """Tell whether a unit has had its last round; see to the next one, or fail, if not."""
        repeat, round_ = node.spec.repeat, live.round(item)
        assert repeat is not None
        fault: Fault | None = None
        try:
            if self.state.until_holds(node, item, output):
                return True
        except ExprError as error:
            fault = Fault(kind="permanent", message=f"until: {error}")
        # A round is over for good, whatever follows: its calls are never made again.
        live.next_round(item, output)
        if fault is None and round_ - live.base.get(item, 0) >= repeat.max:
            message = f"{repeat.until} did not hold after {repeat.max} rounds"
            fault = Fault(kind="failed", message=message)
        if fault is None:
            self.state.rounds.append((node.index, item))
        else:
            live.base[item] = round_
            self._unit_failed(node, item, fault, at)
        return False

    def keep(self, node: Node, place: Place, output: Json) -> None:
        """Note what a dropped job of a step has given, so that a retry need not do it again."""
        index, live = node.index, self.state.live.get(node.index)
        if live is None:
            if self.progress.status[index] == RUNNING:
                self._succeed(node, output)
            return
        if not self.state.present(node, place):
            return
        if node.until is not None:
            try:
                holds = self.state.until_holds(node, place.item, output)
            except ExprError:
                # The next round's own evaluation tells.
                holds = False
            if not holds:
                live.next_round(place.item, output)
                return
        live.finish(place.item, output)
        if not live.undone and not self.progress.done(index):
            self._succeed(node, live.output)

    def _unit_failed(self, node: Node, item: int, fault: Fault, at: int) -> None:
        live = self.state.live[node.index]
        if node.spec.on_failure == "continue" and live.items is not None:
            path = unit_path(node.spec.name, item, 1)
            self.moves.append(Say(StepFailed(at=at, path=path, fault=fault)))
            live.finish(item, None)
            if not live.undone:
                self._succeed(node, live.output)
            return
        if live.items is not None:
            fault = msgspec.structs.replace(fault, message=f"item {item}: {fault.message}")
        self.fail(node, fault, at)

    def _succeed(self, node: Node, output: Json) -> None:
        # A nested plan's steps can still be looked at, and calls of a team may still land.
        state, index = self.state, node.index
        if state.live and not node.nests:
            state.live.pop(index, None)
        if state.late:
            state.late.pop(index, None)
        self.progress.succeed(index, output)

    def fail(self, node: Node, fault: Fault, at: int) -> None:
        """End a step with a fault, and with it what needs it, or the plan."""
        name = node.spec.name
        if self.progress.done(node.index):
            return
        if node.index in self.state.live:
            self.moves.extend([Drop(path) for path in self.state.jobs_of(node)])
        self.state.late.pop(node.index, None)
        skipped = self.progress.fail(node.index, fault)
        self.moves.append(Say(StepFailed(at=at, path=name, fault=fault)))
        self.moves.extend(_skips(self.state, skipped, at))
        if node.stops:
            self.state.fatal = self.state.fatal or f"step {name!r} failed: {fault.message}"

    def _skip(self, node: Node, reason: str, at: int) -> None:
        """End a step undone."""
        index = node.index
        if self.progress.status[index] in (RUNNING, WAITING):
            self.moves.extend([Drop(path) for path in self.state.jobs_of(node)])
        self.state.live.pop(index, None)
        self.state.why[index] = reason
        skipped = [index, *self.progress.skip(index)]
        self.moves.extend(_skips(self.state, skipped, at))

    # -- questions --------------------------------------------------------------------------

    def answer(self, node: Node, place: Place, event: ApprovalGiven | InputGiven) -> None:
        """Take a person's answer.

        Raises:
            Refused: Nothing waits for that, or other bytes were shown.
        """
        live = self.state.live.get(node.index)
        asked = live.asked.get(event.path) if live is not None else None
        wanted = isinstance(event, ApprovalGiven)
        status = self.progress.status[node.index]
        if asked is None or status != WAITING or waits_for_approval(node.spec) != wanted:
            what = "an approval" if wanted else "an input"
            raise Refused(f"{event.path!r} does not wait for {what}; it {stands(STATUS[status])}")
        _settle(self, node, place, event.path, answered(asked, event), event.at)

    def expire(self, node: Node, path: str, at: int) -> None:
        """A question has gone unanswered for as long as it may."""
        place, asked = read_place(path), self.state.live[node.index].asked[path]
        assert place is not None
        worth = unanswered(node.spec, path)
        if isinstance(worth, str):
            asked.expires = None
            self.moves.append(Halt(worth))
        else:
            _settle(self, node, place, path, worth, at)

    # -- nested plans -----------------------------------------------------------------------

    def pull(self, node: Node, path: str, at: int) -> None:
        """Take over what a nested workflow wants, under its path."""
        live, place = self.state.live[node.index], read_place(path)
        assert place is not None
        child = live.children[path]
        moves = child.moves.copy()
        child.moves.clear()
        for move in moves:
            if isinstance(move, Do):
                self.moves.append(Do(f"{path}/{move.path}", move.spec, move.anew or live.anew))
            elif isinstance(move, Drop):
                self.moves.append(Drop(f"{path}/{move.path}"))
            elif isinstance(move, Say):
                event = msgspec.structs.replace(move.event, path=f"{path}/{move.event.path}")
                self.moves.append(Say(event))
            elif isinstance(move, Halt):
                self.moves.append(move)
            elif move.status == "succeeded":
                self.unit_ended(node, place, move.output, None, at)
            else:
                self.moves.extend([Drop(f"{path}/{inner}") for inner in child.jobs()])
                fault = Fault(kind="failed", message=move.reason)
                self.unit_ended(node, place, None, fault, at)
        self.state.watch(node.index, path)

    def fork(self) -> Self:
        """Copy it."""
        other = type(self)(self.state.fork())
        other.moves = self.moves.copy()
        return other


def _settle(steps: Steps, node: Node, place: Place, path: str, worth: Worth, at: int) -> None:
    """Follow up a question that is closed."""
    live = steps.state.live[node.index]
    asked = live.asked.pop(path)
    if not live.asked:
        steps.progress.move(node.index, RUNNING)
    if node.spec.approval is not None and worth[1] is None:
        live.approved[path] = asked.digest
        steps.begin_approved(node, live, path, at)
        return
    steps.unit_ended(node, place, *worth, at)


def _skips(state: State, indexes: list[int], at: int) -> list[Say]:
    """Tell of steps that will not be done, and forget what they were waited for."""
    said = []
    for index in indexes:
        state.late.pop(index, None)
        path, reason = state.shape.nodes[index].spec.name, state.skip_reason(index)
        said.append(Say(StepSkipped(at=at, path=path, reason=reason)))
    return said


def _kind(value: Json) -> str:
    return "null" if value is None else f"a {type(value).__name__}"


def _check_inputs(spec: PlanSpec, given: Json) -> None:
    """Check what only shows once a nested plan's inputs are rendered."""
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise ExprError(f"the inputs of plan {spec.name!r} are {_kind(given)}, not an object")
    for name in given:
        if name not in spec.inputs:
            raise ExprError(f"plan {spec.name!r} has no input {name!r}")
    for name, about in spec.inputs.items():
        if about.required and name not in given:
            raise ExprError(f"plan {spec.name!r} needs the input {name!r}")


def _nested(state: State, node: Node, given: Json) -> Workflow:
    if node.team is not None:
        return node.team(given, state.facts)
    assert node.child is not None
    return state.nest(node.child, given or {})
