"""Look-ahead over a run: search in the quick model, then ask the real machines.

An order is adopted only if the real machines end sooner by it than by the present one.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hocket.core.run import RunMachine
from hocket.forecast.outline import outline
from hocket.forecast.search import BUDGET, search
from hocket.forecast.terms import Terms
from hocket.forecast.world import Outcome, World
from hocket.limits.admission import Admission


class Ahead(msgspec.Struct, frozen=True):
    """What a look-ahead has found.

    Fields:
        now: The expected end by the present order; None if it is too far away to be seen.
        end: The expected end by the order that was found, or by the present one.
        bound: The instant before which no order can end, if calls take what is expected.
        binds: The limit that calls wait for most on the way to the end, or "" for none.
        tried: How many orders were tried.
        events: How many events were simulated in the search.
        order: The ranks of steps by path, higher ones first, or None to keep the present one.
    """

    now: int | None
    end: int | None
    bound: int
    binds: str
    tried: int
    events: int
    order: dict[str, int] | None


def look_ahead(
    machine: RunMachine,
    begun: Mapping[str, int],
    at: int,
    terms: Terms,
    ranks: Mapping[str, int],
    *,
    admission: Admission | None = None,
    budget: int = BUDGET,
    seed: int = 0,
) -> Ahead:
    """Look for an order by which what is left of a run ends sooner.

    Args:
        machine: The run; it is left as it is.
        begun: When each call in flight began, by its path.
        at: The present instant.
        terms: What to go by.
        ranks: The present ranks of steps by path.
        admission: The queue as it is now; None for a fresh one, in which nobody else is.
        budget: How many events may be simulated; the real machines are asked besides.
        seed: Where chance comes from.

    Raises:
        TypeError: Its workflow is no plan.
    """
    project = outline(machine, begun, at, terms).project

    def real(order: Mapping[str, int]) -> Outcome:
        world = World(machine, begun, at, terms, order, admission)
        # What ends normally takes two events a call; steps and people say something, too.
        return world.play(max(budget, 20 * len(project.tasks)))

    present = real(ranks)
    found = search(project, budget=budget, seed=seed)
    best, order = present, None
    for candidate in found.orders:
        if best.end is not None and at + candidate.end >= best.end:
            break
        outcome = real(candidate.rank)
        if outcome.end is not None and (best.end is None or outcome.end < best.end):
            best, order = outcome, candidate.rank
    return Ahead(
        present.end, best.end, at + found.bound, best.binds, found.tried, found.events, order
    )
