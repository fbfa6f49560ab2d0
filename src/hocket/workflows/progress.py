"""How far a plan is: which steps are done, which wait for which, and what may start now.

This is the graph's bookkeeping alone; what a step does while it runs is `hocket.workflows.plan`'s.
Everything here is iterative: a chain of 100,000 steps must not need a deep stack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Self

from hocket.core.errors import Fault
from hocket.core.forkmap import ForkMap
from hocket.core.machine import StepStatus
from hocket.core.values import Json
from hocket.workflows.shape import Node, Shape

PENDING: Final = 0
RUNNING: Final = 1
WAITING: Final = 2
SUCCEEDED: Final = 3
FAILED: Final = 4
SKIPPED: Final = 5
STATUS: Final[tuple[StepStatus, ...]] = (
    "pending",
    "running",
    "waiting",
    "succeeded",
    "failed",
    "skipped",
)


class Progress:
    """The state of each step of a plan, by its number."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        count = len(shape.nodes)
        self.status = bytearray(count)
        self.counts = [count, 0, 0, 0, 0, 0]
        """How many steps are in each state."""
        self.left = [len(node.needs) for node in shape.nodes]
        """For each pending step, how many needs are open."""
        self.wants = {n.index: (len(n.wants), 0) for n in shape.nodes if n.wants}
        """For each step that wants others: how many of those are open, and how many succeeded."""
        self.outputs: ForkMap[int, Json] = ForkMap()
        self.faults: dict[int, Fault] = {}
        self.skipped_by: dict[int, int] = {}
        """For each step skipped because of another, that one."""
        self.ready: deque[int] = deque()
        """Steps whose needs are there, in the order in which that came about."""

    @property
    def open(self) -> int:
        """How many steps have not come to an end."""
        counts = self.counts
        return counts[PENDING] + counts[RUNNING] + counts[WAITING]

    def begin(self) -> None:
        """Find the steps that need nothing more."""
        status, left = self.status, self.left
        self.ready.extend(i for i in range(len(left)) if status[i] == PENDING and not left[i])

    def done(self, index: int) -> bool:
        """Tell whether a step has come to an end."""
        return self.status[index] >= SUCCEEDED

    def good(self, index: int) -> bool:
        """Tell whether a step has come to an end that does not hold up those who need it."""
        status = self.status[index]
        return status == SUCCEEDED or (status == FAILED and self._tolerated(index))

    def move(self, index: int, status: int) -> None:
        """Put a step into another state that is no end."""
        self.counts[self.status[index]] -= 1
        self.counts[status] += 1
        self.status[index] = status

    def succeed(self, index: int, output: Json) -> None:
        """End a step with an output."""
        self.outputs[index] = output
        status, counts, left = self.status, self.counts, self.left
        counts[status[index]] -= 1
        counts[SUCCEEDED] += 1
        status[index] = SUCCEEDED
        node = self.shape.nodes[index]
        for i in node.dependents:
            left[i] -= 1
            if not left[i] and status[i] == PENDING:
                self.ready.append(i)
        if node.wanters:
            self._tell_wanters(node)

    def fail(self, index: int, fault: Fault) -> list[int]:
        """End a step with a fault; gives the steps that are skipped for it."""
        self.faults[index] = fault
        self.move(index, FAILED)
        if self.good(index):
            self._tell(self.shape.nodes[index])
            return []
        return self._skip_below(index, index)

    def skip(self, index: int) -> list[int]:
        """End a step undone; gives the steps that are skipped for it."""
        self.move(index, SKIPPED)
        return self._skip_below(index, index)

    def value(self, index: int) -> Json:
        """Give a step's output, or None if it has none."""
        return self.outputs[index] if self.status[index] == SUCCEEDED else None

    def patient(self, node: Node) -> bool:
        """Tell whether a step's wants are still worth waiting for, its own time limit aside."""
        left, met = self.wants[node.index]
        quorum = node.spec.quorum
        return left > 0 and (quorum is None or met < quorum)

    def reopen(self, indexes: Sequence[int]) -> None:
        """Undo failed steps' ends, and that of the steps that were skipped for their sake alone."""
        causes = dict.fromkeys(indexes)
        below = [i for i, cause in self.skipped_by.items() if cause in causes]
        for i in causes:
            self.faults.pop(i, None)
        for i in below:
            del self.skipped_by[i]
        for i in (*causes, *below):
            self.move(i, PENDING)
        self._recount((*causes, *below))
        # What one that has failed needs may have been left out since, too.
        for i in (*causes, *below):
            needs = self.shape.nodes[i].needs
            lost = next((n for n in needs if self.done(n) and not self.good(n)), None)
            if lost is not None and self.status[i] == PENDING:
                cause = self.skipped_by.get(lost, lost)
                self.move(i, SKIPPED)
                self.skipped_by[i] = cause
                self._skip_below(i, cause)

    def adopt(self, kept: dict[int, Json]) -> None:
        """Take these steps as done, with their outputs, before anything has begun."""
        for index, output in kept.items():
            self.outputs[index] = output
            self.move(index, SUCCEEDED)
        self._recount(range(len(self.shape.nodes)))

    def fork(self) -> Self:
        """Copy it; outputs are shared."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.status = self.status.copy()
        other.counts = self.counts.copy()
        other.left = self.left.copy()
        other.wants = self.wants.copy()
        other.outputs = self.outputs.fork()
        other.faults = self.faults.copy()
        other.skipped_by = self.skipped_by.copy()
        other.ready = self.ready.copy()
        return other

    def broken(self) -> list[str]:
        """Name every invariant that does not hold."""
        nodes, status = self.shape.nodes, self.status
        good = [self.good(i) for i in range(len(status))]
        broken: dict[str, None] = {}
        if [status.count(value) for value in range(len(STATUS))] != self.counts:
            broken["counts count the steps"] = None
        if any(self.wants[i] != _count_wants(self.status, nodes[i]) for i in self.wants):
            broken["wants are counted"] = None
        for node in nodes:
            index, value = node.index, status[node.index]
            bad = [need for need in node.needs if not good[need]] if node.needs else []
            if value == PENDING and self.left[index] != len(bad):
                broken["left counts the open needs"] = None
            if bad and value == PENDING and any(map(self.done, bad)):
                broken["no pending step needs what is lost"] = None
            # A failure that was put up with may be tried again when others have gone on without.
            if bad and PENDING < value <= SUCCEEDED and not all(map(self._tolerated, bad)):
                broken["nothing begins before its needs"] = None
            if value == SUCCEEDED and index not in self.outputs:
                broken["what succeeded has an output"] = None
            if value == FAILED and index not in self.faults:
                broken["what failed has a fault"] = None
        return list(broken)

    def _tell(self, node: Node) -> None:
        status, left, ready = self.status, self.left, self.ready
        for i in node.dependents:
            left[i] -= 1
            if not left[i] and status[i] == PENDING:
                ready.append(i)
        if node.wanters:
            self._tell_wanters(node)

    def _tell_wanters(self, node: Node) -> None:
        succeeded = self.status[node.index] == SUCCEEDED
        for i in node.wanters:
            left, met = self.wants[i]
            self.wants[i] = (left - 1, met + succeeded)
            if self.status[i] == PENDING and not self.left[i]:
                self.ready.append(i)

    def _recount(self, indexes: Iterable[int]) -> None:
        """Count again what steps wait for, once these and what they depend on have moved."""
        nodes, moved = self.shape.nodes, dict[int, None]()
        for i in indexes:
            moved[i] = None
            moved.update(dict.fromkeys(nodes[i].dependents))
            moved.update(dict.fromkeys(nodes[i].wanters))
        for i in moved:
            self.left[i] = sum(not self.good(need) for need in nodes[i].needs)
            if i in self.wants:
                self.wants[i] = _count_wants(self.status, nodes[i])

    def _tolerated(self, index: int) -> bool:
        return self.shape.nodes[index].spec.on_failure == "continue"

    def _skip_below(self, index: int, cause: int) -> list[int]:
        nodes, skipped, stack = self.shape.nodes, list[int](), [index]
        while stack:
            node = nodes[stack.pop()]
            for i in node.dependents:
                if self.status[i] == PENDING:
                    self.move(i, SKIPPED)
                    self.skipped_by[i] = cause
                    skipped.append(i)
                    stack.append(i)
            if node.wanters:
                self._tell_wanters(node)
        return skipped


def _count_wants(status: bytearray, node: Node) -> tuple[int, int]:
    """Count the wants that have not ended, and those that have succeeded."""
    left = sum(status[want] < SUCCEEDED for want in node.wants)
    return left, sum(status[want] == SUCCEEDED for want in node.wants)
