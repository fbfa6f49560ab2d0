"""Why a run took as long, and cost as much, as it did; and what its findings' changes would do."""

from __future__ import annotations

import shlex
import time
from typing import Final, Literal, NamedTuple

from hocket.app.rest import collector_rests
from hocket.app.simulate import Otherwise, Playing, simulate_run
from hocket.app.traces import trace_of_run
from hocket.config.change import changed
from hocket.core.errors import CallerError
from hocket.insight.explain import Explanation, explain
from hocket.insight.findings import Finding
from hocket.journal.base import Store
from hocket.simulator.outcome import Gain, Row

SIMULATED: Final = 3
"""So many findings' changes are simulated."""
RUNS: Final = 200
"""In so many pairs of runs each, if the run is small."""
LEAST_RUNS: Final = 20
MOST_CALLS: Final = 150_000
"""So many calls may be simulated in all; of a run that is too large for that nothing is."""


class Explained(NamedTuple):
    """An explanation, and what its changes would do.

    Fields:
        explanation: It.
        gains: What was simulated of the findings' changes.
        note: Why nothing was simulated, or "".
    """

    explanation: Explanation
    gains: tuple[Gain, ...] = ()
    note: str = ""


def explain_run(store: Store, run_id: str) -> Explanation:
    """Explain a run; one that has not ended is explained up to the present.

    Raises:
        NotFound: No such run.
        JournalError: An event cannot be read.
    """
    with collector_rests():
        return explain(trace_of_run(store, run_id, time.time_ns()))


def explained(store: Store, run_id: str) -> Explained:
    """Explain a run, and simulate what the first of its findings propose to change.

    Raises:
        NotFound: No such run.
        JournalError: An event cannot be read.
    """
    told = explain_run(store, run_id)
    places = [place for place, finding in enumerate(told.findings) if finding.change][:SIMULATED]
    if not places:
        return Explained(told)
    calls = max(1, len(told.trace.activities))
    runs = min(RUNS, MOST_CALLS // (calls * (1 + len(places))))
    if runs < LEAST_RUNS:
        first = shlex.join(told.findings[places[0]].change)
        how = f"hocket simulate {run_id} --set {first} --runs {LEAST_RUNS}"
        return Explained(told, (), f"not simulated, since the run is large; try: {how}")
    try:
        return Explained(told, _gains(store, run_id, told, places, runs))
    except CallerError as error:
        return Explained(told, (), f"not simulated: {error}")


def _gains(
    store: Store, run_id: str, told: Explanation, places: list[int], runs: int
) -> tuple[Gain, ...]:
    impossible: dict[int, str] = {}
    assert told.trace.spec is not None
    for place in places:
        try:
            changed(told.trace.spec, told.findings[place].change)
        except CallerError as error:
            impossible[place] = str(error)
    unknown = {place: _unknown(told.findings[place]) for place in places}
    asked = {
        place: _variant(told.findings[place])
        for place in places
        if place not in impossible and not unknown[place]
    }
    rows: dict[tuple[str, ...], Row] = {}
    verdict: Literal["good", "rough", "bad"] = "good"
    baseline = None
    if asked:
        other = Otherwise(variants=list(dict.fromkeys(asked.values())))
        made = simulate_run(store, run_id, other, Playing(runs=runs))
        rows = {row.settings: row for row in made.variants}
        verdict = "good" if made.match is None else made.match.verdict
        baseline = made.baseline
    gains = []
    for place in places:
        settings = told.findings[place].change
        why = impossible.get(place, "")
        row = Row(name=" ".join(settings), settings=settings, why=why)
        gains.append(Gain(place, rows.get(settings, row), verdict, baseline, unknown[place]))
    return tuple(gains)


def _unknown(finding: Finding) -> str:
    """Say why simulations cannot tell what a change gains; "" if they can."""
    kept = any(one.partition("=")[0].endswith(".cache") for one in finding.change)
    return "kept answers are not simulated" if kept else ""


def _variant(finding: Finding) -> str:
    return shlex.join(finding.change)
