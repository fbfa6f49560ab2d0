"""The commands about journals: ``journal copy``, ``archive``, ``check``, ``migrate``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from hocket.app.journal_check import Checked
from hocket.app.journal_check import check as look_over
from hocket.app.journal_copy import Copier, Kept, Outcome, refusals
from hocket.app.journals import Place, opened
from hocket.app.state import find_row
from hocket.cli.main import ELSEWHERE
from hocket.cli.options import age
from hocket.cli.output import counted
from hocket.core.errors import NotFound, Refused
from hocket.core.events import ENDED
from hocket.journal.base import RunRow, Wanted

AsJson = Annotated[
    bool, Parameter(name="--json", help="One JSON document for programs.", negative=())
]
OlderThan = Annotated[
    str | None, Parameter(help="Runs that have ended, and whose last event is older; like 30d.")
]


app = App(
    name="journal",
    help="Copy, move, archive and check journals, in state folders and in PostgreSQL.",
    help_epilogue=ELSEWHERE,
    help_format="plaintext",
)


@app.command
def copy(
    source: str,
    target: str,
    /,
    *runs: str,
    all_: Annotated[
        bool,
        Parameter(
            name="--all", help="All runs, kept answers, and how long calls took.", negative=()
        ),
    ] = False,
    older_than: OlderThan = None,
    move: Annotated[
        bool,
        Parameter(
            help="Remove each run where it was once its copy is durable and compared.", negative=()
        ),
    ] = False,
    json_: AsJson = False,
) -> int:
    """Copy runs from one journal into another.

    What is there already is left alone: a copy that broke off goes on if repeated.
    Exit status 1 if a run was refused.

    Args:
        source: Where they are: a state folder, postgresql://…, or @FILE with such an address.
        target: Where they are to be.
        runs: Which ones.
    """
    if sum((bool(runs), all_, older_than is not None)) != 1:
        raise Refused("say which runs: their ids, --all, or --older-than 30d")
    with _both(source, target) as (here, there):
        chosen = _chosen(here, runs, older_than)
        copier = Copier(here.journal, there.journal, move=move)
        outcomes = copier.copy(chosen, _teller(len(chosen), silent=json_))
        kept = copier.keep() if all_ else Kept()
        return _told(here, there, outcomes, kept, json_=json_)


@app.command
def archive(
    target: str,
    /,
    *,
    older_than: Annotated[str, Parameter(help="Whose last event is older; like 90d.")],
    json_: AsJson = False,
) -> int:
    """Move runs that have ended out of the journal into a state folder, or another journal.

    Args:
        target: Where they are to be: a state folder, postgresql://…, or @FILE with such an address.
    """
    with _both("", target) as (here, there):
        chosen = _chosen(here, (), older_than)
        copier = Copier(here.journal, there.journal, move=True)
        outcomes = copier.copy(chosen, _teller(len(chosen), silent=json_))
        return _told(here, there, outcomes, Kept(), json_=json_)


@app.command
def check(*, json_: AsJson = False) -> int:
    """Look the journal over; exit status 1 if it does not keep what it promises."""
    with opened("") as place:
        found = look_over(place.journal, place.kind, place.name)
    if json_:
        print(json.dumps(msgspec.to_builtins(found), indent=2))
    else:
        for line in _check_lines(found):
            print(line)
    return 1 if found.problems else 0


@app.command
def migrate(*, json_: AsJson = False) -> int:
    """Bring the journal to the format of this version; the first write does so by itself, too."""
    with opened("") as place:
        place.journal.write(lambda db: None)
        found = look_over(place.journal, place.kind, place.name)
    if json_:
        told = {"where": found.where, "format": found.format, "program": found.program}
        print(json.dumps(told, indent=2))
    else:
        print(f"{found.where} has format {found.format}, as {found.program} made it")
    return 0


# ---- within ----


@contextmanager
def _both(source: str, target: str) -> Iterator[tuple[Place, Place]]:
    """Open two journals that are not one.

    Raises:
        NotFound: There is none at the first.
        Refused: They are the same, or of a kind that nobody knows.
    """
    if not target:
        raise Refused("say where to: a state folder, or postgresql://user@host/database")
    with opened(source) as here, opened(target) as there:
        if not here.journal.is_there():
            raise NotFound(f"there is no journal at {here.name}")
        if here.is_same(there):
            raise Refused(f"{here.name} and {there.name} are the same journal")
        yield here, there


def _chosen(place: Place, named: Sequence[str], older_than: str | None) -> list[str]:
    """Give the runs that are meant, the oldest first, so that a list is in the same order there."""
    if named:
        rows = [find_row(place.journal, name) for name in dict.fromkeys(named)]
    elif older_than is None:
        rows = place.journal.runs()
    else:
        before = time.time_ns() - age(older_than)
        ended: list[RunRow] = place.journal.runs(Wanted(status=ENDED))
        rows = [row for row in ended if row.updated < before]
    return [row.id for row in sorted(rows, key=lambda row: row.created)]


def _teller(count: int, *, silent: bool) -> Callable[[Outcome], None]:
    """Say of each run at once what became of it."""
    told = 0

    def tell(outcome: Outcome) -> None:
        nonlocal told
        told += 1
        if silent:
            return
        if outcome.did == "refused":
            print(f"[{told}/{count}] {outcome.run} is not copied: {outcome.why}", flush=True)
        else:
            events = counted(outcome.events, "event")
            print(f"[{told}/{count}] {outcome.did} {outcome.run} ({events})", flush=True)

    return tell


def _told(
    here: Place, there: Place, outcomes: Sequence[Outcome], kept: Kept, *, json_: bool
) -> int:
    refused = refusals(outcomes)
    if json_:
        document = {
            "from": here.name,
            "to": there.name,
            "runs": msgspec.to_builtins(outcomes),
            "answers": kept.answers,
            "steps": kept.steps,
        }
        print(json.dumps(document, indent=2))
        return 1 if refused else 0
    done = len(outcomes) - refused
    also = f", {counted(kept.answers, 'kept answer')}, durations of {counted(kept.steps, 'step')}"
    are = "is" if len(outcomes) == 1 else "are"
    said = f"{done:,} of {counted(len(outcomes), 'run')} {are} in {there.name}"
    print(said + (also if kept != Kept() else ""), file=sys.stderr)
    return 1 if refused else 0


def _check_lines(found: Checked) -> Iterator[str]:
    if not found.format:
        yield f"there is no journal at {found.where} yet; the first run makes it"
        if found.connections is None:
            return
    else:
        yield f"{found.kind} at {found.where}, format {found.format}, made by {found.program}"
        runs, events = counted(found.runs, "run"), counted(found.events, "event")
        yield f"  {runs}, {events}, {found.bytes / 1e6:,.1f} MB"
        if found.oldest is not None:
            day = datetime.fromtimestamp(found.oldest / 1e9, UTC).strftime("%Y-%m-%d")
            yield f"  the oldest run began on {day}"
        yield f"  processes that own runs now: {found.owners}"
    if found.connections is not None:
        yield f"  connections open on its server, of all programs: {found.connections}"
        yield f"  its clock is {found.clock_ahead:+.3f} s from this machine's"
    for name, value in sorted(found.settings.items()):
        yield f"  {name}: {value}"
    for problem in found.problems:
        yield f"✗ {problem}"
    if not found.problems:
        yield "✓ it keeps what it promises" if found.format else "✓ it is fit for a journal"
