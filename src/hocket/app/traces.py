"""A recorded run as a trace."""

from __future__ import annotations

from hocket.app.adapters import KINDS
from hocket.core.errors import NotFound
from hocket.core.run import RunMachine
from hocket.insight.fold import trace_of
from hocket.insight.fold_trace import LAST, Until
from hocket.insight.trace import Trace
from hocket.journal.base import Store
from hocket.workflows.plan import fates_of


def trace_of_run(store: Store, run_id: str, now: int | None = None) -> Trace:
    """Read a run as a trace.

    Args:
        store: The journal.
        run_id: The run's id.
        now: The present, up to which a run that has not ended is told of; by default it is told of
            up to its last fact.

    Raises:
        NotFound: No such run.
        JournalError: An event cannot be read.
    """
    machine = RunMachine({tag: kind.make for tag, kind in KINDS.items()})
    until = LAST
    if now is not None:
        # Asked before the facts are read: an owner who ends the run in between ends the facts too.
        row = store.find(run_id)
        driven = row is not None and row.alive
        until = Until(now, driven)
    trace = trace_of(store.read(run_id), machine, fates_of, until)
    if machine.phase == "new":
        raise NotFound(f"run {run_id!r} has no events")
    return trace
