"""What waits for people, ready to be decided about: what is shown, and what is known besides.

What binds is what is shown, by its digest; all else is for whoever decides, and may change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from statistics import median
from typing import Final, Literal

import msgspec

from hocket.app.history import past_of
from hocket.app.predict import costs_of, predicted
from hocket.core.errors import Refused
from hocket.core.events import ApprovalAsked
from hocket.core.gate import GATE
from hocket.core.people import asking_call
from hocket.core.run import RunMachine
from hocket.core.specs import PlanSpec, RunSpec, StepSpec, steps_of
from hocket.core.values import SECOND, Json, step_of
from hocket.journal.base import Store
from hocket.workflows.open import open_questions

USD: Final = 10**12
"""Pico-dollars of a dollar."""
_FORECAST: Final = 500
"""The most steps of a plan whose time and cost are foretold for a person who is asked about it."""
_DIFF_MOST: Final = 100_000
_DIFF = re.compile(r"^(?:diff --git |--- [^\n]*\n\+\+\+ [^\n]*\n@@ )", re.MULTILINE)
_OF_DIFF: Final = (
    *(" ", "+", "-", "@@", "\\", "diff --git ", "index ", "new file", "deleted file"),
    *("old mode", "new mode", "similarity", "rename ", "copy ", "Binary "),
)


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What doing it is expected to take, as far as earlier runs tell; None where they don't.

    Fields:
        usd: Dollars.
        seconds: How long it takes.
        calls: How many calls it makes.
    """

    usd: float | None = None
    seconds: float | None = None
    calls: int | None = None


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a question besides what is shown.

    Fields:
        command: The argument list of the program that would run.
        stdin: What it would read.
        diff: A unified diff in what is shown, or in what a needed step has given.
        estimate: What it is expected to take.
    """

    command: list[Json] | None = None
    stdin: Json = None
    diff: str | None = None
    estimate: Expected | None = None


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """An open question; instants are nanoseconds since the epoch.

    Fields:
        run: The run.
        name: Its plan.
        path: Whose question it is: a step's, ``run`` for the plan, or a call's.
        kind: Whether it waits for a decision or for an input.
        shown: Exactly what is asked.
        digest: The digest of that, which a decision has to name; "" for an input.
        asked_at: Since when.
        expires: When it counts as unanswered; None if it does so already.
        on_timeout: What happens then: ``pause``, ``reject``, ``approve``; a call is told ``no``.
        detail: What is known besides.
        output: JSON Schema of the input that is waited for.
        paused: Why the run is paused, so that an answer counts once it goes on; "" if it isn't.
    """

    run: str
    name: str
    path: str
    kind: Literal["approve", "input"]
    shown: str
    digest: str
    asked_at: int
    expires: int | None
    on_timeout: str
    detail: Detail = Detail()
    output: Json = None
    paused: str = ""


def paused_for(machine: RunMachine) -> str:
    """Say why a run is paused; "" if it isn't."""
    return (machine.pause_reason or "paused") if machine.phase == "pausing" else ""


def previews(machine: RunMachine, store: Store | None = None) -> list[Preview]:
    """Give the open questions of a run, in the order in which they were asked.

    Args:
        machine: The run's state.
        store: The journal; without it nothing is said of what they are expected to take.

    Raises:
        JournalError: The journal cannot be read.
    """
    found, paused = [], paused_for(machine)
    for path, (asked, expires) in open_questions(machine).items():
        step = None if path == GATE else step_at(machine.spec.workflow, path)
        approve = isinstance(asked, ApprovalAsked)
        shown = asked.shown if isinstance(asked, ApprovalAsked) else asked.prompt
        estimate = None
        if approve and store is not None:
            estimate = _expected(store, machine, path, step)
        command, stdin = _command(machine.spec, path, step, shown)
        diff = diff_in(shown) or (_needed_diff(machine, path, step) if approve else None)
        found.append(
            Preview(
                run=machine.run,
                name=machine.spec.name,
                path=path,
                kind="approve" if approve else "input",
                shown=shown,
                digest=asked.digest if isinstance(asked, ApprovalAsked) else "",
                asked_at=asked.at,
                expires=expires,
                on_timeout=_on_timeout(machine.spec.workflow, path, step),
                detail=Detail(command=command, stdin=stdin, diff=diff, estimate=estimate),
                output=None if isinstance(asked, ApprovalAsked) else asked.output,
                paused=paused,
            )
        )
    return found


def step_at(plan: PlanSpec, path: str) -> StepSpec | None:
    """Give the step that a path leads to, or the innermost one whose doings it is of."""
    call = asking_call(path)
    names = step_of(path if call is None else call.path).split("/")
    found: StepSpec | None = None
    inner: PlanSpec | None = plan
    for name in names:
        if inner is None:
            break
        step = next((one for one in inner.steps if one.name == name), None)
        if step is None:
            break
        found, inner = step, step.plan
    return found


def diff_in(text: str) -> str | None:
    """Give the first unified diff in a text; None if there is none."""
    match = _DIFF.search(text)
    if match is None:
        return None
    lines: list[str] = []
    # By newlines alone, so that it is found again in the text, whatever else is in it.
    for line in text[match.start() :].split("\n"):
        if line.rstrip("\r") and not line.startswith(_OF_DIFF):
            break
        lines.append(line)
    while lines and not lines[-1].rstrip("\r"):
        lines.pop()
    return "\n".join(lines)[:_DIFF_MOST]


def _needed_diff(machine: RunMachine, path: str, step: StepSpec | None) -> str | None:
    """Look for a diff in what the steps have given that a step needs."""
    before = path.rpartition("/")[0] if step is not None and "/" in path else ""
    for name in () if step is None else step.needs:
        try:
            output = machine.workflow.result(f"{before}/{name}" if before else name)
        except Refused:
            continue
        for text in _texts(output):
            if (found := diff_in(text)) is not None:
                return found
    return None


def _texts(output: Json) -> Iterator[str]:
    if isinstance(output, str):
        yield output
    elif isinstance(output, dict):
        yield from (value for value in output.values() if isinstance(value, str))


def _command(
    spec: RunSpec, path: str, step: StepSpec | None, shown: str
) -> tuple[list[Json] | None, Json]:
    """Read back what program would run; `hocket.core.shown` has written it, a line each."""
    if step is None or step.kind != "call" or asking_call(path) is not None:
        return None, None
    agent = spec.agents.get(step.agent)
    lines = shown.split("\n")
    first = 0 if step.approval is not None and agent and agent.kind == "command" else 1
    if first and (agent is None or not agent.tools or step_of(path).endswith(step.name)):
        return None, None
    command = _after(lines[first : first + 1], "runs ")
    if not isinstance(command, list):
        return None, None
    return command, _after(lines[first + 1 : first + 4], "which reads ")


def _after(lines: list[str], word: str) -> Json:
    text = next((line.removeprefix(word) for line in lines if line.startswith(word)), "null")
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None


def _on_timeout(plan: PlanSpec, path: str, step: StepSpec | None) -> str:
    if asking_call(path) is not None:
        return "no"
    approval = plan.approval if path == GATE else None if step is None else step.approval
    if approval is not None:
        return approval.on_timeout
    return "pause" if step is None or step.kind == "call" else step.on_timeout


def _expected(
    store: Store, machine: RunMachine, path: str, step: StepSpec | None
) -> Expected | None:
    """Say what it is expected to take, by what earlier runs took."""
    if path == GATE:
        return _of_plan(store, machine)
    if step is None or step.approval is None or step.plan is not None or step.team is not None:
        return None
    spec = machine.spec
    past = past_of(store.book, spec)
    own = past.get((spec.name, step_of(path), step.agent))
    took = own or [took for key, times in past.items() if key[2] == step.agent for took in times]
    cost = costs_of(store.book, spec).get(step.agent)
    return Expected(
        usd=None if cost is None else cost / USD,
        seconds=median(took) / SECOND if took else None,
        calls=1,
    )


def _of_plan(store: Store, machine: RunMachine) -> Expected | None:
    if steps_of(machine.spec.workflow) > _FORECAST:
        return None
    found = predicted(store, machine.spec, machine.inputs, machine.at)
    seconds = None if found.finish is None else (found.finish - machine.at) / SECOND
    usd = None if found.unpriced == found.calls else found.cost / USD
    return Expected(usd=usd, seconds=seconds, calls=found.calls)


def document(preview: Preview) -> dict[str, Json]:
    """Give a question as the API has it: instants in milliseconds."""
    told: dict[str, Json] = msgspec.to_builtins(preview)
    told["asked_at"] = preview.asked_at / 10**6
    told["expires"] = None if preview.expires is None else preview.expires / 10**6
    return told
