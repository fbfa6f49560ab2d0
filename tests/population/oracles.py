"""What pymdp says of the same model: 1.0.4, jitted, of many agents; and legacy, of one."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from pymdp import control, inference, learning
from pymdp.legacy import control as old_control
from pymdp.legacy import inference as old_inference
from pymdp.legacy import learning as old_learning
from pymdp.legacy import maths as old_maths
from pymdp.legacy import utils as old_utils

from hocket.population.model import Model

RATE = 0.7
SOON = {"xla_backend_optimization_level": 0}
"""An oracle runs once: it is to be compiled quickly, not to be quick."""


def lists(rows: tuple[tuple[int, ...], ...]) -> list[list[int]]:
    return [list(row) for row in rows]


def arrays(model: Model) -> dict[str, Any]:
    """The model as pymdp takes it; preferences that differ by step have the steps first."""
    return {
        "A": [jnp.asarray(table) for table in model.A],
        "B": [jnp.asarray(model.table(f)) for f in range(len(model.B))],
        "C": [jnp.asarray(wanted.T) for wanted in model.C],
        "E": jnp.asarray(model.E),
        "pA": [jnp.asarray(counts) for counts in model.pA or ()],
        "pB": [jnp.asarray(counts) for counts in model.pB or ()],
    }


def pymdp(model: Model, agents: dict[str, Any]) -> dict[str, Any]:
    """One tick of some agents in pymdp 1.0.4, in 64-bit floats; agents last."""
    parents, children = lists(model.A_dependencies), lists(model.B_dependencies)
    policies = jnp.asarray(model.policies)

    def tick(given: dict[str, Any], prior: Any, before: Any, obs: Any, action: Any) -> Any:
        A, B, C, pA, pB = (given[name] for name in ("A", "B", "C", "pA", "pB"))
        seen = [jax.nn.one_hot(o, many) for o, many in zip(obs, model.observations, strict=True)]
        history, info = inference.update_posterior_states(
            A,
            B,
            seen,
            None,
            prior=prior,
            A_dependencies=parents,
            B_dependencies=children,
            num_iter=model.iterations,
            method="fpi",
            return_info=True,
        )
        qs = [belief[-1] for belief in history]
        score = partial(control.compute_neg_efe_policy, qs, A, B, C, pA, pB, parents, children)

        def term(*which: bool) -> Any:
            utility, states, parameters = which
            return jax.vmap(
                lambda policy: score(
                    policy,
                    use_utility=utility,
                    use_states_info_gain=states,
                    use_param_info_gain=parameters,
                )
            )(policies)

        terms = [term(True, False, False), term(False, True, False), term(False, False, True)]
        q_pi = jax.nn.softmax(model.gamma * sum(terms) + control.log_stable(given["E"]))
        new_pA, new_A = learning.update_obs_likelihood_dirichlet(
            pA,
            A,
            [o[None] for o in obs],
            [belief[None] for belief in qs],
            A_dependencies=parents,
            categorical_obs=False,
            num_obs=list(model.observations),
            lr=RATE,
        )
        new_pB, new_B = learning.update_state_transition_dirichlet(
            pB,
            B,
            [
                [qs[f][None], *(before[parent][None] for parent in children[f])]
                for f in range(len(B))
            ],
            action[None],
            num_controls=list(model.actions),
            lr=RATE,
        )
        return {
            "posterior": qs,
            "free energy": info["vfe"],
            "utility": terms[0],
            "state information": terms[1],
            "parameter information": terms[2],
            "policies": q_pi,
            "prediction": control.compute_expected_state(
                qs, B, [action[f] for f in range(len(B))], children
            ),
            "pA": new_pA,
            "A": new_A,
            "pB": new_pB,
            "B": new_B,
        }

    with jax.enable_x64(True):
        many = jax.jit(
            jax.vmap(tick, in_axes=(None, -1, -1, -1, -1), out_axes=-1),
            compiler_options=SOON,
        )
        return jax.tree.map(
            np.asarray,
            many(
                arrays(model),
                [jnp.asarray(belief) for belief in agents["prior"]],
                [jnp.asarray(belief) for belief in agents["before"]],
                jnp.asarray(agents["obs"]),
                jnp.asarray(agents["action"]),
            ),
        )


def objects(rows: Any) -> Any:
    """A list of arrays as legacy takes it."""
    made = old_utils.obj_array(len(rows))
    for place, row in enumerate(rows):
        made[place] = np.asarray(row, np.float64)
    return made


def legacy_states(model: Model, prior: list[np.ndarray], obs: np.ndarray) -> tuple[Any, float]:
    """The posterior and free energy of one agent in legacy, which rounds up by 1e-16."""
    parents = lists(model.A_dependencies)
    blanket = {
        "A_factor_list": parents,
        "A_modality_list": [
            [m for m, row in enumerate(parents) if f in row] for f in range(len(model.B))
        ],
    }
    qs = old_inference.update_posterior_states_factorized(
        objects(model.A),
        tuple(int(o) for o in obs),
        list(model.observations),
        list(model.states),
        blanket,
        objects(prior),
        num_iter=model.iterations,
        compute_vfe=False,
    )
    # Its joint likelihood spans all factors, each modality's own in their places.
    total = np.zeros(model.states)
    for table, seen, row in zip(model.A, obs, parents, strict=True):
        shape = [many if f in row else 1 for f, many in enumerate(model.states)]
        total = total + old_maths.spm_log_single(table[seen]).reshape(shape)
    logs = old_maths.spm_log_obj_array(objects(prior))
    energy = old_maths.calc_free_energy(qs, logs, len(model.B), likelihood=total)
    return qs, float(np.squeeze(energy))


def legacy_policies(
    model: Model, posterior: list[np.ndarray], policies: np.ndarray
) -> dict[str, np.ndarray]:
    """The terms and the posterior of some policies in legacy, for one agent; habits are even."""
    A, C = objects(model.A), objects(model.C)
    B = objects([model.table(f) for f in range(len(model.B))])
    parents, children = lists(model.A_dependencies), lists(model.B_dependencies)
    qs = objects(posterior)
    utility, states = [], []
    for policy in policies:
        ahead = old_control.get_expected_states_interactions(qs, B, children, policy)
        seen = old_control.get_expected_obs_factorized(ahead, A, parents)
        utility.append(float(np.squeeze(old_control.calc_expected_utility(seen, C))))
        gain = old_control.calc_states_info_gain_factorized(A, ahead, parents)
        states.append(float(np.squeeze(gain)))
    q_pi, _ = old_control.update_posterior_policies_factorized(
        qs, A, B, C, parents, children, list(policies), gamma=model.gamma
    )
    return {
        "utility": np.array(utility),
        "state information": np.array(states),
        "policies": np.asarray(q_pi, np.float64),
    }


def legacy_learning(
    model: Model,
    posterior: list[np.ndarray],
    before: list[np.ndarray],
    obs: np.ndarray,
    action: np.ndarray,
) -> dict[str, list[np.ndarray]]:
    """Dirichlet counts of one agent in legacy."""
    A, B = objects(model.A), objects([model.table(f) for f in range(len(model.B))])
    qs, was = objects(posterior), objects(before)
    seen = objects([np.eye(many)[o] for o, many in zip(obs, model.observations, strict=True)])
    return {
        "pA": list(
            old_learning.update_obs_likelihood_dirichlet_factorized(
                objects(model.pA), A, seen, qs, lists(model.A_dependencies), lr=RATE
            )
        ),
        "pB": list(
            old_learning.update_state_likelihood_dirichlet_interactions(
                objects(model.pB), B, action, qs, was, lists(model.B_dependencies), lr=RATE
            )
        ),
        "pD": list(old_learning.update_state_prior_dirichlet(objects(model.pD), qs, lr=RATE)),
    }
