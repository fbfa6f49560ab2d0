"""Whole episodes of pymdp's own examples: its agent and ours see the same and do the same.

The worlds are pymdp's, and pymdp's agent acts; ours is told what it did where two policies are so
equally good that rounding decides, and must have chosen the same everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymdp.agent import Agent
from pymdp.envs.cue_chaining import CueChainingEnv
from pymdp.envs.grid_world import GridWorld
from pymdp.envs.tmaze import TMaze

from hocket.population.choice import choose, policy_posterior
from hocket.population.inference import infer
from hocket.population.model import Model
from hocket.population.planning import Planner, predict
from hocket.population.reference import ReferenceAgent
from hocket.population.tables import tables_of

AGENTS = 2
TIE = 1e-9
"""Policies whose probabilities differ by less are equally good: rounding is of 1e-15."""


class Example(NamedTuple):
    """What is done where.

    Fields:
        env: pymdp's world.
        C: What is preferred.
        length: How far policies look ahead.
        steps: How long the episode is.
        goal: The modality and observation that tell that what was to be gained was gained.
    """

    env: Any
    C: list[np.ndarray]
    length: int
    steps: int
    goal: tuple[int, int]


def t_maze() -> Example:
    """From the middle by way of the cue to the arm that it tells of."""
    env = TMaze(reward_probability=0.98, punishment_probability=0.98, cue_validity=0.95)
    return Example(env, [np.zeros(5), np.array([0.0, 3.0, -3.0]), np.zeros(3)], 3, 6, (1, 1))


def grid_world() -> Example:
    """From a corner round a wall to the opposite corner, on slippery ground."""
    env = GridWorld(shape=(4, 4), walls=[(1, 1), (1, 2)], initial_position=0, success_prob=0.85)
    # The nearer the better, so that three steps ahead are far enough to see.
    rows, columns = np.indices((4, 4))
    return Example(env, [-(6.0 - rows - columns).reshape(-1) / 2], 3, 12, (0, 15))


def cue_chain() -> Example:
    """From cue to cue to the reward, on a grid."""
    env = CueChainingEnv(
        grid_shape=(3, 4),
        cue1_location=(1, 0),
        cue2_locations=((0, 1), (2, 1)),
        reward_locations=((0, 3), (2, 3)),
    )
    # A slight taste for some cells decides between ways of the same length.
    taste = np.random.default_rng(0).random(12) / 20
    C = [taste, np.zeros(3), np.zeros(3), np.array([0.0, 2.0, -4.0])]
    return Example(env, C, 3, 8, (3, 1))


def model_of(env: Any, C: list[np.ndarray], length: int) -> Model:
    def clean(table: Any) -> np.ndarray:
        # The examples are in 32-bit floats: their sums are 1 to seven digits.
        values = np.asarray(table, np.float64)
        return values / values.sum(axis=0)

    return Model.of(
        [clean(a) for a in env.A],
        [clean(b) for b in env.B],
        C,
        [clean(d) for d in env.D],
        A_dependencies=env.A_dependencies,
        B_dependencies=env.B_dependencies,
        policy_length=length,
        gamma=4.0,
        iterations=8,
    )


def pymdp_agent(model: Model) -> Agent:
    return Agent(
        A=[jnp.asarray(a) for a in model.A],
        B=[jnp.asarray(model.table(f)) for f in range(len(model.B))],
        C=[jnp.asarray(c) for c in model.C],
        D=[jnp.asarray(d) for d in model.D],
        E=jnp.asarray(model.E),
        A_dependencies=[list(row) for row in model.A_dependencies],
        B_dependencies=[list(row) for row in model.B_dependencies],
        policies=jnp.asarray(model.policies),
        policy_len=model.horizon,
        gamma=model.gamma,
        num_iter=model.iterations,
        batch_size=AGENTS,
    )


def theirs(agent: Agent) -> Callable[..., Any]:
    @eqx.filter_jit
    def think(prior: Any, obs: Any) -> Any:
        qs = agent.infer_states([seen[:, None] for seen in obs], prior)
        q_pi, neg_efe = agent.infer_policies(qs)
        action = agent.sample_action(q_pi)
        return q_pi, neg_efe, action, agent.update_empirical_prior(action, qs)

    return think


def ours(model: Model) -> tuple[Callable[..., Any], Callable[..., Any]]:
    tables = tables_of(model, "float64")
    planner = Planner(model)

    @jax.jit
    def think(prior: Any, obs: Any) -> Any:
        posterior, _ = infer(model, tables, prior, obs)
        neg_efe = planner.neg_efe(tables, posterior)
        q_pi = policy_posterior(neg_efe, tables.gamma, tables.habit)
        action = choose(model, tables, q_pi, jnp.zeros((0, AGENTS)))
        return posterior, q_pi, neg_efe, action

    return think, jax.jit(partial(predict, model, tables))


def clear(model: Model, q_pi: np.ndarray) -> bool:
    """Whether all policies that are as good as the best begin alike."""
    first = model.policies[q_pi >= q_pi.max() - TIE, 0]
    return bool((first == first[0]).all())


@pytest.mark.parametrize("example", [t_maze, grid_world, cue_chain])
def test_an_episode_is_the_same_as_pymdps(example: Callable[[], Example]) -> None:
    env, C, length, steps, (modality, goal) = example()
    model = model_of(env, C, length)
    close = partial(np.testing.assert_allclose, rtol=TIE, atol=TIE)
    key = jax.random.key(3)
    decided, reached = 0, np.zeros(AGENTS, bool)
    with jax.enable_x64(True):
        agent = pymdp_agent(model)
        their, (our, expect) = theirs(agent), ours(model)
        reference = ReferenceAgent(model)
        step = jax.jit(jax.vmap(env.step))
        seen, state = jax.vmap(env.reset)(jax.random.split(key, AGENTS))
        prior: Any = agent.D
        mine: Any = tuple(jnp.tile(jnp.asarray(d)[:, None], AGENTS) for d in model.D)
        for tick in range(steps):
            obs = np.stack([np.asarray(o[:, 0], np.int32) for o in seen])
            reached |= obs[modality] == goal
            q_pi, neg_efe, action, prior = jax.tree.map(np.asarray, their(prior, list(obs)))
            posterior, my_q_pi, my_neg_efe, my_action = our(mine, obs)
            close(my_neg_efe.T, neg_efe)
            close(my_q_pi.T, q_pi)
            reference.infer_states([int(o) for o in obs[:, 0]])
            close(reference.infer_policies()[0], q_pi[0])
            reference.expected = reference.predict(reference.beliefs, list(action[0]))
            for number, did in enumerate(action):
                if clear(model, q_pi[number]):
                    decided += 1
                    assert list(np.asarray(my_action)[:, number]) == list(did)
            mine = expect(posterior, action.T)
            for expected, other in zip(mine, prior, strict=True):
                close(expected.T, other)
            keys = jax.random.split(jax.random.fold_in(key, tick), AGENTS)
            seen, state = step(keys, state, list(action.T))
    assert decided > AGENTS * steps // 2
    assert reached.all()
