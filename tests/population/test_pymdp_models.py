"""Models go over to pymdp's agents and back, and think the same there."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from pymdp.agent import Agent
from pymdp.envs.cue_chaining import CueChainingEnv
from pymdp.envs.grid_world import GridWorld
from pymdp.envs.tmaze import SimplifiedTMaze, TMaze
from pymdp.legacy import utils
from pymdp.legacy.agent import Agent as OldAgent
from tests.population.gmn_texts import same

from hocket.core.errors import Refused
from hocket.population import Dense, Grid, Model, from_pymdp, to_pymdp

ENVIRONMENTS = {
    "tmaze": TMaze,
    "simplified": SimplifiedTMaze,
    "grid": lambda: GridWorld((3, 4), walls=[(1, 1)], initial_position=(0, 0), success_prob=0.8),
    "cues": lambda: CueChainingEnv(cue2_state=1),
}


@cache
def environment_of(name: str) -> Any:
    """One of pymdp's environments; it takes a while to be made."""
    return ENVIRONMENTS[name]()


@eqx.filter_jit
def think(agent: Agent) -> Any:
    """What an agent makes of seeing the first observation of two modalities."""
    return agent.infer_policies(agent.infer_states([jnp.array([0])] * 2, agent.D))


def agent_of(environment: Any, **settings: Any) -> Agent:
    """An agent whose model is the environment's; it wants the last observation of each kind."""
    wants = [jnp.arange(float(table.shape[0])) * 0.25 for table in environment.A]
    return Agent(
        A=list(environment.A),
        B=list(environment.B),
        C=wants,
        D=list(environment.D),
        A_dependencies=environment.A_dependencies,
        B_dependencies=environment.B_dependencies,
        **settings,
    )


def alike(one: Agent, other: Agent) -> None:
    for name in ("A", "B", "C", "D", "pA", "pB"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        assert all(map(np.array_equal, first or (), second or ())), name
    for name in ("E", "gamma", "alpha"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert np.array_equal(one.policies.policy_arr, other.policies.policy_arr)
    for name in (
        "A_dependencies",
        "B_dependencies",
        "inference_algo",
        "inference_horizon",
        "num_iter",
        "policy_len",
        "use_utility",
        "use_states_info_gain",
        "use_param_info_gain",
        "action_selection",
        "sampling_mode",
        "batch_size",
    ):
        assert getattr(one, name) == getattr(other, name), name


@pytest.mark.parametrize("name", list(ENVIRONMENTS))
def test_the_models_of_pymdps_own_environments_go_there_and_back(name: str) -> None:
    environment = environment_of(name)
    agent = agent_of(environment, policy_len=2, gamma=3.0, action_selection="stochastic")
    model = from_pymdp(agent)
    assert model.states == tuple(agent.num_states)
    assert model.observations == tuple(agent.num_obs)
    assert all(
        np.array_equal(np.asarray(a), b) for a, b in zip(environment.A, model.A, strict=True)
    )
    assert model.gamma == 3 and model.alpha == 1 and model.iterations == 16
    assert (model.selection, model.sampling, model.inference) == ("stochastic", "full", "fpi")
    again = to_pymdp(model)
    alike(agent, again)
    same(model, from_pymdp(again))


def test_an_agent_that_came_back_chooses_as_before() -> None:
    agent = agent_of(environment_of("simplified"), gamma=2.0)
    for first, second in zip(think(agent), think(to_pymdp(from_pymdp(agent))), strict=True):
        assert np.array_equal(first, second)


def test_everything_that_a_model_may_say_goes_over() -> None:
    chance = np.random.default_rng(2)
    seen = chance.dirichlet(np.ones(3), size=(2, 2)).transpose(2, 0, 1)
    table = chance.dirichlet(np.ones(2), size=(2, 2, 2)).transpose(3, 0, 1, 2)
    model = Model.of(
        [seen, seen[:, 0]],
        [table, np.eye(2)[:, :, None]],
        [chance.normal(size=(3, 2)), chance.normal(size=3)],
        [[0.25, 0.75], [0.5, 0.5]],
        [0.25, 0.5, 0.125, 0.125],
        A_dependencies=[[1, 0], [1]],
        B_dependencies=[[1, 0], [1]],
        policy_length=2,
        gamma=0.5,
        alpha=2.0,
        inference="vmp",
        window=3,
        iterations=4,
        utility=False,
        parameter_information=True,
        sampling="marginal",
        pA=[seen + 1, seen[:, 0] + 1],
        pB=[table + 1, np.ones((2, 2, 1))],
    )
    small = replace(
        model,
        **{
            name: tuple(np.asarray(row, np.float32).astype(float) for row in getattr(model, name))
            for name in ("A", "C", "pA", "pB")
        },
        B=tuple(Dense(np.asarray(move.dense(), np.float32).astype(float)) for move in model.B),
    )
    agent = to_pymdp(small, batch_size=3)
    assert agent.batch_size == 3 and agent.C[0].shape == (3, 2, 3)
    same(small, from_pymdp(agent))


def test_a_grid_becomes_a_table_there() -> None:
    seen = np.eye(6)
    agent = to_pymdp(Model.of([seen], [Grid(2, 3, slip=0.25)], inference="exact"), gamma=9.0)
    assert np.array_equal(agent.B[0][0], Grid(2, 3, slip=0.25).dense())
    assert agent.inference_algo == "exact" and float(agent.gamma[0]) == 9


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"use_inductive": True, "H": [jnp.eye(12)[0]]}, "plans by inductive inference"),
        ({"categorical_obs": True}, "observes probabilities"),
        ({"inference_algo": "ovf"}, "does not infer by 'ovf'"),
        ({"inference_algo": "mmp", "inference_horizon": 2}, "does not infer by 'mmp'"),
        ({"inference_algo": "vmp"}, "give the agent an inference_horizon"),
        ({"gamma": jnp.array([1.0, 2.0]), "batch_size": 2}, "differ in gamma"),
        ({"E": jnp.array([[0.2] * 5, [0.1] * 4 + [0.6]]), "batch_size": 2}, "differ in E"),
    ],
)
def test_what_hocket_does_not_do_is_refused(settings: dict[str, Any], said: str) -> None:
    agent = agent_of(environment_of("grid"), **settings)
    with pytest.raises(Refused, match=said):
        from_pymdp(agent)


def test_a_factor_that_several_actions_move_is_refused() -> None:
    table = jnp.zeros((2, 2, 2, 2)).at[0].set(1.0)
    agent = Agent(
        A=[jnp.eye(2)],
        B=[table],
        B_action_dependencies=[[0, 1]],
        num_controls=[2, 2],
    )
    with pytest.raises(Refused, match="moves factors by several actions"):
        from_pymdp(agent)


def test_what_is_no_agent_and_what_it_cannot_hold_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model.of([np.eye(4)], [Grid(2, 2)])
    with pytest.raises(Refused, match="a dict is no agent of pymdp"):
        from_pymdp({})
    with pytest.raises(Refused, match="no argument 'gama'; did you mean 'gamma'"):
        to_pymdp(model, gama=1)
    with pytest.raises(Refused, match="leave pD out"):
        to_pymdp(replace(model, pD=(np.ones(4),)))
    monkeypatch.setitem(sys.modules, "pymdp.agent", None)
    with pytest.raises(Refused, match="pip install inferactively-pymdp"):
        to_pymdp(model)


def old_agent(**settings: Any) -> OldAgent:
    environment = environment_of("simplified")
    tables = [utils.to_obj_array(np.asarray(a, float)) for a in environment.A]
    seen, moved = utils.obj_array(2), utils.obj_array(2)
    wants = utils.obj_array_zeros([5, 3])
    for m in range(2):
        seen[m] = tables[m][0]
        moved[m] = np.asarray(environment.B[m], float)
    wants[1][1:] = [2.0, -3.0]
    return OldAgent(A=seen, B=moved, C=wants, policy_len=2, **settings)


def test_an_old_agent_comes_over_with_what_it_makes_of_preferences() -> None:
    agent = old_agent(action_selection="stochastic", gamma=4.0)
    model = from_pymdp(agent)
    assert model.sampling == "marginal" and model.alpha == 16 and model.gamma == 4
    assert model.iterations == agent.inference_params["num_iter"]
    assert np.array_equal(model.policies, np.stack(agent.policies))
    shares = np.exp([0, 2, -3]) / np.exp([0, 2, -3]).sum()
    assert np.allclose(model.C[1], np.log(shares), atol=1e-12)
    assert model.C[0].shape == (5,) and np.ptp(model.C[0]) == 0
    assert all(np.array_equal(a, b) for a, b in zip(agent.A, model.A, strict=True))
    # The newer agent, with these preferences, comes to the same policies.
    agent.infer_states([0, 0])
    old, _ = agent.infer_policies()
    new = to_pymdp(model)
    assert np.allclose(think(new)[0][0], old, atol=1e-5)


def test_what_an_old_agent_has_learned_comes_too() -> None:
    counts = utils.dirichlet_like(old_agent().A, scale=3.0)
    first = utils.obj_array(2)
    first[:] = [np.ones(4), np.ones(2) * 2]
    model = from_pymdp(old_agent(pA=counts, pD=first))
    assert model.pA is not None and all(map(np.array_equal, model.pA, counts))
    assert model.pD is not None and model.pD[1].tolist() == [2, 2]


def test_old_ways_that_hocket_has_not_are_refused() -> None:
    with pytest.raises(Refused, match="does not infer by 'MMP'"):
        from_pymdp(old_agent(inference_algo="MMP", inference_horizon=2))
    agent = old_agent()
    agent.sophisticated = True
    with pytest.raises(Refused, match="sophisticated"):
        from_pymdp(agent)
    agent = old_agent()
    agent.policies = [agent.policies[0], agent.policies[1][:1]]
    with pytest.raises(Refused, match="different lengths"):
        from_pymdp(agent)
