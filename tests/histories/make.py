"""Writes the journal that the present version leaves behind, for all later versions to read.

It is run once for each release, ``python -m tests.histories.make``, and what it has written is
never changed or deleted: a user's journals are not either.
The runs go through every kind of event, and are the same at every writing.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from tests.machines import Drive, fold, plan, step

from hocket._version import __version__
from hocket.core.events import AnyEvent, CallFinished, RunStarted, Usage
from hocket.core.run import RunMachine
from hocket.core.specs import Repeat, Retry
from hocket.core.values import Json
from hocket.journal.schema import FILE
from hocket.journal.sqlite import SqliteJournal

HERE = Path(__file__).parent
BEGAN = 1_767_225_600_000_000_000
"""The first of January 2026, when all of these runs began."""


def whole() -> Drive:
    """Fan-out, rounds, a nested plan, an approval, an input, tokens, a large output."""
    inner = plan(
        step("one", input="{{inputs.k}}!"), step("two", input="{{one}}?"), name="inner", inputs="k"
    )
    drive = Drive(
        plan(
            step("list"),
            step("items", each="list", input="{{item}}"),
            step("poll", repeat=Repeat(until="poll.ready", max=3)),
            step("nested", kind="plan", plan=inner, input={"k": "{{inputs.goal}}"}),
            step("odd", when="list == []"),
            step("after", needs="odd"),
            step("sign", kind="approve", input="Ship {{items}}?", needs="poll"),
            step("word", kind="input", input="A word?", needs="sign"),
            step("last", needs="word nested", input="{{word}} {{nested}}"),
            inputs="goal",
        ),
        inputs={"goal": "a queue — with ümlauts"},
    )
    drive.done("list", ["a", "b"]).wait(1).done("items/1", "B").done("items/0", "A" * 50_000)
    drive.done("poll", {"ready": False}).wait(2).done("poll~2", {"ready": True})
    spent = CallFinished(
        at=drive.at,
        call=drive.call("nested/one"),
        output="1",
        usage=Usage(tokens_in=120, tokens_out=7, cost=1_500_000),
        notes=("a note",),
    )
    drive.apply(spent).done("nested/two", "2")
    drive.approve("sign", note="go").send("word", "hocket").wait(1)
    return drive.done("last", {"text": "fin", "n": 3})


def failed() -> Drive:
    """Retries, a refusal, a time-out, a fallback, a skip, and a step that stops the run."""
    drive = Drive(
        step("soft", on_failure="skip"),
        step("below", needs="soft"),
        step("hard", retry=Retry(tries=2, jitter=0.0), fallback="g", timeout="5s"),
    )
    drive.fails("soft").fails("hard", "rate_limited", retry_after=2_000_000_000).wait(8)
    drive.wait(6).stopped("hard", "timeout").wait(3).fails("hard", detail="tail").wait(2)
    return drive.fails("hard", "permanent", message="no such model")


def retried() -> Drive:
    """A failed run whose step was done again."""
    drive = Drive(step("a"), step("b", needs="a"))
    return drive.fails("a").wait(60).retry("a").done("a", 1).done("b", 2)


def cancelled() -> Drive:
    """Paused, continued, cancelled."""
    drive = Drive(step("a"), step("b"), step("c", kind="approve", input="ok?", timeout="10s"))
    drive.pause().go_on().wait(12).go_on().done("a", "kept").cancel()
    return drive.stopped("b", "cancel")


def crashed() -> Drive:
    """Lost calls: one is done again, one with effects is held, then settled; then a new spec."""
    drive = Drive(step("pure"), step("hot", agent="shell"), step("late", needs="pure hot"))
    drive.wait(1).crash().send("hot", "it was done").done("pure", "again")
    drive.crash().done("late", "old")
    return drive


def replaced() -> Drive:
    """A spec that was changed under way."""
    drive = Drive(step("a", input="1"), step("b", input="{{a}}"), step("c", kind="input"))
    drive.done("a", "A").done("b", "B").crash()
    drive.replace(step("a", input="1"), step("b", input="{{a}} more"), step("c", kind="input"))
    return drive.done("b", "B2").send("c", {"any": ["json", 1, None]})


def unfinished() -> Drive:
    """A run whose process has died."""
    drive = Drive(step("a"), step("b", needs="a"), step("c", agent="shell"))
    return drive.done("a", 1)


RUNS: dict[str, Callable[[], Drive]] = {
    make.__name__: make
    for make in (whole, failed, retried, cancelled, crashed, replaced, unfinished)
}


def events_of(name: str) -> list[AnyEvent]:
    """Give a run's events, named and dated."""
    events = [msgspec.structs.replace(e, at=e.at + BEGAN) for e in RUNS[name]().events]
    first = events[0]
    assert isinstance(first, RunStarted)
    return [msgspec.structs.replace(first, run=name, program=f"hocket {__version__}"), *events[1:]]


def outcome(machine: RunMachine) -> dict[str, Any]:
    """Give what a later version must make of a run, too."""
    views = machine.workflow.view()
    outputs: dict[str, Json] = {
        view.path: machine.workflow.result(view.path)
        for view in views
        if view.status == "succeeded"
    }
    return {
        "status": machine.said,
        "reason": machine.end.reason if machine.end else "",
        "output": machine.end.output if machine.end else None,
        "steps": {view.path: view.status for view in views},
        "outputs": outputs,
        "held": [str(job.call) for job in machine.calls.held()],
        "in_flight": [str(call) for call in machine.calls.in_flight()],
        "ignored": machine.calls.ignored,
    }


async def write(folder: Path) -> None:
    """Write every run into a journal."""
    with patch.object(socket, "gethostname", return_value="somewhere"):
        journal = SqliteJournal(folder)
        for name in RUNS:
            first, *rest = events_of(name)
            assert isinstance(first, RunStarted)
            log = await journal.start(first)
            await log.durable(log.append(rest))
            await log.close()
        journal.close()
    # Nothing of the machine that wrote it is worth keeping.
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("UPDATE owners SET pid = 1, start = '', boot = '', bell = '', lease_until = 0")
        db.execute("VACUUM")


def main() -> None:
    """Write the present version's journal, unless it is there."""
    target = HERE / __version__
    if target.exists():
        raise SystemExit(f"{target.name} is there already; a history is never changed")
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(write(Path(scratch)))
        target.mkdir()
        shutil.copy(Path(scratch) / FILE, target / FILE)
    expected = {name: outcome(fold(events_of(name))) for name in RUNS}
    text = json.dumps(expected, indent=1, ensure_ascii=False, sort_keys=True)
    (target / "expected.json").write_text(text + "\n", encoding="utf-8")
    print(f"wrote {target.name}: {', '.join(RUNS)}")


if __name__ == "__main__":
    main()
