"""What is expected of a run: when it ends, what it costs, and which limit it waits for most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from hocket.core.run import RunMachine
from hocket.forecast.durations import Drawn
from hocket.forecast.outline import Left, outline
from hocket.forecast.play import play
from hocket.forecast.terms import Terms
from hocket.forecast.world import World

SAMPLES: Final = 200
"""How many ways a run may turn out are looked at."""
EVENTS: Final = 2_000_000
"""How many events that may cost at most; a large run is looked at in fewer ways."""
_LEAST: Final = 20


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of a run.

    Fields:
        finish: When it ends; None if nothing is known of how long any of its calls takes.
        low: In one of twenty ways it ends before this.
        high: In one of twenty ways it ends after this.
        binds: The limit that it waits for most, or "" for its own longest path.
        cost: Pico-dollars of the calls whose cost is known.
        unpriced: How many calls there are whose cost nobody knows.
        calls: How many calls are still to end, if nothing fails.
        known: The share of these calls of which it is known how long they take.
        assumed: The steps of whose ``each`` nobody knows yet how many items it has.
    """

    finish: int | None
    low: int | None
    high: int | None
    binds: str
    cost: int
    unpriced: int
    calls: int
    known: float
    assumed: tuple[str, ...]


def predict(
    machine: RunMachine,
    begun: Mapping[str, int],
    at: int,
    terms: Terms,
    ranks: Mapping[str, int],
    *,
    costs: Callable[[str], int | None] = lambda agent: None,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Prediction:
    """Say what is expected of a run.

    Under other limits the same calls take the same time in each of the ways, so that two
    predictions differ by what the limits do, and not by chance.

    Args:
        machine: The run, with its first events applied; it is left as it is.
        begun: When each call in flight began, by its path.
        at: The present instant.
        terms: What to go by.
        ranks: The rank of each step by its path, higher ones first.
        costs: Gives what a call of an agent costs in pico-dollars; None if nobody knows.
        seed: Where chance comes from.
        samples: How many ways are looked at.

    Raises:
        TypeError: Its workflow is no plan.
    """
    left = outline(machine, begun, at, terms)
    calls = [about for about in left.about if about is not None]
    priced = [cost for *_, agent in calls if (cost := costs(agent)) is not None]
    told = sum(
        bool(terms.durations.samples(machine.spec.name, path, step, agent))
        for path, step, agent in calls
    )
    finish = low = high = None
    binds = ""
    if told or not calls:
        ends = _ends(left, machine.spec.name, terms, ranks, seed, samples)
        finish, low, high = (at + _pick(ends, share) for share in (0.5, 0.05, 0.95))
        budget = 20 * len(left.project.tasks) + 100
        binds = World(machine, begun, at, terms, ranks).play(budget).binds
    return Prediction(
        finish=finish,
        low=low,
        high=high,
        binds=binds,
        cost=sum(priced),
        unpriced=len(calls) - len(priced),
        calls=len(calls),
        known=told / len(calls) if calls else 1.0,
        assumed=left.unknown,
    )


def _ends(
    left: Left, name: str, terms: Terms, ranks: Mapping[str, int], seed: int, samples: int
) -> list[int]:
    """Play the run in so many ways; give when it ends, the soonest end first."""
    project = left.project
    order = project.order(ranks)
    samples = max(min(samples, _LEAST), min(samples, EVENTS // max(1, 2 * project.calls)))
    ends: list[int] = []
    for number in range(samples):
        drawn = Drawn(terms.durations, seed, number)
        takes = [
            task.takes if about is None else drawn.takes(name, *about, task.path)
            for task, about in zip(project.tasks, left.about, strict=True)
        ]
        end = play(project.lasting(takes), order, takes).end
        assert end is not None
        ends.append(end)
    return sorted(ends)


def _pick(values: list[int], share: float) -> int:
    """Give the value below which that share of the values stays."""
    return values[round(share * (len(values) - 1))]
