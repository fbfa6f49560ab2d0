"""Commands that look at runs and change nothing: ``runs``, ``show``, ``logs``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from hocket.app.engine import Engine
from hocket.app.files import save
from hocket.app.questions import open_questions
from hocket.app.state import find_row, find_run
from hocket.cli.closing import next_lines
from hocket.cli.output import fit, pretty, print_output, status_words
from hocket.cli.plain import event_line
from hocket.cli.shown import SHOWN
from hocket.core.errors import NotFound, Refused
from hocket.core.events import CallFailed, CallFinished, CallStarted, Recorded
from hocket.core.run import RunMachine
from hocket.core.values import Call, FileRef, Json, format_duration, is_file
from hocket.journal.base import RunRow, Wanted
from hocket.journal.logs import unsettled
from hocket.report.data import run_document
from hocket.report.panel import panel_lines, panels
from hocket.report.story import Story
from hocket.report.team import team_lines
from hocket.report.text import (
    clean,
    counts_words,
    kept_words,
    spent_words,
    step_rows,
    table,
)

AsJson = Annotated[
    bool, Parameter(name="--json", help="One JSON document for programs.", negative=())
]
_FOLLOW = 0.2
_ENDED = frozenset({"succeeded", "failed", "cancelled"})
_LOOKED_INTO = 30
_LONG = 20_000
_END = 8_000


def runs(
    *,
    limit: Annotated[
        int, Parameter(name=["--limit", "-n"], help="The most rows.", show_default=True)
    ] = 30,
    json_: AsJson = False,
) -> int:
    """List runs, newest first."""
    with closing(Engine()) as engine:
        rows = engine.journal.runs(Wanted(most=limit))
        asked = {} if json_ else {row.id: _asked(engine, row) for row in rows[:_LOOKED_INTO]}
    if json_:
        print(json.dumps([msgspec.to_builtins(row) for row in rows], indent=2))
        return 0
    if not rows:
        print("no runs yet; begin with: hocket init", file=sys.stderr)
        return 0
    now = time.time_ns()
    cells = []
    for row in rows:
        age = format_duration(max(now - row.created, 0))
        took = format_duration(max(row.updated - row.created, 0))
        waits = f", {asked[row.id]} to answer" if asked.get(row.id) else ""
        status = f"{status_words(row)}{waits}"
        cells.append([row.id, row.name, status, f"{age} ago", took, str(row.events)])
    for line in table(["RUN", "PLAN", "STATUS", "BEGAN", "TOOK", "EVENTS"], cells):
        print(line)
    return 0


def _asked(engine: Engine, row: RunRow) -> int:
    """Count the questions of a run that nobody has answered; of a long one it would take long."""
    if row.status in _ENDED or row.events > _LONG:
        return 0
    return len(open_questions(engine.fold(row.id)))


def show(
    run: Annotated[str, SHOWN] = "last",
    step: str | None = None,
    /,
    *,
    save_to: Annotated[
        Path | None,
        Parameter(name="--save", help="Write the step's files into this folder."),
    ] = None,
    json_: AsJson = False,
) -> int:
    """Show a run's steps, or one step's output.

    Args:
        run: The run's id, its beginning, or "last".
        step: A step; "step/3" for an item of its "each".
    """
    with closing(Engine()) as engine:
        row = find_row(engine.journal, run)
        run_id = row.id
        machine, tally = engine.look(run_id)
        if step is not None:
            output = _output(engine, machine, step)
            if save_to is not None:
                _save(engine, output, save_to)
            elif json_:
                print(pretty(output))
            else:
                print_output(output)
            return 0
        if save_to is not None:
            raise Refused("--save is for the files of one step: hocket show RUN STEP --save FOLDER")
    if json_:
        print(pretty(run_document(machine, tally)))
        return 0
    took = format_duration(machine.at - machine.started_at)
    stopped = machine.phase in {"running", "pausing", "ending"} and not row.alive
    said = "stopped (resumable)" if stopped and not machine.paused else machine.said
    print(f"run {machine.run} ({machine.spec.name}): {said}, {took}")
    if machine.end is not None and machine.end.reason:
        print(f"  {clean(machine.end.reason)}")
    print(f"  {counts_words(machine.counts())}")
    if stopped and (lost := machine.calls.running):
        calls = "1 call was" if lost == 1 else f"{lost:,} calls were"
        print(f"  {calls} in flight when its process ended")
    print(f"  {spent_words(tally)}")
    if kept := kept_words(tally):
        print(f"  {kept}")
    print()
    for line in table(["STEP", "STATE", "BY", ""], step_rows(machine.view())):
        print(line)
    for line in _together(machine):
        print(fit(line))
    for line in next_lines(machine, alive=row.alive):
        if "hocket show" not in line:
            print(line)
    return 0


def _together(machine: RunMachine) -> Iterator[str]:
    """Give what panels and teams have done."""
    for path, panel in panels(machine).items():
        yield from ("", *panel_lines(path, panel))
    for path, report in machine.workflow.reports().items():
        yield from ("", *team_lines(path, report, over=machine.phase == "ended"))


def logs(
    run: Annotated[str, SHOWN] = "last",
    step: str | None = None,
    /,
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], help="Go on until the run stops.", negative=())
    ] = False,
    jsonl: Annotated[
        bool, Parameter(help="The events themselves, a line of JSON each.", negative=())
    ] = False,
) -> int:
    """Show what happened in a run, or all that a step's calls have said.

    Args:
        run: The run's id, its beginning, or "last".
        step: A step; "step/3" for an item of its "each".
    """
    with closing(Engine()) as engine:
        run_id = find_run(engine.journal, run)
        if step is not None:
            return _step_log(engine, run_id, step, follow=follow)
        story = Story()
        for recorded in _events(engine, run_id, follow=follow):
            if jsonl:
                sys.stdout.buffer.write(event_line(recorded))
                sys.stdout.buffer.flush()
                continue
            line = story.tell(recorded.event)
            if line:
                when = datetime.fromtimestamp(recorded.event.at / 1e9).strftime("%H:%M:%S.%f")[:-3]
                print(f"{recorded.seq:6}  {when}  {line}", flush=follow)
    return 0


def _events(engine: Engine, run_id: str, *, follow: bool) -> Iterator[Recorded]:
    """Give a run's events; with `follow` also those to come, until nobody drives it any more."""
    after = 0
    while True:
        row = find_row(engine.journal, run_id)
        for recorded in engine.journal.read(run_id, after):
            after = recorded.seq
            yield recorded
        if not follow or not row.alive:
            return
        time.sleep(_FOLLOW)


def _step_log(engine: Engine, run_id: str, step: str, *, follow: bool) -> int:
    """Print what the calls of a step have said; their output where they said nothing meanwhile."""
    shown: dict[Call, int] = {}
    ends: dict[Call, str] = {}
    last: Call | None = None
    for recorded in _events(engine, run_id, follow=follow):
        event = recorded.event
        if not isinstance(event, CallStarted | CallFinished | CallFailed):
            continue
        call = event.call
        if not _of(call, step):
            continue
        if not isinstance(event, CallStarted):
            time.sleep(unsettled(engine.journal.logs, event.at))
        data = engine.journal.logs.read(run_id, call, shown.get(call, 0))
        silent = isinstance(event, CallFinished) and not data and not shown.get(call)
        shown[call] = shown.get(call, 0) + len(data)
        text = clean(data.decode("utf-8", "replace"))
        ends[call] = (ends.get(call, "") + text)[-_END:]
        if isinstance(event, CallFailed):
            more = clean(event.fault.detail).strip()
            # The end of what was said on stderr comes as the fault's detail, too.
            detail = f"\n{more}" if more and more not in ends[call] else ""
            text += f"-- {event.fault.kind}: {clean(event.fault.message)}{detail}"
        elif isinstance(event, CallFinished) and silent:
            text = clean(event.output if isinstance(event.output, str) else pretty(event.output))
        if isinstance(event, CallStarted) or (text and call != last):
            print(f"== {call}")
        if text:
            print(text, end="" if text.endswith("\n") else "\n", flush=True)
        last = call
    if last is None:
        raise NotFound(f"run {run_id} has no call of a step {step!r} yet")
    return 0


def _of(call: Call, step: str) -> bool:
    """Tell whether a call is of a step, or of an item of it."""
    return call.path == step or call.path.startswith((f"{step}/", f"{step}~"))


def _output(engine: Engine, machine: RunMachine, step: str) -> Json:
    """Give a step's output.

    Raises:
        NotFound: There is no such step, or it has no output.
    """
    try:
        value = machine.workflow.result(step)
    except Refused as error:
        events = (recorded.event for recorded in engine.journal.read(machine.run))
        if any(isinstance(event, CallStarted) and _of(event.call, step) for event in events):
            said = f"{step!r} has calls of a team, and is no step: hocket logs {machine.run} {step}"
            raise NotFound(said) from error
        raise NotFound(str(error)) from error
    if value is None:
        views = {view.path: view for view in machine.view()}
        view = views.get(step)
        if view is not None and view.status != "succeeded":
            told = f": {clean(view.detail)}" if view.detail else ""
            raise NotFound(f"step {step!r} has no output; it is {view.status}{told}")
    return value


def _save(engine: Engine, output: Json, folder: Path) -> None:
    """Write the files in an output into a folder.

    Raises:
        NotFound: There are none.
    """
    found = list(_files(output))
    if not found:
        raise NotFound("this step's output has no files")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ref in found:
            # A name from outside is only ever a last part here: it cannot lead out of the folder.
            target = _free(folder / (Path(ref.name).name or "file"))
            save(engine.journal.blobs, ref, target)
            print(target)
    except OSError as error:
        raise Refused(f"cannot write into {folder}: {error.strerror or error}") from error


def _free(target: Path) -> Path:
    """Give a name that is not taken: two items of an ``each`` may call their files the same."""
    number, free = 2, target
    while free.exists():
        free, number = target.with_name(f"{target.stem}-{number}{target.suffix}"), number + 1
    return free


def _files(value: Json) -> Iterator[FileRef]:
    if is_file(value):
        yield msgspec.convert(value, FileRef)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _files(inner)
