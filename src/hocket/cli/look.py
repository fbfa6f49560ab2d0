"""Commands that look at runs and change nothing: ``runs``, ``show``, ``logs``."""

from __future__ import annotations

import json
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter, validators

from hocket.app.engine import Engine
from hocket.app.files import save
from hocket.app.questions import noted, open_questions
from hocket.app.state import find_row, find_run
from hocket.cli.address import check_there, missing
from hocket.cli.closing import next_lines
from hocket.cli.output import fit, pretty, print_lines, print_output, print_table, status_words
from hocket.cli.plain import event_line
from hocket.cli.shown import SHOWN
from hocket.core.errors import NotFound, Refused
from hocket.core.events import ENDED, CallFailed, CallFinished, CallStarted, Recorded
from hocket.core.machine import StepView
from hocket.core.run import RunMachine
from hocket.core.values import Call, FileRef, Json, format_duration, is_file
from hocket.core.views import counted, shown, stands
from hocket.insight.tally import Tally
from hocket.journal.base import RunRow, Wanted
from hocket.journal.logs import Logs, unsettled
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
)

AsJson = Annotated[
    bool, Parameter(name="--json", help="One JSON document for programs.", negative=())
]
_FOLLOW = 0.2
_LOOKED_INTO = 30
_LONG = 20_000
_END = 8_000


def runs(
    *,
    limit: Annotated[
        int,
        Parameter(
            name=["--limit", "-n"],
            help="The most rows.",
            show_default=True,
            validator=validators.Number(gte=1),
        ),
    ] = 30,
    json_: AsJson = False,
) -> int:
    """List runs, newest first."""
    check_there()
    with closing(Engine()) as engine:
        rows = engine.journal.runs(Wanted(most=limit))
        asked = {} if json_ else {row.id: _asked(engine, row) for row in rows[:_LOOKED_INTO]}
    if json_:
        print(json.dumps([msgspec.to_builtins(row) for row in rows], indent=2))
        return 0
    if not rows:
        where = f", and {told}" if (told := missing()) else ""
        print(f"no runs yet{where}; begin with: hocket init", file=sys.stderr)
        return 0
    now = time.time_ns()
    cells = []
    for row in rows:
        age = format_duration(max(now - row.created, 0))
        took = format_duration(max(row.updated - row.created, 0))
        waits = f", {asked[row.id]} to answer" if asked.get(row.id) else ""
        status = f"{status_words(row)}{waits}"
        cells.append([row.id, row.name, status, f"{age} ago", took, str(row.events)])
    print_table(["RUN", "PLAN", "STATUS", "BEGAN", "TOOK", "EVENTS"], cells)
    return 0


def _asked(engine: Engine, row: RunRow) -> int:
    """Count the questions of a run that nobody has answered; of a long one it would take long."""
    if row.status in ENDED or row.events > _LONG:
        return 0
    machine = engine.fold(row.id)
    told = {} if row.alive else noted(machine, engine.journal)
    return len(open_questions(machine)) - len(told)


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
        machine, tally = engine.look(row.id)
        told = {} if row.alive else noted(machine, engine.journal)
        if step is not None:
            return _show_step(engine, machine, step, save_to, json_=json_)
        if save_to is not None:
            raise Refused("--save is for the files of one step: hocket show RUN STEP --save FOLDER")
    stopped = machine.phase in {"running", "pausing", "ending"} and not row.alive
    # Where nobody drives a run no call starts, as in a pause.
    phase = "pausing" if stopped else machine.phase
    views = shown(machine.workflow.view(), machine.workflow, machine.calls, phase)
    views = [_decided(view, told) for view in views]
    if json_:
        print(pretty(run_document(machine, tally, views)))
        return 0
    print_lines(_head_lines(machine, tally, phase, stopped=stopped))
    print()
    print_table(["STEP", "STATE", "BY", ""], step_rows(views))
    for line in _together(machine):
        print(fit(line))
    rows = {view.path for view in views}
    for path in told:
        if path not in rows:
            print(f"  {path}: {told[path]}, counts at resume")
    what_next = next_lines(machine, alive=row.alive, noted=told)
    print_lines(line for line in what_next if "hocket show" not in line)
    return 0


def _show_step(
    engine: Engine, machine: RunMachine, step: str, save_to: Path | None, *, json_: bool
) -> int:
    output = _output(engine, machine, step)
    if save_to is not None:
        _save(engine, output, save_to)
    elif json_:
        print(pretty(output))
    else:
        print_output(output)
    return 0


def _head_lines(machine: RunMachine, tally: Tally, phase: str, *, stopped: bool) -> Iterator[str]:
    """Say how a run stands, above its steps."""
    took = format_duration(machine.at - machine.started_at)
    said = "stopped (resumable)" if stopped and not machine.paused else machine.said
    yield f"run {machine.run} ({machine.spec.name}): {said}, {took}"
    if machine.end is not None and machine.end.reason:
        yield f"  {clean(machine.end.reason)}"
    yield f"  {counts_words(counted(machine.workflow, machine.calls, phase))}"
    if stopped and (lost := machine.calls.running):
        calls = "1 call was" if lost == 1 else f"{lost:,} calls were"
        yield f"  {calls} in flight when its process ended"
    yield f"  {spent_words(tally)}"
    if kept := kept_words(tally):
        yield f"  {kept}"


def _decided(view: StepView, told: Mapping[str, str]) -> StepView:
    """Show what was decided of a step that still waits, since nobody has heard of it."""
    if view.path not in told:
        return view
    return msgspec.structs.replace(view, detail=f"{told[view.path]}, counts at resume")


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
                print_lines([f"{recorded.seq:6}  {when}  {line}"], flush=follow)
    return 0


def _events(
    engine: Engine, run_id: str, *, follow: bool, meanwhile: Callable[[], None] = lambda: None
) -> Iterator[Recorded]:
    """Give a run's events; with `follow` also those to come, until nobody drives it any more.

    Args:
        engine: Where the run is.
        run_id: Its id.
        follow: Whether to wait for more.
        meanwhile: What is done each time that there are no more for now.
    """
    after = 0
    while True:
        row = find_row(engine.journal, run_id)
        for recorded in engine.journal.read(run_id, after):
            after = recorded.seq
            yield recorded
        if not follow or not row.alive:
            return
        meanwhile()
        time.sleep(_FOLLOW)


def _step_log(engine: Engine, run_id: str, step: str, *, follow: bool) -> int:
    """Print what the calls of a step have said; their output where they said nothing meanwhile."""
    log = _StepLog(engine.journal.logs, run_id, follow=follow)
    found = False
    for recorded in _events(engine, run_id, follow=follow, meanwhile=log.look):
        event = recorded.event
        if isinstance(event, CallStarted | CallFinished | CallFailed) and _of(event.call, step):
            log.tell(event)
            found = True
    log.stop()
    if not found:
        raise NotFound(f"run {run_id} has no call of a step {step!r} yet")
    return 0


class _Heard:
    """What has been read of one call's log.

    Attributes:
        start: How many bytes.
        decoder: Keeps the beginning of a character whose end has not come.
        line: The last line, as far as it was not printed.
        end: The end of what was printed.
    """

    def __init__(self) -> None:
        self.start = 0
        self.decoder: Final = getincrementaldecoder("utf-8")("replace")
        self.line = ""
        self.end = ""


class _StepLog:
    """Prints what calls of a step say, each piece as soon as it can be read.

    Args:
        logs: What calls say.
        run: The run's id.
        follow: Whether what a call says next comes soon, so that half a line may be kept for it.
    """

    def __init__(self, logs: Logs, run: str, *, follow: bool) -> None:
        self._logs = logs
        self._run = run
        self._follow = follow
        self._open: dict[Call, _Heard] = {}
        """The calls that are in flight."""
        self._last: Call | None = None
        self._in_line = False

    def tell(self, event: CallStarted | CallFinished | CallFailed) -> None:
        """Go on by an event of a call."""
        call = event.call
        heard = self._open.setdefault(call, _Heard())
        if isinstance(event, CallStarted):
            self._head(call)
            self._read(call, heard, over=not self._follow)
            return
        time.sleep(unsettled(self._logs, event.at))
        self._read(call, heard, over=True)
        del self._open[call]
        if isinstance(event, CallFailed):
            more = clean(event.fault.detail).strip()
            # The end of what was said on stderr comes as the fault's detail, too.
            detail = f"\n{more}" if more and more not in heard.end else ""
            self._end_line()
            self._print(call, f"-- {event.fault.kind}: {clean(event.fault.message)}{detail}")
        elif not heard.start:
            said = event.output if isinstance(event.output, str) else pretty(event.output)
            self._print(call, clean(said))
        self._end_line()

    def look(self) -> None:
        """Print what the calls in flight have said since."""
        for call, heard in self._open.items():
            self._read(call, heard)

    def stop(self) -> None:
        """Print all that is there: nobody goes on following."""
        for call, heard in self._open.items():
            self._read(call, heard, over=True)
        self._end_line()

    def _read(self, call: Call, heard: _Heard, *, over: bool = False) -> None:
        data = self._logs.read(self._run, call, heard.start)
        heard.start += len(data)
        lines, newline, rest = (heard.line + heard.decoder.decode(data, over)).rpartition("\n")
        heard.line = ""
        # What steers a terminal may go on in the next piece, and lines of several calls would mix.
        if not over and (len(self._open) > 1 or clean(rest) != rest):
            heard.line, rest = rest, ""
        text = clean(lines + newline + rest)
        heard.end = (heard.end + text)[-_END:]
        self._print(call, text)

    def _print(self, call: Call, text: str) -> None:
        if not text:
            return
        if call != self._last:
            self._head(call)
        print(text, end="", flush=True)
        self._in_line = not text.endswith("\n")

    def _head(self, call: Call) -> None:
        self._end_line()
        print(f"== {call}", flush=True)
        self._last = call

    def _end_line(self) -> None:
        if self._in_line:
            print(flush=True)
        self._in_line = False


def _of(call: Call, step: str) -> bool:
    """Tell whether a call is of a step, or of an item of it."""
    return call.path == step or call.path.startswith((f"{step}/", f"{step}~"))


def _output(engine: Engine, machine: RunMachine, step: str) -> Json:
    """Give a step's output.

    Raises:
        NotFound: There is no such step, or it has no output.
    """

    def called(step: str) -> bool:
        events = (recorded.event for recorded in engine.journal.read(machine.run))
        return any(isinstance(event, CallStarted) and _of(event.call, step) for event in events)

    try:
        value = machine.workflow.result(step)
    except Refused as error:
        if called(step):
            said = f"{step!r} has calls of a team, and is no step: hocket logs {machine.run} {step}"
            raise NotFound(said) from error
        raise NotFound(str(error)) from error
    if value is None:
        views = {view.path: view for view in machine.view()}
        view = views.get(step)
        if view is not None and view.status != "succeeded":
            told = f": {clean(view.detail)}" if view.detail else ""
            more = f"; what it said: hocket logs {machine.run} {step}" if called(step) else ""
            raise NotFound(f"step {step!r} has no output; it {stands(view.status)}{told}{more}")
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
