"""What people are asked in a run and have neither answered nor let expire, and until when."""

from __future__ import annotations

from typing import NamedTuple

from hocket.core.events import ApprovalAsked, InputAsked
from hocket.core.gate import GATE
from hocket.core.machine import Workflow
from hocket.core.run import OPEN, RunMachine
from hocket.workflows.floor import join
from hocket.workflows.plan import PlanMachine, state_of, waits_at
from hocket.workflows.team import Team


class Open(NamedTuple):
    """An open question.

    Fields:
        asked: What is asked.
        expires: When it counts as unanswered; None if it does so already and the run is paused.
    """

    asked: ApprovalAsked | InputAsked
    expires: int | None


def open_questions(machine: RunMachine) -> dict[str, Open]:
    """Give the open questions of a run by path; costs what is live."""
    if machine.phase not in OPEN:
        return {}
    times = questions_of(machine.workflow) if machine.gate.passed else {GATE: machine.gate.expires}
    found = {
        path: Open(asked, times[path]) for path, asked in machine.questions.items() if path in times
    }
    people = machine.calls.people
    for path, question in people.open.items():
        found[path] = Open(question, people.expires(path))
    return found


def still_open(machine: RunMachine, path: str) -> bool:
    """Tell whether the question at `path` still waits for somebody; others cost nothing."""
    if machine.phase not in OPEN:
        return False
    if not machine.gate.passed:
        return path == GATE
    return path in machine.calls.people.open or waits_at(machine.workflow, path)


def questions_of(workflow: Workflow) -> dict[str, int | None]:
    """Give the paths at which a workflow waits for people, and until when."""
    found: dict[str, int | None] = {}
    if isinstance(workflow, Team):
        for path, asked in workflow.floor.asked.items():
            if asked.talk is not None:
                until = asked.talk.deadline()
                found.update((join(path, view.path), until) for view in asked.talk.view())
    elif isinstance(workflow, PlanMachine) and not workflow.over:
        state = state_of(workflow)
        for index, live in state.live.items():
            if state.progress.done(index):
                continue
            found.update((path, asked.expires) for path, asked in live.asked.items())
            for path, child in live.children.items():
                inner = questions_of(child).items()
                found.update((f"{path}/{name}", until) for name, until in inner)
    return found
