"""A recorded run as a trace."""

from __future__ import annotations

from hocket.app.adapters import KINDS
from hocket.core.errors import NotFound
from hocket.core.run import RunMachine
from hocket.insight.fold import trace_of
from hocket.insight.trace import Trace
from hocket.journal.base import Store
from hocket.workflows.plan import fates_of


def trace_of_run(store: Store, run_id: str) -> Trace:
    """Read a run as a trace.

    Raises:
        NotFound: No such run.
        JournalError: An event cannot be read.
    """
    machine = RunMachine({tag: kind.make for tag, kind in KINDS.items()})
    trace = trace_of(store.read(run_id), machine, fates_of)
    if machine.phase == "new":
        raise NotFound(f"run {run_id!r} has no events")
    return trace
