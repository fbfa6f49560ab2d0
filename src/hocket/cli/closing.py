"""The lines that close a run on the command line: how it stands, and what to type next."""

from __future__ import annotations

from collections.abc import Container, Iterable

from hocket.app.planning_run import is_planning
from hocket.app.questions import open_questions
from hocket.core.events import ApprovalAsked
from hocket.core.machine import StepView
from hocket.core.run import RunMachine
from hocket.core.values import Call, format_duration
from hocket.insight.tally import Tally
from hocket.report.prediction import compared_line
from hocket.report.text import counts_words, kept_words, one_line, spent_words, step_rows, table

_MOST = 20
_BUDGET = "over budget: "
_NOTEWORTHY = {"failed", "held", "waiting", "running", "stopped"}


def closing_lines(machine: RunMachine, tally: Tally) -> list[str]:
    """Give the lines that say how a run stands."""
    run, end = machine.run, machine.end
    took = format_duration(machine.at - machine.started_at)
    lines = [
        f"run {run} {machine.said}: {counts_words(machine.counts())} · "
        f"{spent_words(tally)} · {took}"
    ]
    views = [v for v in machine.view() if v.status in _NOTEWORTHY]
    reason = end.reason if end is not None else ""
    if over_budget(machine) and machine.phase != "ended":
        reason = machine.pause_reason
    # The failed step's own line says it already.
    if reason and not any(v.detail and v.detail in reason for v in views[:_MOST]):
        lines.append(f"  {one_line(reason)}")
    if kept := kept_words(tally):
        lines.append(f"  {kept}")
    if compared := compared_line(machine):
        lines.append(f"  {compared}")
    lines += [f"  {line}" for line in _noteworthy(machine, views)]
    lines += next_lines(machine)
    return lines


def _noteworthy(machine: RunMachine, views: list[StepView]) -> list[str]:
    rows = table(["", "", "", ""], step_rows(views[:_MOST]))[1:]
    if len(views) > _MOST:
        rows.append(f"… and {len(views) - _MOST} more: hocket show {machine.run}")
    return rows


def waiting_lines(machine: RunMachine, noted: Container[str] = ()) -> list[str]:
    """Give the commands that settle what the run waits for.

    Args:
        machine: The run.
        noted: What was decided already, of a run that nobody drives.
    """
    run, lines = machine.run, []
    for path, asked in open_questions(machine).items():
        if path in noted:
            continue
        if isinstance(asked, ApprovalAsked):
            lines.append(f"  to decide: hocket approve {run} {path}")
        else:
            lines.append(f"  to answer: hocket send {run} {path} TEXT")
    return lines + held_lines(machine, [job.call for job in machine.calls.held()])


def held_lines(machine: RunMachine, calls: Iterable[Call]) -> list[str]:
    """Give the commands that settle those of these calls that are held."""
    run, lines = machine.run, list[str]()
    held = {job.call for job in machine.calls.held()}
    for call in calls:
        if call in held:
            lines += [
                f"  {call} has effects and was in flight when the process that did it died:",
                f"    to do it again: hocket retry {run} {call.path}",
                f"    if it was done: hocket send {run} {call.path} OUTPUT",
            ]
    return lines


def next_lines(
    machine: RunMachine, *, alive: bool = False, noted: Container[str] = ()
) -> list[str]:
    """Give the commands that make sense now.

    Args:
        machine: The run.
        alive: Whether a process is running it.
        noted: As in `waiting_lines`.
    """
    run, lines = machine.run, waiting_lines(machine, noted)
    if machine.phase == "ended":
        if machine.said == "failed":
            lines.append(f"  to do what failed again: hocket retry {run}")
        if machine.said == "succeeded" and is_planning(machine):
            lines.append(f"  to write the plan that it gave: hocket plan --from {run}")
        lines.append(f"  to look at it: hocket show {run}")
    elif machine.phase in {"running", "pausing"} and not alive:
        if over_budget(machine):
            lines.append(f"  to go on with more: hocket resume {run} --budget DOLLARS")
        again = f"plan --from {run}" if is_planning(machine) else f"resume {run}"
        lines.append(f"  to go on: hocket {again}")
    return lines


def over_budget(machine: RunMachine) -> bool:
    """Tell whether a budget has stopped the run: it is paused for it, or has failed of it."""
    if machine.phase == "ended":
        failed = (view.detail for view in machine.view() if view.status == "failed")
        return machine.said == "failed" and any(_BUDGET in detail for detail in failed)
    return machine.phase == "pausing" and machine.pause_reason.startswith(_BUDGET)
