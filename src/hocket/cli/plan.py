"""The command ``plan``: an agent drafts a plan; people check, edit, approve and run it."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter, validators

from hocket.app.engine import Engine
from hocket.app.load import find_functions_beside, load_file
from hocket.app.planner import (
    drafted,
    planner_of,
    planning_inputs,
    planning_spec,
    ready_spec,
    suggested_name,
)
from hocket.app.planning_run import PLANNING, is_planning
from hocket.app.run import Run
from hocket.app.state import find_row, new_run_id
from hocket.cli.drive import Ending, choose, drive
from hocket.cli.main import EXIT_USAGE
from hocket.cli.options import BEGIN, FILE, Begin, Beginning
from hocket.cli.output import pretty
from hocket.cli.start import launch
from hocket.cli.weights import fetch_weights
from hocket.config.drafts import Bar, Drafted
from hocket.config.overrides import overridden
from hocket.core.errors import Refused
from hocket.core.values import Json
from hocket.core.views import stands
from hocket.engine.runner import Observer
from hocket.report.data import run_document
from hocket.report.draft import draft_document, draft_lines

_SILENT: Final = Ending(show=lambda output: None)

Task = Annotated[str, Parameter(allow_leading_hyphen=True)]
File = Annotated[Path, Parameter(help="The file with the agents.", show_default=True)]
Agent = Annotated[str | None, Parameter(help="Who plans; else the file's first that can.")]
Folder = Annotated[Path, Parameter(help="The folder that it is about.", show_default=True)]
Out = Annotated[
    Path | None, Parameter(help="Where to write the plan; else beside the file, by its title.")
]
From = Annotated[
    str | None,
    Parameter(name="--from", help="A planning run to go on with, whose plan is written."),
]
Runs = Annotated[
    bool, Parameter(name="--run", help="Run the plan once it is drafted.", negative=())
]
Below = Annotated[
    float,
    Parameter(
        help="A confidence below this needs approval.",
        validator=validators.Number(gte=0, lte=1),
        show_default=True,
    ),
]
Severity = Annotated[
    Literal["low", "medium", "high", "critical"],
    Parameter(help="A risk as severe as this needs approval.", show_default=True),
]
Always = Annotated[
    bool, Parameter(name="--approve", help="It needs approval in any case.", negative=())
]


def plan(
    task: Task = "",
    /,
    *,
    file: File = Path(FILE),
    agent: Agent = None,
    folder: Folder = Path(),
    out: Out = None,
    from_: From = None,
    run: Runs = False,
    below: Below = 0.7,
    severity: Severity = "high",
    approve: Always = False,
    begin: Beginning = BEGIN,
) -> int:
    """Have an agent draft a plan for a task: checked, predicted, and a file that you can edit.

    The agent first gathers what there is in the folder.
    The plan uses the file's agents; it can state no program of its own.
    Where the planner is not sure or sees a grave risk, or where a step may change things, the plan
    waits for approval before it runs.

    Args:
        task: What is to be done; "-" reads it from standard input.
    """
    if begin.memory:
        raise Refused("a planning run is read again once it has ended: leave --memory out")
    # Planning is paid for, so whatever could go wrong after it is looked at first.
    choose(plain=begin.plain, quiet=begin.quiet, json_=begin.json_, jsonl=begin.jsonl)
    _writable(out, file.parent)
    if from_ is None:
        planning, status = _anew(task, file, agent, folder, begin)
    elif task or agent is not None or file != Path(FILE) or folder != Path():
        raise Refused("a planning run has its task, file, agent and folder: leave them out")
    else:
        planning, status = _again(from_, begin)
    if status:
        return status
    found = _drafted(planning, Bar(below=below, severity=severity, always=approve))
    where = out or _free(_beside(file, found) / suggested_name(found))
    _write(where, found.text)
    return _after(found, where, begin, run=run)


def _after(found: Drafted, where: Path, begin: Begin, *, run: bool) -> int:
    """Tell of a draft that is written, and run it if that was asked; gives the exit status."""
    status = 0
    document: dict[str, Json] = {**draft_document(found, time.time_ns()), "file": str(where)}
    if not begin.json_:
        for line in draft_lines(found, time.time_ns()):
            # Events have standard output to themselves.
            print(line, file=sys.stderr if begin.jsonl else sys.stdout)
        print(f"wrote {where}", file=sys.stderr)
    if found.problems:
        print(f"mend it, and check: hocket check {shlex.quote(str(where))}", file=sys.stderr)
        status = EXIT_USAGE
    elif run:
        status, document["result"] = _run(found, begin)
    else:
        print(f"next: hocket run {shlex.quote(str(where))}", file=sys.stderr)
    if begin.json_:
        print(pretty(document))
    return status


def _anew(task: str, file: Path, agent: str | None, folder: Path, begin: Begin) -> tuple[str, int]:
    """Have a plan drafted; gives the planning run, and the exit status."""
    loaded = load_file(file)
    given = sys.stdin.read() if task == "-" else task
    if task != "-" and task.startswith("--"):
        raise Refused(f"unknown option {task}; a task that begins so is read from stdin with -")
    inputs = planning_inputs(loaded, given, folder)
    spec = planning_spec(loaded, planner_of(loaded, agent), begin.overrides)
    run = begin.run_id or new_run_id(PLANNING)
    return run, launch(spec, inputs, replace(_quietly(begin), run_id=run), _SILENT)


def _again(given: str, begin: Begin) -> tuple[str, int]:
    """Take a planning run up where it is not over; gives it, and the exit status."""

    async def whole() -> tuple[str, int]:
        async with Engine() as engine:
            row = find_row(engine.journal, given)
            run = row.id
            machine = engine.fold(run)
            if not is_planning(machine):
                raise Refused(f"run {run} is no planning run: hocket show {run} tells of it")
            if machine.phase == "ended":
                return run, 0
            if row.alive:
                raise Refused(
                    f"run {run} is at work in another process: hocket show {run} tells how far"
                )
            changed = overridden(machine.spec, begin.overrides, None) if begin.overrides else None
            find_functions_beside(machine.spec.source)
            fetch_weights(machine.spec)

            async def resume(observers: Sequence[Observer]) -> Run:
                return await engine.resume(
                    run,
                    changed,
                    new_spec=changed is not None,
                    observers=observers,
                    stay=False,
                    wait=not begin.no_wait,
                )

            how = _quietly(begin)
            show = choose(plain=how.plain, quiet=how.quiet, json_=False, jsonl=how.jsonl)
            return run, await drive(resume, show, ending=_SILENT)

    return asyncio.run(whole())


def _quietly(begin: Begin) -> Begin:
    """Give how a run is shown beside which one document is written."""
    return replace(begin, json_=False, quiet=True) if begin.json_ else begin


def _run(found: Drafted, begin: Begin) -> tuple[int, Json]:
    """Run what was drafted; gives the exit status and the run's document."""
    ready = ready_spec(found, found.text, shown=found.digest)
    spec = overridden(ready, begin.overrides, load_file(found.file))
    run = new_run_id(spec.name)
    how = replace(_quietly(begin), run_id=run)
    status = launch(spec, {}, how, _SILENT) if begin.json_ else launch(spec, {}, how)
    with closing(Engine()) as engine:
        return status, run_document(*engine.look(run))


def _drafted(run: str, bar: Bar) -> Drafted:
    """Give a planning run's draft.

    Raises:
        Refused: It has none.
    """
    with closing(Engine()) as engine:
        found = drafted(engine, run, bar)
    if found.draft is None:
        reason = f": {found.reason}" if found.reason else ""
        again = f"; hocket retry {run} does it again" if found.status == "failed" else ""
        raise Refused(f"run {run} has no draft: it {stands(found.status)}{reason}{again}")
    return found


def _writable(out: Path | None, beside: Path) -> None:
    """Refuse a place where no file could be written.

    Raises:
        Refused: There is such a file already, or no folder that files can be made in.
    """
    if out is not None and out.exists():
        raise Refused(f"{out} is there already; name another file with --out")
    folder = beside if out is None else out.parent
    if not folder.is_dir():
        raise Refused(f"cannot write {out or folder}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Refused(f"cannot write into {folder}; say where to with --out")


def _beside(file: Path, found: Drafted) -> Path:
    """Give the folder of the file that a draft extends, as it was named."""
    folder = Path(found.file).parent
    return file.parent if folder == file.parent.resolve() else folder


def _free(path: Path) -> Path:
    """Give the path, or one with a number behind it where there is such a file already."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(one for one in chain([path], numbered) if not one.exists())


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror or error}") from error
