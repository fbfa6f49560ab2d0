"""What is expected of a plan before it runs, by what its earlier runs took."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hocket.app.adapters import KINDS, capacity
from hocket.app.history import known_as, past_of
from hocket.app.learned import resolve
from hocket.core.events import RunStarted
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec, spec_digest
from hocket.core.values import Json
from hocket.engine.claims import Claims
from hocket.engine.outlook import Prospect
from hocket.forecast.durations import Durations
from hocket.forecast.predict import Prediction, predict
from hocket.forecast.terms import Terms
from hocket.journal.base import Book, Store, Wanted
from hocket.limits.claim import Entry

_RUN = "forecast"


def predicted(
    store: Store, spec: RunSpec, inputs: Mapping[str, Json], at: int, seed: int = 0
) -> Prediction:
    """Say what is expected of a run that would start now.

    What other runs hold of shared limits counts as it is now.

    Args:
        store: The journal, whose duration book knows earlier calls.
        spec: What would run; it has been checked.
        inputs: Its inputs; what is missing is taken to be its default.
        at: The present instant.
        seed: Where chance comes from.

    Raises:
        JournalError: The journal cannot be read.
    """
    spec = resolve(spec, store.book)
    tag = str(spec.workflow.__struct_config__.tag)
    machine = RunMachine({tag: kind.make for tag, kind in KINDS.items()})
    machine.apply(
        RunStarted(
            at=at,
            run=_RUN,
            spec=spec,
            digest=spec_digest(spec),
            inputs=dict(inputs),
            seed=seed,
            versions={tag: KINDS[tag].version},
            program="",
        )
    )
    durations = Durations(past_of(store.book, spec))
    claims = Claims(_RUN, spec, capacity)
    terms = Terms(
        limits=claims.limits,
        claim=claims.of,
        durations=durations,
        held=asyncio.run(_held(store, claims, at)),
    )
    costs = costs_of(store.book, spec)
    ranks = Prospect(machine, durations).ranks
    return predict(machine, {}, at, terms, ranks, costs=costs.get, seed=seed)


async def _held(store: Store, claims: Claims, now: int) -> list[Entry]:
    """Give what others hold of the limits that the run would share."""
    names = [name for name, limit in claims.limits.items() if limit.shared]
    if not names or not store.runs(Wanted(most=1)):
        # Nobody has ever held any, and asking would make a journal.
        return []
    ledger = store.ledger(lambda: None)
    try:
        return list((await ledger.sync(names, now)).entries)
    finally:
        ledger.close()


def costs_of(book: Book, spec: RunSpec) -> dict[str, int]:
    """Give what a call of each agent cost in the mean, as far as anybody knows."""
    names = {known: name for name, known in known_as(spec.agents).items()}
    found: dict[str, list[int]] = {}
    for known in book.read(spec.name):
        for sample in known.samples:
            # What a call that was cut off had cost by then is in its run's report.
            if sample.agent in names and sample.cost is not None and not sample.cut:
                found.setdefault(names[sample.agent], []).append(sample.cost)
    return {agent: sum(costs) // len(costs) for agent, costs in found.items()}
