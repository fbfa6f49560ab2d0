"""The running steps of a plan: an agent's job, one for each item, rounds, questions, nested plans.

`Progress` says which steps may begin; this room's part is what happens from there to a step's end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, Self, TypeAlias

import msgspec

from hocket.core.deadlines import Deadlines
from hocket.core.errors import ExprError, Fault, Refused
from hocket.core.events import (
    ApprovalAsked,
    ApprovalGiven,
    InputAsked,
    InputGiven,
    StepFailed,
    StepSkipped,
)
from hocket.core.expr import Lookup
from hocket.core.machine import Do, Drop, Halt, Move, Say, Workflow
from hocket.core.template import show
from hocket.core.values import Json, digest, format_duration
from hocket.workflows.live import ALONE, UNDONE, Asked, Live, Place, read_place, unit_path
from hocket.workflows.progress import PENDING, RUNNING, STATUS, SUCCEEDED, WAITING, Progress
from hocket.workflows.shape import Node, Shape

Timer: TypeAlias = tuple[str, int, str]
"""What a deadline is for: ("plan" | "within" | "answer" | "child", step, unit path)."""

NOBODY: Final = "nobody"
"""Who has answered where an unanswered approval counts as given."""


class Nest(Protocol):
    """Makes the machine of a nested plan."""

    def __call__(self, shape: Shape, inputs: Mapping[str, Json]) -> Workflow:
        """Make it, not started."""


class Steps:
    """The steps of one plan, running.

    Attributes:
        moves: What follows for the run.
        fatal: Why the plan cannot go on, once that is so.
        live: Running steps that are more than a plain job; failed ones that may be retried.
    """

    def __init__(
        self,
        shape: Shape,
        inputs: dict[str, Json],
        facts: dict[str, Json],
        nest: Nest,
    ) -> None:
        self.shape = shape
        self.inputs = inputs
        self.facts = facts
        self.nest = nest
        self.progress = Progress(shape)
        self.moves: list[Move] = []
        self.fatal = ""
        self.begun = 0
        """How often the plan has begun: once, and once more for each retry after its end."""
        self.live: dict[int, Live[Workflow]] = {}
        self.deadlines: Deadlines[Timer] = Deadlines()
        self.out_of_patience: dict[int, bool] = {}
        """For steps that wait for wants under ``within``: whether that time is over."""
        self.late: dict[int, None] = {}
        """Open steps that nobody waits for any more, and whose end does no harm."""
        self.carried: dict[str, Live[Workflow]] = {}
        """What steps of an earlier spec had done in part, by name."""

    # -- beginning --------------------------------------------------------------------------

    def go(self, at: int) -> None:
        """Begin every step whose inputs are there."""
        ready, status = self.progress.ready, self.progress.status
        while ready and not self.fatal:
            index = ready.popleft()
            # A step may be told of more than once, and may have been skipped since.
            if status[index] == PENDING:
                node = self.shape.nodes[index]
                if not node.wants or self._wants_are_in(node, at):
                    self._launch(node, at)
        if self.late and not self.fatal and len(self.late) == self.progress.open:
            for index in list(self.late):
                self._skip(self.shape.nodes[index], "late: nothing waits for it any more", at)

    def _wants_are_in(self, node: Node, at: int) -> bool:
        """Tell whether the wants need no more waiting; begin to count ``within`` if they do."""
        within, index = node.spec.within, node.index
        if self.progress.patient(node):
            if within is None:
                return False
            if index not in self.out_of_patience:
                self.out_of_patience[index] = False
                self.deadlines.add(at + within, ("within", index, ""))
            if not self.out_of_patience[index]:
                return False
        self.out_of_patience.pop(index, None)
        return True

    def _launch(self, node: Node, at: int) -> None:
        """Begin a step whose needs and wants are settled."""
        if node.plain and node.when is None:
            self.progress.move(node.index, RUNNING)
            assert node.job is not None
            self.moves.append(Do(node.spec.name, node.job))
        else:
            self._launch_special(node, at)
        for want in node.wants:
            self._mark_late(self.shape.nodes[want])

    def _launch_special(self, node: Node, at: int) -> None:
        items: list[Json] | None = None
        try:
            lookup = self.lookup(node, ALONE, 1)
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
            assert node.job is not None
            self.moves.append(Do(node.spec.name, node.job))
            return
        live = self.carried.pop(node.spec.name, None)
        if live is None or live.items != items or live.items is None:
            live = Live(items)
        self.live[node.index] = live
        self.restart(node, live, at)

    def restart(self, node: Node, live: Live[Workflow], at: int) -> None:
        """Begin every unit of a step that is not done."""
        for item in live.units():
            if self.progress.done(node.index):
                return
            self._begin(node, live, item, at)
        if not live.undone and not self.progress.done(node.index):
            self._succeed(node, live.output)

    def again(self, node: Node) -> None:
        """Begin a plain step anew whose job was dropped."""
        assert node.job is not None
        self.moves.append(Do(node.spec.name, node.job))

    def time_limit(self, at: int) -> None:
        """Let the plan's time begin to count."""
        self.begun += 1
        self.deadlines.add(at + self.shape.spec.timeout, ("plan", self.begun, ""))

    def _begin(self, node: Node, live: Live[Workflow], item: int, at: int) -> None:
        """Begin one unit in its present round."""
        if live.result(item) is not UNDONE:
            return
        path = unit_path(node.spec.name, item, live.rounds.get(item, 1))
        if node.job is not None:
            self.moves.append(Do(path, node.job))
            return
        try:
            given = node.input.render(self.lookup(node, item, live.rounds.get(item, 1)))
        except ExprError as error:
            self._unit_failed(node, item, Fault(kind="permanent", message=str(error)), at)
            return
        if node.child is None:
            self._ask(node, live, path, show(given), at)
        else:
            child = live.children.get(path)
            if child is None:
                child = live.children[path] = self.nest(node.child, given or {})
                child.start(at)
            else:
                child.retry("", at)
            self.pull(node, path, at)

    def _ask(self, node: Node, live: Live[Workflow], path: str, text: str, at: int) -> None:
        if path not in live.asked:
            if node.spec.kind == "approve":
                mark = digest(text.encode())
                live.asked[path] = Asked(mark, None)
                self.moves.append(Say(ApprovalAsked(at=at, path=path, shown=text, digest=mark)))
            else:
                live.asked[path] = Asked("", None)
                self.moves.append(Say(InputAsked(at=at, path=path, prompt=text)))
        live.asked[path].expires = at + node.spec.timeout
        self.deadlines.add(at + node.spec.timeout, ("answer", node.index, path))
        self.progress.move(node.index, WAITING)

    def _mark_late(self, node: Node) -> None:
        """Note a step as late if all who wanted it have begun without it."""
        begun = all(self.progress.status[i] != PENDING for i in node.wanters)
        harmless = node.job is not None and not any(node.job.effects)
        if begun and harmless and not node.dependents and not self.progress.done(node.index):
            self.late[node.index] = None

    # -- ending -----------------------------------------------------------------------------

    def unit_ended(
        self, node: Node, place: Place, output: Json, fault: Fault | None, at: int
    ) -> None:
        """A unit has an output, or has failed for good."""
        live = self.live.get(node.index)
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
        """Tell whether a unit has had its last round; begin the next one, or fail, if not."""
        repeat, round_ = node.spec.repeat, live.rounds.get(item, 1)
        assert repeat is not None and node.until is not None
        lookup = self.lookup(node, item, round_)

        def with_own(name: str) -> Json:
            return output if name == node.spec.name else lookup(name)

        try:
            if node.until.evaluate(with_own):
                return True
        except ExprError as error:
            self._unit_failed(node, item, Fault(kind="permanent", message=str(error)), at)
            return False
        live.previous[item] = output
        live.rounds[item] = round_ + 1
        if round_ - live.base.get(item, 0) >= repeat.max:
            live.base[item] = round_
            message = f"{repeat.until} did not hold after {repeat.max} rounds"
            self._unit_failed(node, item, Fault(kind="failed", message=message), at)
        else:
            self._begin(node, live, item, at)
        return False

    def _unit_failed(self, node: Node, item: int, fault: Fault, at: int) -> None:
        live = self.live[node.index]
        if node.spec.on_failure == "continue" and live.items is not None:
            self.moves.append(
                Say(StepFailed(at=at, path=unit_path(node.spec.name, item, 1), fault=fault))
            )
            live.finish(item, None)
            if not live.undone:
                self._succeed(node, live.output)
            return
        if live.items is not None:
            message = f"item {item}: {fault.message}"
            fault = msgspec.structs.replace(fault, message=message)
        self.fail(node, fault, at)

    def _succeed(self, node: Node, output: Json) -> None:
        # A nested plan's steps can still be looked at.
        if node.child is None and node.index in self.live:
            del self.live[node.index]
        if self.late:
            self.late.pop(node.index, None)
        self.progress.succeed(node.index, output)

    def fail(self, node: Node, fault: Fault, at: int) -> None:
        """End a step with a fault, and with it what needs it, or the plan."""
        name, on_failure = node.spec.name, node.spec.on_failure
        if self.progress.done(node.index):
            return
        if node.index in self.live:
            self.moves.append(Drop(name))
        self.late.pop(node.index, None)
        skipped = self.progress.fail(node.index, fault)
        self.moves.append(Say(StepFailed(at=at, path=name, fault=fault)))
        for index in skipped:
            reason = f"needs {name}, which failed"
            path = self.shape.nodes[index].spec.name
            self.moves.append(Say(StepSkipped(at=at, path=path, reason=reason)))
        if on_failure == "stop":
            self.fatal = self.fatal or f"step {name!r} failed: {fault.message}"

    def _skip(self, node: Node, reason: str, at: int) -> None:
        name = node.spec.name
        if self.progress.status[node.index] != PENDING:
            self.moves.append(Drop(name))
            self.live.pop(node.index, None)
        self.late.pop(node.index, None)
        self.moves.append(Say(StepSkipped(at=at, path=name, reason=reason)))
        for index in self.progress.skip(node.index):
            path = self.shape.nodes[index].spec.name
            self.moves.append(
                Say(StepSkipped(at=at, path=path, reason=f"needs {name}, which was skipped"))
            )

    # -- questions --------------------------------------------------------------------------

    def answer(self, node: Node, place: Place, event: ApprovalGiven | InputGiven) -> None:
        """Take a person's answer.

        Raises:
            Refused: Nothing waits for that, or other bytes were shown.
        """
        live = self.live.get(node.index)
        asked = live.asked.get(event.path) if live is not None else None
        wanted = "approve" if isinstance(event, ApprovalGiven) else "input"
        if live is None or asked is None or node.spec.kind != wanted:
            what = "an approval" if wanted == "approve" else "an input"
            status = STATUS[self.progress.status[node.index]]
            raise Refused(f"{event.path!r} does not wait for {what}; step is {status}")
        fault: Fault | None = None
        if isinstance(event, ApprovalGiven):
            if event.digest != asked.digest:
                raise Refused(f"{event.path!r} shows something else by now; look at it again")
            output: Json = {"approved": event.approved, "by": event.by, "note": event.note}
            if not event.approved:
                note = f": {event.note}" if event.note else ""
                fault = Fault(kind="permanent", message=f"rejected by {event.by}{note}")
        else:
            output = event.value
        self._answered(node, live, place, event.path, output, fault, event.at)

    def _answered(
        self,
        node: Node,
        live: Live[Workflow],
        place: Place,
        path: str,
        output: Json,
        fault: Fault | None,
        at: int,
    ) -> None:
        del live.asked[path]
        if not live.asked:
            self.progress.move(node.index, RUNNING)
        self.unit_ended(node, place, output, fault, at)

    def expire(self, node: Node, path: str, at: int) -> None:
        """A question has gone unanswered for as long as it may."""
        live, place = self.live[node.index], read_place(path)
        assert place is not None
        what = "approval" if node.spec.kind == "approve" else "input"
        message = f"{what} {path!r} was not given within {format_duration(node.spec.timeout)}"
        if node.spec.on_timeout == "pause":
            live.asked[path].expires = None
            self.moves.append(Halt(message))
        elif node.spec.on_timeout == "approve":
            output = {"approved": True, "by": NOBODY, "note": message}
            self._answered(node, live, place, path, output, None, at)
        else:
            fault = Fault(kind="timeout", message=message)
            self._answered(node, live, place, path, None, fault, at)

    # -- nested plans -----------------------------------------------------------------------

    def child(self, node: Node, place: Place) -> Workflow:
        """Give a nested workflow.

        Raises:
            Refused: There is none.
        """
        path = unit_path(place.name, place.item, place.round)
        live = self.live.get(node.index)
        if live is None or path not in live.children:
            raise Refused(f"{path!r} is no nested plan that is under way")
        return live.children[path]

    def pull(self, node: Node, path: str, at: int) -> None:
        """Take over what a nested workflow wants, under its path."""
        live = self.live[node.index]
        child, place = live.children[path], read_place(path)
        assert place is not None
        moves, child.moves = child.moves, []
        for move in moves:
            if isinstance(move, Do):
                self.moves.append(Do(f"{path}/{move.path}", move.spec))
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
                self.moves.append(Drop(path))
                fault = Fault(kind="failed", message=move.reason)
                self.unit_ended(node, place, None, fault, at)
        self.watch(node.index, path, child)

    def watch(self, index: int, path: str, child: Workflow) -> None:
        """See to it that a nested workflow is woken in time."""
        due = child.deadline()
        if due is not None:
            self.deadlines.add(due, ("child", index, path))

    def holds(self, timer: Timer) -> bool:
        """Tell whether a deadline still means something."""
        kind, index, path = timer
        if kind == "plan":
            return index == self.begun and not self.fatal
        if kind == "within":
            return self.out_of_patience.get(index) is False
        live = self.live.get(index)
        if live is None or self.progress.done(index):
            return False
        if kind == "child":
            return path in live.children
        return path in live.asked and live.asked[path].expires is not None

    # -- reading ----------------------------------------------------------------------------

    def find(self, path: str) -> tuple[Place, Node]:
        """Say which step a path points into.

        Raises:
            Refused: There is no such step.
        """
        index = self.shape.index.get(path)
        if index is not None:
            return Place(path, ALONE, 1, ""), self.shape.nodes[index]
        place = read_place(path)
        index = None if place is None else self.shape.index.get(place.name)
        if place is None or index is None:
            raise Refused(f"there is no step {path!r} in plan {self.shape.spec.name!r}")
        return place, self.shape.nodes[index]

    def lookup(self, node: Node | None, item: int, round_: int) -> Lookup:
        """Give the meaning of names in the texts of one unit, or in the plan's output."""
        live = None if node is None else self.live.get(node.index)

        def find(name: str) -> Json:
            index = self.shape.index.get(name)
            if index is not None:
                return self.progress.value(index)
            if name == "inputs":
                return self.inputs
            if name == "run":
                return self.facts
            if name == "steps":
                return self._about(self.shape.uses if node is None else node.needs + node.wants)
            if name == "item" and live is not None and live.items is not None:
                return live.items[item]
            if name == "index" and item != ALONE:
                return item
            if name == "round":
                return round_
            if name == "previous" and live is not None:
                return live.previous.get(item)
            raise ExprError(f"unknown name {name!r}")

        return find

    def _about(self, indexes: tuple[int, ...]) -> Json:
        """Give what ``steps.NAME`` means for those steps that a text may ask about."""
        progress = self.progress
        about = {}
        for index in indexes:
            fault = progress.faults.get(index)
            about[self.shape.nodes[index].spec.name] = {
                "status": STATUS[progress.status[index]],
                "output": progress.value(index),
                "error": None if fault is None else fault.message,
            }
        return about

    def fork(self, nest: Nest) -> Self:
        """Copy it, sharing what is finished."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.nest = nest
        other.progress = self.progress.fork()
        other.moves = self.moves.copy()
        other.live = {
            index: live if self.progress.status[index] == SUCCEEDED else _fork(live)
            for index, live in self.live.items()
        }
        other.carried = {name: _fork(live) for name, live in self.carried.items()}
        other.deadlines = self.deadlines.fork()
        other.out_of_patience = self.out_of_patience.copy()
        other.late = self.late.copy()
        return other


def _kind(value: Json) -> str:
    return "null" if value is None else f"a {type(value).__name__}"


def _fork(live: Live[Workflow]) -> Live[Workflow]:
    return live.fork({path: child.fork() for path, child in live.children.items()})
