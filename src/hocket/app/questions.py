"""What people are asked in a run, and have neither answered nor let expire."""

from __future__ import annotations

from hocket.core.events import ApprovalAsked, InputAsked
from hocket.core.run import RunMachine


def open_questions(machine: RunMachine) -> dict[str, ApprovalAsked | InputAsked]:
    """Give the questions whose steps still wait, by path."""
    if machine.phase == "ended":
        return {}
    waiting = [view.path for view in machine.workflow.view() if view.status == "waiting"]
    return {
        path: asked
        for path, asked in machine.questions.items()
        if any(path == step or path.startswith(f"{step}/") for step in waiting)
    }
