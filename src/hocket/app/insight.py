"""Explain and simulate as a Python program uses them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from hocket.app.engine import Engine
from hocket.app.rest import collector_rests
from hocket.app.simulate import Otherwise, Playing, simulate_plan, simulate_run
from hocket.app.traces import trace_of_run
from hocket.app.what import What, parts_of
from hocket.core.errors import Refused
from hocket.core.values import Json
from hocket.insight.explain import Explanation
from hocket.insight.explain import explain as explain_trace
from hocket.simulator.outcome import Study


def explain(run_id: str, *, engine: Engine | None = None) -> Explanation:
    """Say why a run took as long, and cost as much, as it did; also of one under way.

    Args:
        run_id: The run's id.
        engine: Whose state folder it is in; by default the user's own.

    Raises:
        NotFound: No such run.
        JournalError: An event cannot be read.
    """
    with _open(engine) as own, collector_rests():
        return explain_trace(trace_of_run(own.journal, run_id, time.time_ns()))


def simulate(
    what: What | str,
    settings: Sequence[str] = (),
    *,
    vary: Sequence[str] = (),
    variants: Sequence[str] = (),
    faults: Sequence[str] = (),
    runs: int | None = None,
    seed: int | None = None,
    inputs: Mapping[str, Json] | None = None,
    engine: Engine | None = None,
) -> Study:
    """Simulate a plan, or a recorded run, beside variants of it; nobody is really called.

    Args:
        what: The plan, or a run's id.
        settings: ``KEY=VALUE`` each, as in ``limits.flash.requests=15/min``: all are one variant.
        vary: ``KEY=1..8`` or ``KEY=a,b,c`` each: a variant for every combination.
        variants: Settings with spaces between them, a variant each.
        faults: What goes wrong, as in ``flash down 30s at 1m``.
        runs: How many runs of each variant; by default 200.
        seed: Where chance comes from; by default 0.
        inputs: A plan's inputs.
        engine: Whose state folder it is in; by default the user's own.

    Raises:
        NotFound: No such run, or nothing that a setting could be about.
        Refused: A setting or a fault cannot be read, or there are inputs for a run, which has
            its own.
        SpecError: The plan has mistakes.
        JournalError: An event cannot be read.
    """
    for name, given in (
        ("settings", settings),
        ("vary", vary),
        ("variants", variants),
        ("faults", faults),
    ):
        if isinstance(given, str):
            raise Refused(f"{name} are texts: write [{given!r}]")
    if isinstance(what, str) and inputs:
        said = f"'inputs.{next(iter(inputs))}=VALUE' among the settings"
        raise Refused(f"inputs are for plans; a run has its inputs: write {said}")
    other, how = Otherwise(settings, vary, variants, faults), Playing(runs, seed)
    with _open(engine) as own:
        if isinstance(what, str):
            return simulate_run(own.journal, what, other, how)
        return simulate_plan(own.journal, parts_of(what)[1], other, how, inputs=inputs)


@contextmanager
def _open(engine: Engine | None) -> Iterator[Engine]:
    """Give the engine, or one of one's own that is closed afterwards."""
    if engine is not None:
        yield engine
        return
    own = Engine()
    try:
        yield own
    finally:
        own.close()
