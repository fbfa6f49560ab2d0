"""The command ``plan``: an agent drafts a plan; people check, edit, approve and run it."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import closing
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from hocket.app.engine import Engine
from hocket.app.load import load_file
from hocket.app.planner import (
    PLANNING,
    drafted,
    planner_of,
    planning_inputs,
    planning_spec,
    ready_spec,
    suggested_name,
)
from hocket.app.state import new_run_id
from hocket.cli.drive import Ending
from hocket.cli.main import EXIT_USAGE
from hocket.cli.options import BEGIN, FILE, Begin, Beginning
from hocket.cli.output import pretty
from hocket.cli.start import launch
from hocket.config.drafts import Bar, Drafted
from hocket.core.errors import Refused
from hocket.report.draft import draft_document, draft_lines

Task = Annotated[str, Parameter(allow_leading_hyphen=True)]
File = Annotated[Path, Parameter(help="The file with the agents.", show_default=True)]
Agent = Annotated[str | None, Parameter(help="Who plans; else the file's first that can.")]
Folder = Annotated[Path, Parameter(help="The folder that it is about.", show_default=True)]
Out = Annotated[
    Path | None, Parameter(help="Where to write the plan; else beside the file, by its title.")
]
Run = Annotated[bool, Parameter(name="--run", help="Run the plan once it is drafted.", negative=())]
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
    task: Task,
    /,
    *,
    file: File = Path(FILE),
    agent: Agent = None,
    folder: Folder = Path(),
    out: Out = None,
    run: Run = False,
    below: Below = 0.7,
    severity: Severity = "high",
    approve: Always = False,
    begin: Beginning = BEGIN,
) -> int:
    """Have an agent draft a plan for a task: checked, predicted, and a file that you can edit.

    The agent first gathers what there is in the folder.
    The plan uses the file's agents; it can state no program of its own.
    Where the planner is not sure or sees a grave risk, the plan waits for approval before it runs.

    Args:
        task: What is to be done; "-" reads it from standard input.
    """
    if begin.memory:
        raise Refused("a planning run is read again once it has ended: leave --memory out")
    if out is not None and out.exists():
        raise Refused(f"{out} is there already; name another file with --out")
    loaded = load_file(file)
    given = sys.stdin.read() if task == "-" else task
    if task != "-" and task.startswith("--"):
        raise Refused(f"unknown option {task}; a task that begins so is read from stdin with -")
    inputs = planning_inputs(loaded, given, folder)
    spec = planning_spec(loaded, planner_of(loaded, agent))
    how = replace(begin, run_id=begin.run_id or new_run_id(PLANNING), json_=False)
    if begin.json_:
        how = replace(how, quiet=True)
    status = launch(spec, inputs, how, Ending(show=lambda output: None))
    if status:
        return status
    assert how.run_id is not None
    found = _drafted(how.run_id, Bar(below=below, severity=severity, always=approve))
    where = out or _free(file.parent / suggested_name(found))
    _write(where, found.text)
    if begin.json_:
        print(pretty({**draft_document(found, time.time_ns()), "file": str(where)}))
    else:
        for line in draft_lines(found, time.time_ns()):
            print(line)
        print(f"wrote {where}", file=sys.stderr)
    if found.problems:
        print(f"mend it, and check: hocket check {shlex.quote(str(where))}", file=sys.stderr)
        return EXIT_USAGE
    if not run:
        print(f"next: hocket run {shlex.quote(str(where))}", file=sys.stderr)
        return 0
    return launch(ready_spec(found, found.text), {}, _then(begin))


def _then(begin: Begin) -> Begin:
    """Give how the drafted plan runs: as it was told, but under an id of its own."""
    return replace(begin, run_id=None)


def _drafted(run: str, bar: Bar) -> Drafted:
    with closing(Engine()) as engine:
        return drafted(engine, run, bar)


def _free(path: Path) -> Path:
    """Give the path, or one with a number behind it where there is such a file already."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(one for one in chain([path], numbered) if not one.exists())


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror or error}") from error
