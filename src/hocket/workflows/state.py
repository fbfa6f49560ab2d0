"""What a plan's machine remembers of its steps, and how their texts and paths are read against it.

Nothing here decides; `hocket.workflows.steps` does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final, Protocol, Self, TypeAlias

from hocket.core.deadlines import Deadlines
from hocket.core.errors import ExprError, Refused
from hocket.core.expr import Lookup
from hocket.core.machine import Workflow
from hocket.core.values import Json
from hocket.workflows.live import ALONE, UNDONE, Live, Place, read_place, unit_path
from hocket.workflows.progress import (
    PENDING,
    RUNNING,
    SKIPPED,
    STATUS,
    SUCCEEDED,
    WAITING,
    Progress,
)
from hocket.workflows.shape import Node, Shape

Timer: TypeAlias = tuple[str, int, str, int]
"""What a deadline is for: ("plan" | "within" | "answer" | "child", step, unit path), and when."""

_TIDY_AT: Final = 4_096


class Nest(Protocol):
    """Makes the machine of a nested plan."""

    def __call__(self, shape: Shape, inputs: Mapping[str, Json]) -> Workflow:
        """Make it, not started."""


class State:
    """The state of one plan.

    Attributes:
        live: Running steps that are more than a plain job; failed ones that may be retried.
        begun: How often the plan has begun: once, and once more for each retry after its end.
        patience: For steps that wait for wants under ``within``: until when.
        late: Open steps that nobody waits for any more, and whose end does no harm.
        rounds: Units whose next round is to begin.
        why: Why steps were skipped that were not skipped for another's sake.
        carried: What steps of an earlier spec had done in part, by name.
        heirs: Nested workflows of an earlier spec by unit path, with the agents equal in both.
    """

    def __init__(
        self, shape: Shape, inputs: dict[str, Json], facts: dict[str, Json], nest: Nest
    ) -> None:
        self.shape = shape
        self.inputs = inputs
        self.facts = facts
        self.nest = nest
        self.progress = Progress(shape)
        self.live: dict[int, Live[Workflow]] = {}
        self.deadlines: Deadlines[Timer] = Deadlines()
        self.begun = 0
        self.fatal = ""
        """Why the plan cannot go on, once that is so."""
        self.patience: dict[int, int] = {}
        self.late: dict[int, None] = {}
        self.rounds: deque[tuple[int, int]] = deque()
        self.why: dict[int, str] = {}
        self.carried: dict[str, Live[Workflow]] = {}
        self.heirs: dict[str, tuple[Workflow, frozenset[str]]] = {}
        self._tidy_at = _TIDY_AT

    # -- jobs and nested workflows ----------------------------------------------------------

    def jobs(self) -> Iterator[str]:
        """Give the paths of all jobs that the plan waits for."""
        for node in self.shape.nodes:
            if self.progress.status[node.index] in (RUNNING, WAITING):
                yield from self.jobs_of(node)

    def jobs_of(self, node: Node) -> Iterator[str]:
        """Give the paths of the jobs that a running step waits for."""
        live = self.live.get(node.index)
        if live is None:
            yield node.spec.name
            return
        for item in live.units():
            path = unit_path(node.spec.name, item, live.round(item))
            if path in live.asked:
                continue
            if node.job is not None and node.team is None:
                yield path
            elif path in live.children:
                for inner in live.children[path].jobs():
                    yield f"{path}/{inner}"

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

    def goes_on(self, node: Node, place: Place) -> bool:
        """Tell whether a unit is under way."""
        # A pending step may have begun before: what it needs was done anew since.
        begun = self.progress.status[node.index] in (RUNNING, WAITING)
        return begun and self.present(node, place)

    def present(self, node: Node, place: Place) -> bool:
        """Tell whether a unit is not done and in this very round."""
        live = self.live.get(node.index)
        if live is None or (live.items is None) != (place.item == ALONE):
            return False
        if place.item >= len(live.results):
            return False
        return live.result(place.item) is UNDONE and live.round(place.item) == place.round

    # -- time -------------------------------------------------------------------------------

    def remind(self, at: int, kind: str, index: int, path: str = "") -> None:
        """See to it that the plan is woken at an instant."""
        if len(self.deadlines) >= self._tidy_at:
            self.deadlines.tidy(self.holds)
            self._tidy_at = max(_TIDY_AT, 2 * len(self.deadlines))
        self.deadlines.add(at, (kind, index, path, at))

    def time_limit(self, at: int) -> None:
        """Let the plan's time begin to count."""
        self.begun += 1
        self.remind(at + self.shape.spec.timeout, "plan", self.begun)

    def watch(self, index: int, path: str) -> None:
        """See to it that a nested workflow is woken in time."""
        live = self.live[index]
        due = live.children[path].deadline()
        known = live.watched.get(path)
        if due is None:
            live.watched.pop(path, None)
        elif due != known:
            live.watched[path] = due
            self.remind(due, "child", index, path)

    def holds(self, timer: Timer) -> bool:
        """Tell whether a deadline still means something; one that was put off has another."""
        kind, index, path, at = timer
        if kind == "plan":
            return index == self.begun and not self.fatal
        if kind == "within":
            return self.patience.get(index) == at and self.progress.status[index] == PENDING
        live = self.live.get(index)
        if live is None or self.progress.done(index):
            return False
        if kind == "child":
            return live.watched.get(path) == at
        return path in live.asked and live.asked[path].expires == at

    def wants_are_in(self, node: Node, at: int) -> bool:
        """Tell whether the wants need no more waiting; begin to count ``within`` if they do."""
        within, index = node.spec.within, node.index
        if self.progress.patient(node):
            if within is None:
                return False
            if index not in self.patience:
                self.patience[index] = at + within
                self.remind(at + within, "within", index)
            if at < self.patience[index]:
                return False
        self.patience.pop(index, None)
        return True

    def mark_late(self, node: Node) -> None:
        """Note a step as late if all who wanted it have begun without it, and nobody else waits."""
        index, status = node.index, self.progress.status
        begun = all(status[i] != PENDING for i in node.wanters)
        waited_for = node.dependents or index in self.shape.uses or not begun
        if node.harmless and not waited_for and not self.progress.done(index):
            self.late[index] = None

    # -- reading ----------------------------------------------------------------------------

    def find(self, path: str) -> tuple[Place, Node]:
        """Say which step a path points into.

        Raises:
            Refused: There is no such step.
        """
        index = self.shape.index.get(path)
        if index is not None:
            node = self.shape.nodes[index]
            return node.place, node
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
            if name == "previous":
                return None if live is None else live.previous.get(item)
            raise ExprError(f"unknown name {name!r}")

        return find

    def until_holds(self, node: Node, item: int, output: Json) -> bool:
        """Tell whether a unit's output fulfils ``until``.

        Raises:
            ExprError: It asks for what is not there.
        """
        assert node.until is not None
        lookup = self.lookup(node, item, self.live[node.index].round(item))
        own = node.spec.name
        return bool(node.until.evaluate(lambda name: output if name == own else lookup(name)))

    def skip_reason(self, index: int) -> str:
        """Say why a step was skipped."""
        cause = self.progress.skipped_by.get(index)
        if cause is None:
            return self.why.get(index, "")
        how = "was skipped" if self.progress.status[cause] == SKIPPED else "failed"
        return f"needs {self.shape.nodes[cause].spec.name}, which {how}"

    def broken(self, over: bool) -> list[str]:
        """Name every invariant that does not hold."""
        progress, nodes = self.progress, self.shape.nodes
        broken = progress.broken()
        if any(progress.done(index) for index in self.late):
            broken.append("late steps are open")
        for index, live in self.live.items():
            undone = sum(result is UNDONE for result in live.results)
            if undone != live.undone:
                broken.append("undone counts the units that are not done")
            status = progress.status[index]
            if status in (RUNNING, WAITING) and not undone:
                broken.append("a running step has something to do")
            if (status == WAITING) != bool(live.asked) and status in (RUNNING, WAITING):
                broken.append("a waiting step has a question")
            if not progress.done(index) and live.children:
                for item in live.units():
                    path = unit_path(nodes[index].spec.name, item, live.round(item))
                    live.children[path].check()
        if over:
            return broken
        if not progress.open:
            broken.append("a plan with nothing open is over")
        if self.rounds or self.fatal:
            broken.append("nothing is left to begin")
        if any(
            status == PENDING
            and not progress.left[i]
            and not (nodes[i].wants and progress.patient(nodes[i]))
            for i, status in enumerate(progress.status)
        ):
            broken.append("a step begins the moment its inputs are there")
        return broken

    def fork(self) -> Self:
        """Copy it; what is finished is shared."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.progress = self.progress.fork()
        other.live = {
            index: live if self.progress.status[index] == SUCCEEDED else self._fork(index, live)
            for index, live in self.live.items()
        }
        other.deadlines = self.deadlines.fork()
        other.patience = self.patience.copy()
        other.late = self.late.copy()
        other.rounds = self.rounds.copy()
        other.why = self.why.copy()
        other.carried = {name: live.fork({}) for name, live in self.carried.items()}
        other.heirs = self.heirs.copy()
        return other

    # -- within -----------------------------------------------------------------------------

    def _fork(self, index: int, live: Live[Workflow]) -> Live[Workflow]:
        children = live.children.copy()
        if children:
            name = self.shape.nodes[index].spec.name
            for item in live.units():
                path = unit_path(name, item, live.round(item))
                if path in children:
                    children[path] = children[path].fork()
        return live.fork(children)

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


def own_child(state: State, node: Node, place: Place) -> Workflow | None:
    """Give a nested workflow that no copy of the plan shares; None if there is none.

    Copies share what is finished, but calls of a team may land after it has decided.
    """
    live = state.live.get(node.index)
    path = unit_path(place.name, place.item, place.round)
    child = None if live is None else live.children.get(path)
    if live is None or child is None:
        return None
    done = state.progress.status[node.index] == SUCCEEDED
    if done or not state.present(node, place):
        if done:
            live = state.live[node.index] = live.fork(live.children.copy())
        child = live.children[path] = child.fork()
    return child
