"""Small tasks that are known from the literature, as models that `SampledWorld` can be made of.

`Episodes` lets agents of a world begin anew after so many ticks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from hocket.core.errors import Problem, SpecError
from hocket.population.model import Model, Names
from hocket.population.transitions import Grid
from hocket.population.worlds.adapters import JaxMARLWorld
from hocket.population.worlds.gridworld import Cells
from hocket.population.worlds.world import Agents, Info, World, WorldState

CLOCK: Final = "episode"
"""What a world of episodes remembers besides: the ticks since an agent began, [N]."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """A world in which each agent begins anew after so many ticks.

    Fields:
        world: The world; no `JaxMARLWorld`, which begins anew for all its agents at once.
        length: How many ticks an episode has.
    """

    world: World
    length: int

    def __post_init__(self) -> None:
        """Refuse an episode of no length, and a world that does not begin anew for one agent.

        Raises:
            SpecError: naming each problem.
        """
        problems = []
        if self.length < 1:
            problems.append(
                Problem(
                    where=("world", "length"),
                    message=f"an episode of {self.length} ticks",
                    hint="give 1 or more",
                )
            )
        if isinstance(self.world, JaxMARLWorld):
            problems.append(
                Problem(
                    where=("world", "world"),
                    message="an environment that agents share begins anew for all at once, "
                    "and not for the one whose time is over",
                    hint="set the length of an episode in the environment itself",
                )
            )
        if problems:
            raise SpecError(problems)

    @property
    def observations(self) -> tuple[int, ...]:
        """How many observations each modality has."""
        return self.world.observations

    @property
    def actions(self) -> tuple[int, ...]:
        """How many actions each control has."""
        return self.world.actions

    def reset(self, key: jax.Array, agents: Agents) -> tuple[jax.Array, WorldState]:
        """Begin: place all agents, and let them see."""
        seen, state = self.world.reset(key, agents)
        return seen, _timed(state, jnp.zeros(agents.ids.shape, jnp.int32))

    def enter(
        self, key: jax.Array, state: WorldState, agents: Agents, new: jax.Array
    ) -> tuple[jax.Array, WorldState]:
        """Place the agents that are new; all see."""
        seen, inner = self.world.enter(key, state, agents, new)
        return seen, _timed(inner, jnp.where(new, 0, state.own[CLOCK]))

    def step(
        self, key: jax.Array, state: WorldState, actions: jax.Array, agents: Agents
    ) -> tuple[jax.Array, WorldState, jax.Array, jax.Array, Info]:
        """Let all agents act; those whose time is over are placed anew, and see that."""
        seen, inner, reward, done, info = self.world.step(key, state, actions, agents)
        clock = jnp.where(done, 0, state.own[CLOCK] + 1)
        over = agents.alive & (clock >= self.length)
        fresh, inner = self.world.enter(jax.random.fold_in(key, 1), inner, agents, over)
        seen = jnp.where(over, fresh, seen)
        return seen, _timed(inner, jnp.where(over, 0, clock)), reward, done | over, info


def _timed(state: WorldState, clock: jax.Array) -> WorldState:
    """A world's state with the clock of episodes."""
    return WorldState({**state.own, CLOCK: clock}, state.shared)


def t_maze(
    *, validity: float = 0.98, reward: float = 3.0, shock: float = 6.0, **settings: Any
) -> Model:
    """The T-maze: a reward in one of two arms, and a cue that tells in which.

    The agent can go to any place at once: the middle, the left or the right arm, or the cue.
    As a shock is worse than the reward is good, it does best to look at the cue first (after
    Friston et al. 2015, Active inference and epistemic value, but that one can leave an arm).

    Args:
        validity: How often the cue, and the arm, say the truth.
        reward: How much the reward is liked, in nats.
        shock: How much the shock is not.
        settings: Further settings of `Model.of`.
    """
    place = np.repeat(np.eye(4)[:, :, None], 2, axis=2)
    outcome = np.zeros((3, 4, 2))
    outcome[0, [0, 3]] = 1
    cue = np.full((2, 4, 2), 0.5)
    for side in (0, 1):
        outcome[1, 1 + side] = np.eye(2)[side] * validity + np.eye(2)[1 - side] * (1 - validity)
        outcome[2, 1 + side] = 1 - outcome[1, 1 + side]
        cue[side, 3] = np.eye(2)[side] * validity + np.eye(2)[1 - side] * (1 - validity)
    moves = np.repeat(np.eye(4)[:, None, :], 4, axis=1)
    return Model.of(
        A=[place, outcome, cue],
        B=[moves, np.eye(2)[:, :, None]],
        C=[np.zeros(4), np.array([0, reward, -shock]), np.zeros(2)],
        D=[np.eye(4)[0], np.full(2, 0.5)],
        names=Names(
            factors=("place", "reward"),
            states=(("middle", "left", "right", "cue"), ("left", "right")),
            modalities=("place", "outcome", "cue"),
            observations=(
                ("middle", "left", "right", "cue"),
                ("nothing", "reward", "shock"),
                ("left", "right"),
            ),
            actions=(("middle", "left", "right", "cue"), ("none",)),
        ),
        **{"policy_length": 2, **settings},
    )


def cue_chain(
    *,
    height: int = 5,
    width: int = 7,
    first: tuple[int, int] = (2, 0),
    second: Cells = ((0, 2), (1, 3), (3, 3), (4, 2)),
    rewards: Cells = ((1, 5), (3, 5)),
    reward: float = 3.0,
    **settings: Any,
) -> Model:
    """Cues that lead to cues: the first says where the second is, the second where the reward is.

    The layout is that of pymdp's `CueChainingEnv`; agents begin in the upper left corner.

    Args:
        height: Rows.
        width: Columns.
        first: The cell of the first cue.
        second: The cells where the second cue may be.
        rewards: The two cells where the reward may be; the other holds a shock.
        reward: How much the reward is liked, and the shock is not, in nats.
        settings: Further settings of `Model.of`.
    """
    cells, cues = height * width, len(second)
    which = [row * width + column for row, column in second]
    sides = [row * width + column for row, column in rewards]
    hint = np.zeros((1 + cues, cells, cues))
    hint[0] = 1
    hint[:, first[0] * width + first[1]] = np.eye(1 + cues, cues, -1)
    told = np.zeros((3, cells, cues, 2))
    told[0] = 1
    for number, cell in enumerate(which):
        told[:, cell, number] = np.eye(3, 2, -1)
    outcome = np.zeros((3, cells, 2))
    outcome[0] = 1
    for side, cell in enumerate(sides):
        outcome[:, cell] = np.stack([np.eye(3)[1 + abs(side - truth)] for truth in (0, 1)], axis=1)
    begin = np.zeros(cells)
    begin[0] = 1
    still = [np.eye(many)[:, :, None] for many in (cues, 2)]
    return Model.of(
        A=[np.eye(cells), hint, told, outcome],
        B=[Grid(height, width), *still],
        C=[np.zeros(cells), np.zeros(1 + cues), np.zeros(3), np.array([0, reward, -reward])],
        D=[begin, np.full(cues, 1 / cues), np.full(2, 0.5)],
        A_dependencies=[(0,), (0, 1), (0, 1, 2), (0, 2)],
        **{"policy_length": 3, **settings},
    )
