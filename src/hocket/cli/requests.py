"""Commands that ask something of a run's owner: ``pause``, ``cancel``, ``approve``, ``send``."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from contextlib import closing
from typing import Annotated, Final

from cyclopts import Parameter

from hocket.app.engine import Engine
from hocket.app.preview import Preview, paused_for, previews
from hocket.app.questions import already, noted
from hocket.app.state import find_row, find_run
from hocket.cli.asked import asked_lines, list_lines
from hocket.cli.closing import closing_lines
from hocket.cli.user import user
from hocket.core.errors import Refused
from hocket.core.events import ENDED
from hocket.core.requests import AnyRequest, Approve, Cancel, Pause, Send
from hocket.core.values import Json
from hocket.core.views import stands
from hocket.report.text import clean

_PATIENCE: Final = 5.0
_LOOK: Final = 0.02
_NAMED: Final = 5


def pause(run: str, /) -> int:
    """Let calls in flight finish, start nothing new, then stop; ``hocket resume`` goes on.

    Args:
        run: The run's id, its beginning, or "last".
    """
    if not owner_alive(run):
        raise Refused("no process is running that run; there is nothing to pause")
    return post(run, Pause(by=user()))


def cancel(
    run: str,
    /,
    *,
    now: Annotated[bool, Parameter(help="Kill calls in flight at once.", negative=())] = False,
) -> int:
    """End a run; calls in flight are asked to end, and killed if they don't.

    Args:
        run: The run's id, its beginning, or "last".
    """
    request = Cancel(by=user(), hard=now)
    if owner_alive(run):
        return post(run, request)

    async def whole() -> int:
        async with Engine() as engine:
            run_id = find_run(engine.journal, run)
            async with await engine.resume(run_id, requests=[request], stay=False) as driven:
                await driven.result()
                for line in closing_lines(driven.machine, driven.tally):
                    print(line, file=sys.stderr)
        return 0

    return asyncio.run(whole())


def approve(
    run: str,
    step: str | None = None,
    /,
    *,
    reject: Annotated[bool, Parameter(help="Say no.", negative=())] = False,
    note: Annotated[str, Parameter(help="A word to whoever comes after.")] = "",
    yes: Annotated[
        bool, Parameter(name=["--yes", "-y"], help="Don't ask again.", negative=())
    ] = False,
) -> int:
    """Show what will be done once it is approved, and approve or reject exactly that.

    Args:
        run: The run's id, its beginning, or "last".
        step: The step (all items of an "each"), "run" for the plan, a question; else the only one.
    """
    asked, width = _asked(run, step), shutil.get_terminal_size().columns
    for one in asked:
        if len(asked) > 1:
            print(f"{one.path}:", file=sys.stderr)
        for line in asked_lines(one, time.time_ns(), colour=sys.stderr.isatty(), width=width):
            print(line, file=sys.stderr)
    if not (yes or reject):
        if not sys.stdin.isatty():
            raise Refused("nobody can be asked here; add --yes or --reject")
        what = asked[0].path if len(asked) == 1 else f"all {len(asked)} of {step}"
        reject = not _decision(what)
    return max(
        post(
            run,
            Approve(by=user(), path=one.path, approved=not reject, digest=one.digest, note=note),
        )
        for one in asked
    )


def _decision(what: str) -> bool:
    """Ask at the terminal; only a clear word decides.

    Raises:
        Refused: It was none, and nothing is decided.
    """
    print(f"approve {what}? [y/n] ", end="", file=sys.stderr, flush=True)
    word = sys.stdin.readline().strip().lower()
    if word in {"y", "yes"}:
        return True
    if word in {"n", "no", "reject"}:
        return False
    raise Refused(f"nothing is decided, and {what} still waits: say y to approve, n to reject")


def send(
    run: str,
    step: str,
    value: Annotated[str, Parameter(allow_leading_hyphen=True)] = "-",
    /,
    *,
    json_: Annotated[
        bool, Parameter(name="--json", help="The value is JSON, not text.", negative=())
    ] = False,
) -> int:
    """Give a waiting step its input, or a held call the output that it is known to have had.

    Args:
        run: The run's id, its beginning, or "last".
        step: The step.
        value: The text; "-" reads it from standard input.
    """
    if value.startswith("--"):
        raise Refused(f"unknown option {value}; a text that begins so is read from stdin with -")
    if value == "-" and sys.stdin.isatty():
        print("type the text, and Ctrl-D on a line of its own at its end", file=sys.stderr)
    text = sys.stdin.read() if value == "-" else value
    given: Json = text
    if json_:
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Refused(f"that is not JSON: {error}") from error
    return post(run, Send(by=user(), path=step, value=given))


def post(run: str, request: AnyRequest) -> int:
    """Leave a request for a run's owner, and wait a little for the answer.

    Raises:
        NotFound: No such run.
        Refused: The owner has refused it, or the run has ended.
    """
    with closing(Engine()) as engine:
        journal = engine.journal
        row = find_row(journal, run)
        if row.status in ENDED:
            raise Refused(f"run {row.id} has ended: {row.status}")
        if not row.alive:
            engine.rehearse(row.id, request)
        number = journal.post(row.id, request)
        if not row.alive:
            print(
                f"noted; no process is running {row.id}, so it counts at: hocket resume {row.id}",
                file=sys.stderr,
            )
            return 0
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            answer = journal.answer(number)
            if answer is not None and answer.refusal:
                raise Refused(answer.refusal)
            if answer is not None:
                print(_done_words(engine, row.id, request), file=sys.stderr)
                if isinstance(request, Approve | Send):
                    _tell_paused(engine, row.id)
                return 0
            time.sleep(_LOOK)
    print(f"noted; the owner {row.owner} has not answered yet", file=sys.stderr)
    return 0


def _done_words(engine: Engine, run: str, request: AnyRequest) -> str:
    """Say what a run makes of a request: calls in flight outlive a pause, and even a cancel."""
    if not isinstance(request, Pause | Cancel):
        return "done"
    machine = engine.fold(run)
    flying = [call.path for call in machine.calls.in_flight()]
    if not flying:
        # The end itself may not be on disk yet.
        return "cancelled" if machine.phase == "ending" else machine.said
    calls = "1 call in flight" if len(flying) == 1 else f"{len(flying):,} calls in flight"
    who = ", ".join(flying[:_NAMED]) + (", …" if len(flying) > _NAMED else "")
    if isinstance(request, Pause):
        return f"pausing: {calls} may finish ({who})"
    how = "killed" if request.hard else "asked to end"
    return f"cancelling: {calls} {'is' if len(flying) == 1 else 'are'} {how} ({who})"


def _tell_paused(engine: Engine, run: str) -> None:
    """Say how a run goes on that is paused, so that what was decided counts only then."""
    if why := clean(paused_for(engine.fold(run))):
        print(f"but the run is paused ({why}); to go on: hocket resume {run}", file=sys.stderr)


def paused_elsewhere(run: str) -> bool:
    """Tell whether a process holds that run and waits for somebody to let it go on.

    Raises:
        NotFound: No such run.
    """
    with closing(Engine()) as engine:
        row = find_row(engine.journal, run)
        return row.alive and engine.fold(row.id).paused


def owner_alive(run: str) -> bool:
    """Tell whether a process is running that run.

    Raises:
        NotFound: No such run.
    """
    with closing(Engine()) as engine:
        return find_row(engine.journal, run).alive


def _asked(run: str, step: str | None) -> list[Preview]:
    """Find the approvals that are meant: one, or those of a step's items.

    Raises:
        Refused: There is none, or several could be meant.
    """
    with closing(Engine()) as engine:
        row = find_row(engine.journal, run)
        run_id = row.id
        machine = engine.fold(run_id)
        done = {} if row.alive else noted(machine, engine.journal)
        asked = [one for one in previews(machine, engine.journal) if one.kind == "approve"]
        told = None if step is None else already(engine.journal, run_id, step)
    found = [one for one in asked if one.path not in done]
    meant = [one for one in found if _is_meant(one.path, step)]
    if meant and (step is not None or len(meant) == 1):
        return meant
    if told is not None:
        raise Refused(told)
    decided = [path for path in done if _is_meant(path, step)]
    if decided and not meant:
        words = " and ".join(f"{path!r} was {done[path]} already" for path in decided)
        raise Refused(f"{words}; that is noted, and is taken in with: hocket resume {run_id}")
    waiting = ", ".join(one.path for one in found)
    if step is None and waiting:
        for line in list_lines(found, time.time_ns()):
            print(line, file=sys.stderr)
        raise Refused(f"which step of run {run_id}? These wait for approval: {waiting}")
    what = f"step {step!r} of run {run_id} does" if step else f"run {run_id} does"
    told = f"these do: {waiting}" if waiting else f"it {stands(machine.said)}"
    raise Refused(f"{what} not wait for approval; {told}")


def _is_meant(path: str, step: str | None) -> bool:
    """Tell whether a path is a step's or one of its items', in whatever round; any without one."""
    if step is None or path == step:
        return True
    item, _, round_ = path.removeprefix(f"{step}/").partition("~")
    return path.startswith(f"{step}/") and item.isdigit() and (not round_ or round_.isdigit())
