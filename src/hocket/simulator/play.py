"""Plays runs under virtual time with simulated agents, from their beginning to their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hocket.core.specs import RunSpec
from hocket.core.values import Json
from hocket.forecast.durations import Durations
from hocket.simulator.agents import People, SimulatedAgents
from hocket.simulator.parts import Keep, Made, Part, Played, Sums
from hocket.simulator.stage import Stage, prepare
from hocket.simulator.world import World

__all__ = ["Made", "Part", "Played", "Stage", "Sums", "play", "play_together", "prepare"]

AT_ONCE: Final = People()
"""People who approve of everything, and at once."""
_NOTHING: Final = Durations()


def play(
    spec: RunSpec | Stage,
    inputs: Mapping[str, Json],
    agents: SimulatedAgents,
    seed: int = 0,
    *,
    people: People = AT_ONCE,
    past: Durations | None = None,
    budget: int | None = None,
    keep: Keep = "events",
) -> Played:
    """Play one run to its end.

    Every call is made: no answer is kept from an earlier one.
    Time limits that are learned are to be pinned in the spec.

    Args:
        spec: What to do; prepare one that is played often.
        inputs: The workflow's inputs.
        agents: Who does it.
        seed: Where all chance comes from; the same seed gives the same events.
        people: Who answers questions.
        past: What is known of how long calls take; by default nothing.
        budget: After how many events to stop at the latest; None for never.
        keep: What to keep of it; what nobody reads costs time and memory.

    Raises:
        SpecError: The spec cannot be run.
    """
    part = Part(spec, inputs, seed=seed)
    return play_together([part], agents, people=people, past=past, budget=budget, keep=keep)[0]


def play_together(
    parts: Sequence[Part],
    agents: SimulatedAgents,
    *,
    people: People = AT_ONCE,
    past: Durations | None = None,
    budget: int | None = None,
    keep: Keep = "events",
) -> list[Played]:
    """Play several runs at once, under the limits that they share.

    Raises:
        SpecError: A spec cannot be run.
    """
    world = World(agents, people, past or _NOTHING, keep)
    for part in parts:
        world.add(part)
    return world.play(budget)
