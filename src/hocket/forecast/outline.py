"""Makes a project of what is left of a run, under the assumptions of `hocket.forecast.assume`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from hocket.core.jobs import Job
from hocket.core.machine import StepStatus, StepView
from hocket.core.run import RunMachine
from hocket.core.specs import StepSpec
from hocket.core.values import step_of
from hocket.forecast.assume import Counts, plan_of
from hocket.forecast.project import Project, Task
from hocket.forecast.terms import Pools, Terms
from hocket.workflows.live import ALONE, unit_path
from hocket.workflows.plan import patience
from hocket.workflows.shape import Node, Shape
from hocket.workflows.stages import stages

_ROUND: Final = re.compile(r"~\d+\Z")
_OPEN: Final[tuple[StepStatus, ...]] = ("pending", "running", "waiting", "held")


class Left(NamedTuple):
    """What is left of a run.

    Fields:
        project: As numbers.
        about: For each task its step's path, its step and its agent; None for marks.
        unknown: The paths of steps whose ``each`` is of nobody knows what length.
    """

    project: Project
    about: list[tuple[str, StepSpec, str] | None]
    unknown: tuple[str, ...]


def outline(machine: RunMachine, begun: Mapping[str, int], at: int, terms: Terms) -> Left:
    """Make a project of what is left.

    Args:
        machine: The run, with its first events applied.
        begun: When each call in flight began, by its path.
        at: The present instant, from which the project counts.
        terms: What to go by.

    Raises:
        TypeError: Its workflow is no plan.
    """
    shape = plan_of(machine).shape
    counts = Counts(machine, terms.items)
    draft = _Draft(machine, begun, at, terms, counts)
    draft.plan(shape, "", None)
    tasks = [
        Task(path, step, takes, claim, left, tuple(draft.after[i]), since, counted)
        for i, (path, step, takes, claim, left, _, since, counted) in enumerate(draft.tasks)
    ]
    known = sorted([task.takes for task in tasks if task.claim is not None])
    typical = known[len(known) // 2] if known else 0
    held = draft.pools.held(terms.held, at, typical)
    return Left(Project(tasks, draft.pools.pools, held), draft.about, tuple(counts.assumed))


class _Draft:
    """A project in the making.

    Attributes:
        tasks: The tasks, without those that follow them.
        after: For each task, those that follow it.
        about: For each task, what it is a call of.
    """

    def __init__(
        self, machine: RunMachine, begun: Mapping[str, int], at: int, terms: Terms, counts: Counts
    ) -> None:
        self.pools = Pools(terms.limits)
        self.tasks: list[Task] = []
        self.after: list[list[int]] = []
        self.about: list[tuple[str, StepSpec, str] | None] = []
        self._begun = begun
        self._at = at
        self._name = machine.spec.name
        self._terms = terms
        self._counts = counts
        self._views: dict[str, StepView] = {view.path: view for view in machine.view()}
        self._patience = patience(plan_of(machine))
        # Units by the path of their first round, in which round they may be.
        self._live = machine.calls.jobs
        self._agents = machine.spec.agents
        self._jobs = {_ROUND.sub("", path): job for path, job in machine.calls.jobs.items()}
        self._within: dict[str, list[str]] = {}
        """The paths of live jobs below each path that has any, which is without its round."""
        for job in machine.calls.jobs:
            above = job.rpartition("/")[0]
            while above:
                self._within.setdefault(_ROUND.sub("", above), []).append(job)
                above = above.rpartition("/")[0]
        self._rounds: dict[str, str] = {}
        self._open: dict[str, None] = {}
        for path, view in self._views.items():
            outer = path.rpartition("/")[0]
            if outer:
                first = _ROUND.sub("", outer)
                if _round(outer) >= _round(self._rounds.get(first, "")):
                    self._rounds[first] = outer
                if view.status in _OPEN:
                    self._open[outer] = None

    def plan(self, shape: Shape, prefix: str, entry: int | None) -> list[int]:
        """Add the steps of a plan that are not over; gives the tasks that it ends with.

        Args:
            shape: The plan.
            prefix: The path of the unit that it is, with a slash behind it.
            entry: The mark at which it begins; None if it has begun.
        """
        ends: list[int | None] = [None] * len(shape.nodes)
        last: list[int] = []
        for node in shape.in_order():
            path = prefix + node.spec.name
            view = self._views.get(path)
            status = "pending" if view is None else view.status
            if status not in _OPEN:
                continue
            before = [end for i in node.needs if (end := ends[i]) is not None]
            if status == "pending":
                before = self._wants(node, shape, prefix, before, ends)
                if not before and entry is not None:
                    before = [entry]
            else:
                before = []
            drops = node.soft and node.harmless and node.index not in shape.uses
            end = ends[node.index] = self._step(node, path, status, before, not drops)
            if end is not None and not node.dependents and not drops:
                last.append(end)
        return last

    def _wants(
        self,
        node: Node,
        shape: Shape,
        prefix: str,
        before: list[int],
        ends: Sequence[int | None],
    ) -> list[int]:
        """Let a step wait for its wants, as far as it does; gives all that it waits for."""
        wanted = [end for i in node.wants if (end := ends[i]) is not None]
        enough = len(wanted)
        if node.spec.quorum is not None:
            names = [prefix + shape.nodes[i].spec.name for i in node.wants]
            views = [self._views.get(name) for name in names]
            met = sum([view is not None and view.status == "succeeded" for view in views])
            enough = min(enough, max(0, node.spec.quorum - met))
        if not enough:
            return before
        gate = self._add(Task("", "", 0, None, enough))
        for end in wanted:
            self.after[end].append(gate)
        if node.spec.within is not None:
            until = self._patience.get(prefix + node.spec.name)
            within = node.spec.within if until is None else max(0, until - self._at)
            timer = self._add(Task("", "", within, None, 0, counts=False), before)
            self.after[timer] += [gate] * enough
        return [*before, gate]

    def _step(
        self,
        node: Node,
        path: str,
        status: StepStatus,
        before: list[int],
        counted: bool,
    ) -> int | None:
        """Add a step; gives the task that it ends with, or None if it has."""
        units = [ALONE] if node.each is None else self._units(node, path, status)
        found: list[int] = []
        gate = before
        if len(units) * len(before) > len(units) + len(before):
            gate = [self._add(Task("", "", 0, None, 0, counts=counted), before)]
        name = path.rpartition("/")[2]
        outer = path[: len(path) - len(name)]
        for item in units:
            unit = outer + unit_path(name, item, 1)
            if node.job is not None and node.team is None:
                found += self._call(node, unit, status, gate, counted)
            elif node.child is not None:
                found += self._nested(node, node.child, unit, status, gate)
            elif node.team is not None:
                found += self._team(node, unit, status, gate)
            else:
                found.append(self._add(Task("", "", 0, None, 0), gate))
        if len(found) == 1:
            return found[0]
        if not found and status != "pending":
            return None
        return self._add(Task("", "", 0, None, 0, counts=counted), found or gate)

    def _units(self, node: Node, path: str, status: StepStatus) -> list[int]:
        view = self._views.get(path)
        if status == "pending" or view is None or view.total is None:
            return list(range(self._counts.of(node, step_of(path))))
        return list(range(view.total))

    def _call(
        self,
        node: Node,
        unit: str,
        status: StepStatus,
        before: list[int],
        counted: bool,
    ) -> list[int]:
        job = self._jobs.get(unit)
        if job is None and status != "pending":
            return []
        agent = node.spec.agent if job is None else job.agent_name
        path = unit if job is None else job.path
        step = step_of(unit)
        claim = self.pools.claim(self._terms.claim(agent, tuple(node.spec.uses.items())))
        takes = self._terms.durations.expected(self._name, step, node.spec, agent)
        since: int | None = None
        if job is not None:
            before, since = self._begun_job(job, before)
        task = Task(path, step, takes, claim, 0, since=since, counts=counted)
        return [self._add(task, before, (step, node.spec, agent))]

    def _team(self, node: Node, unit: str, status: StepStatus, before: list[int]) -> list[int]:
        """Add what a team is expected to do still, stage by stage; gives what it ends with.

        Of a team at work it is what it is asked at present, and every stage after that.
        """
        live: dict[str, Job] = {}
        if status != "pending":
            live = {step_of(path): self._live[path] for path in self._within.get(unit, ())}
        left = stages(node.spec, self._agents)
        outer = step_of(unit)
        if live:
            known = [[_of(live, f"{outer}/{inner}") for inner, _ in stage] for stage in left]
            first = next((i for i, jobs in enumerate(known) if any(jobs)), len(left))
            left = left[first:]
        for number, stage in enumerate(left):
            found: list[int] = []
            for inner, agent in stage:
                job = _of(live, f"{outer}/{inner}") if number == 0 else None
                if live and number == 0 and job is None:
                    continue
                found.append(self._member(node, unit, f"{outer}/{inner}", agent, job, before))
            before = [self._add(Task("", "", 0, None, 0), found)] if found else before
        return before

    def _member(
        self, node: Node, unit: str, step: str, agent: str, job: Job | None, before: list[int]
    ) -> int:
        """Add one call of a team."""
        agent = agent if job is None else job.agent_name
        claim = self.pools.claim(self._terms.claim(agent, tuple(node.spec.uses.items())))
        takes = self._terms.durations.expected(self._name, step, node.spec, agent)
        since: int | None = None
        if job is not None:
            before, since = self._begun_job(job, before)
        path = unit + step[len(step_of(unit)) :] if job is None else job.path
        task = Task(path, step, takes, claim, 0, since=since)
        return self._add(task, before, (step, node.spec, agent))

    def _begun_job(self, job: Job, before: list[int]) -> tuple[list[int], int | None]:
        """Say what a call waits for, or since when it is under way."""
        if job.state in ("running", "stopping"):
            return [], min(0, self._begun.get(job.path, self._at) - self._at)
        if job.state == "backing_off" and job.ready > self._at:
            return [self._add(Task("", "", job.ready - self._at, None, 0))], None
        return before, None

    def _nested(
        self, node: Node, child: Shape, unit: str, status: StepStatus, before: list[int]
    ) -> list[int]:
        """Add a nested plan; gives the task that it ends with, if it has not ended."""
        present = self._rounds.get(unit)
        if status != "pending" and present is not None:
            if present not in self._open:
                return []
            last = self.plan(child, f"{present}/", None)
            return [self._add(Task("", "", 0, None, 0), last)]
        entry = self._add(Task("", "", 0, None, 0), before)
        last = self.plan(child, f"{unit}/", entry)
        return [self._add(Task("", "", 0, None, 0), last or [entry])]

    def _add(
        self,
        task: Task,
        before: Sequence[int] = (),
        about: tuple[str, StepSpec, str] | None = None,
    ) -> int:
        index = len(self.tasks)
        self.tasks.append(task._replace(left=len(before) if before else task.left))
        self.after.append([])
        self.about.append(about)
        for i in before:
            self.after[i].append(index)
        return index


def _of(live: Mapping[str, Job], step: str) -> Job | None:
    """Give the job of a member's part, or of a turn in it."""
    if step in live:
        return live[step]
    return next((job for path, job in live.items() if path.startswith(f"{step}/")), None)


def _round(path: str) -> int:
    found = _ROUND.search(path)
    return int(found[0][1:]) if found else 1
