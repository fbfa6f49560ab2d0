"""Agents as objects, one after the other: how most people write them, and what they cost.

One step of an object is one agent's whole tick: it infers, plans, chooses and moves its belief, and
its own small world moves it and shows it something.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from hocket.population.bench.task import SLIP, task
from hocket.population.model import Model
from hocket.population.reference import ReferenceAgent
from hocket.population.transitions import Dense, Grid


class Acting(Protocol):
    """An agent that lives in a world of its own."""

    def step(self) -> int:
        """Live one tick; gives the action taken."""
        ...


Maker: TypeAlias = Callable[[int], Acting]
"""Makes the agent of a number."""


class Walker:
    """What an agent's world does to it: the task's own moves and looks, in NumPy.

    Args:
        number: The agent's; its chance depends on it.
    """

    def __init__(self, number: int) -> None:
        model = task()
        grid = model.B[0]
        assert isinstance(grid, Grid)
        self.chance = np.random.default_rng(number)
        self.following = grid.targets()
        self.bounds = np.cumsum(model.A[0], axis=0)[:-1]
        self.cell = int(self.chance.integers(grid.states))

    def look(self) -> int:
        """See something of the cell."""
        return int((self.bounds[:, self.cell] <= self.chance.random()).sum())

    def move(self, action: int) -> None:
        """Go where the action leads, unless it slips."""
        if self.chance.random() >= SLIP:
            self.cell = int(self.following[action, self.cell])


class NumpyObject:
    """Hocket's own reference agent: one object, NumPy, 64-bit floats."""

    def __init__(self, number: int) -> None:
        self.world = Walker(number)
        self.agent = ReferenceAgent(_dense(), seed=number)

    def step(self) -> int:
        """Live one tick."""
        action = int(self.agent.step([self.world.look()])[0])
        self.world.move(action)
        return action


class LegacyObject:
    """An agent of `pymdp.legacy`, what FreeAgentics runs."""

    def __init__(self, number: int) -> None:
        # Only who wants to compare needs pymdp; it is no dependency.
        from pymdp.legacy import utils  # type: ignore[import-untyped]
        from pymdp.legacy.agent import Agent  # type: ignore[import-untyped]

        model = _dense()
        self.world = Walker(number)
        self.agent: Any = Agent(
            A=utils.to_obj_array(model.A[0]),
            B=utils.to_obj_array(model.table(0)),
            C=utils.to_obj_array(model.C[0]),
            gamma=model.gamma,
            policy_len=model.horizon,
            action_selection="stochastic",
            sampling_mode="full",
        )

    def step(self) -> int:
        """Live one tick."""
        self.agent.infer_states([self.world.look()])
        self.agent.infer_policies()
        action = int(self.agent.sample_action()[0])
        self.world.move(action)
        return action


OBJECTS: Final[dict[str, Maker]] = {"NumPy object": NumpyObject, "pymdp.legacy": LegacyObject}
"""The kinds of object agents, by what they are called."""


def present() -> list[str]:
    """Which of these kinds can be measured here."""
    return [name for name in OBJECTS if name != "pymdp.legacy" or find_spec("pymdp") is not None]


def _dense() -> Model:
    """The task with a table for a transition, as these agents have it."""
    model = task()
    return task(move=Dense(model.table(0)))
