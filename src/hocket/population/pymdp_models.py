"""Models from pymdp's agents and back; pymdp itself is needed only by those who have such agents.

The conventions are pymdp 1.0.4's, so that arrays go over as they are.
Of the older interface (``pymdp.legacy``, and pymdp 0.0.x) preferences are taken as it uses them:
the logarithm of their softmax.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from inspect import signature
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import Refused, suggest
from hocket.population.model import Model

_MISSING: Final = "pymdp is not installed: pip install inferactively-pymdp"
_TINY: Final = 1e-16
"""What pymdp's older interface adds before it takes a logarithm."""


def from_pymdp(agent: Any) -> Model:
    """Make a model of an agent of pymdp, 1.0.4 or legacy; its batch must be of equal agents.

    What the agent has believed and learned since it was made is not taken, but its Dirichlet
    parameters are.
    Whether a population learns is said by its group.

    Args:
        agent: A ``pymdp.agent.Agent`` or ``pymdp.legacy.agent.Agent``.

    Raises:
        Refused: if it does what Hocket does not, or is no such agent.
        SpecError: if its arrays are no model.
    """
    if hasattr(agent, "edge_handling_params"):
        return _from_legacy(agent)
    if all(hasattr(agent, name) for name in ("A_dependencies", "batch_size", "policies")):
        return _from_agent(agent)
    raise Refused(
        f"a {type(agent).__name__} is no agent of pymdp; give a pymdp.agent.Agent, "
        "or make a model of arrays with Model.of(A, B, ...)"
    )


def to_pymdp(model: Model, *, batch_size: int = 1, **overrides: Any) -> Any:
    """Make an agent of pymdp 1.0.4 that thinks as the model says; every B becomes a table.

    Args:
        model: The model.
        batch_size: How many such agents.
        overrides: Further arguments of ``pymdp.agent.Agent``, in place of the model's.

    Returns:
        A ``pymdp.agent.Agent``.

    Raises:
        Refused: if pymdp is missing, has no such argument, or cannot hold the model.
        SpecError: if a table would be too large.
    """
    try:
        kind = import_module("pymdp.agent").Agent
    except ImportError as error:
        raise Refused(_MISSING) from error
    known = signature(kind).parameters
    for name in overrides:
        if name not in known:
            hint = suggest(name, known) or "see its documentation"
            raise Refused(f"pymdp's Agent has no argument {name!r}; {hint}")
    if model.pD is not None:
        raise Refused("pymdp 1.0.4 does not learn D; leave pD out: replace(model, pD=None)")
    arguments = {
        "A": _arrays(model.A),
        "B": _arrays(model.table(f) for f in range(len(model.B))),
        "C": _arrays(row.T for row in model.C),
        "D": _arrays(model.D),
        "E": jnp.asarray(model.E),
        "pA": None if model.pA is None else _arrays(model.pA),
        "pB": None if model.pB is None else _arrays(model.pB),
        "A_dependencies": [list(row) for row in model.A_dependencies],
        "B_dependencies": [list(row) for row in model.B_dependencies],
        "policies": jnp.asarray(model.policies),
        "policy_len": model.horizon,
        "gamma": model.gamma,
        "alpha": model.alpha,
        "use_utility": model.utility,
        "use_states_info_gain": model.state_information,
        "use_param_info_gain": model.parameter_information,
        "action_selection": model.selection,
        "sampling_mode": model.sampling,
        "inference_algo": model.inference,
        "inference_horizon": model.window if model.inference == "vmp" else None,
        "num_iter": model.iterations,
        "batch_size": batch_size,
    }
    return kind(**arguments | overrides)


def _arrays(given: Iterable[NDArray[Any]]) -> list[Any]:
    return [jnp.asarray(array) for array in given]


def _from_agent(agent: Any) -> Model:
    """An agent of pymdp 1.0.4."""
    _refuse(agent.use_inductive, "plans by inductive inference")
    _refuse(agent.categorical_obs, "observes probabilities (categorical_obs)")
    _refuse(agent.preprocess_fn is not None, "changes what it observes (preprocess_fn)")
    factors = len(agent.B)
    # Each factor has its own action, and there is no map from joint actions to these.
    own = [[factor] for factor in range(factors)]
    joint = (
        agent.B_action_dependencies is not None
        and [list(row) for row in agent.B_action_dependencies] != own
    )
    _refuse(joint or agent.action_maps is not None, "moves factors by several actions")
    inference = agent.inference_algo
    if inference not in ("exact", "fpi", "vmp"):
        raise Refused(f"Hocket does not infer by {inference!r}; use fpi, vmp, or exact")
    window = 1
    if inference == "vmp":
        if agent.inference_horizon is None:
            raise Refused("vmp looks back without bound; give the agent an inference_horizon")
        window = agent.inference_horizon
    habits = _same(agent.E, "E")
    return Model.of(
        [_same(table, f"A[{m}]") for m, table in enumerate(agent.A)],
        [_same(table, f"B[{f}]") for f, table in enumerate(agent.B)],
        [_same(row, f"C[{m}]").T for m, row in enumerate(agent.C)],
        [_same(row, f"D[{f}]") for f, row in enumerate(agent.D)],
        habits / habits.sum(),
        A_dependencies=agent.A_dependencies,
        B_dependencies=agent.B_dependencies,
        policies=np.asarray(agent.policies.policy_arr),
        gamma=float(_same(agent.gamma, "gamma")),
        alpha=float(_same(agent.alpha, "alpha")),
        inference=inference,
        iterations=agent.num_iter,
        window=window,
        utility=agent.use_utility,
        state_information=agent.use_states_info_gain,
        parameter_information=agent.use_param_info_gain,
        selection=agent.action_selection,
        sampling=agent.sampling_mode,
        pA=_counts(agent.pA, "pA"),
        pB=_counts(agent.pB, "pB"),
    )


def _refuse(does: bool, what: str) -> None:
    if does:
        raise Refused(f"this agent {what}, which Hocket does not; make one without it")


def _same(batch: Any, name: str) -> NDArray[np.float64]:
    """What all agents of a batch share, as 64-bit floats."""
    array = np.asarray(batch, np.float64)
    if not np.array_equal(array, np.broadcast_to(array[:1], array.shape), equal_nan=True):
        raise Refused(
            f"the agents of this batch differ in {name}, and a model is shared by all of a group; "
            "make an agent, and a group, for each kind"
        )
    first: NDArray[np.float64] = array[0]
    return first


def _counts(batch: Sequence[Any] | None, name: str) -> list[NDArray[np.float64]] | None:
    if batch is None:
        return None
    if any(row is None for row in batch):
        raise Refused(f"{name} has parameters for some tables only; give it for all")
    return [_same(row, f"{name}[{number}]") for number, row in enumerate(batch)]


def _from_legacy(agent: Any) -> Model:
    """An agent of pymdp's older interface."""
    _refuse(bool(getattr(agent, "sophisticated", False)), "plans by sophisticated inference")
    _refuse(getattr(agent, "I", None) is not None, "plans by inductive inference")
    if agent.inference_algo != "VANILLA":
        raise Refused(f"Hocket does not infer by {agent.inference_algo!r}; use VANILLA")
    plans = [np.asarray(plan) for plan in agent.policies]
    if len({plan.shape for plan in plans}) > 1:
        raise Refused("the agent's policies have different lengths; make them equally long")
    factors = range(len(agent.B))
    habits = np.asarray(agent.E, np.float64)
    rows = getattr(agent, "A_factor_list", None), getattr(agent, "B_factor_list", None)
    return Model.of(
        _rows(agent.A),
        _rows(agent.B),
        [_log_softmax(row) for row in _rows(agent.C)],
        _rows(agent.D),
        habits / habits.sum(),
        A_dependencies=rows[0] or [list(factors)] * len(agent.A),
        B_dependencies=rows[1] or [[factor] for factor in factors],
        policies=np.stack(plans),
        gamma=agent.gamma,
        alpha=agent.alpha,
        inference="fpi",
        iterations=agent.inference_params["num_iter"],
        utility=bool(agent.use_utility),
        state_information=bool(agent.use_states_info_gain),
        parameter_information=bool(agent.use_param_info_gain),
        selection=agent.action_selection,
        sampling=agent.sampling_mode,
        pA=None if agent.pA is None else _rows(agent.pA),
        pB=None if agent.pB is None else _rows(agent.pB),
        pD=None if agent.pD is None else _rows(agent.pD),
    )


def _rows(given: Any) -> list[NDArray[np.float64]]:
    return [np.asarray(row, np.float64) for row in given]


def _log_softmax(row: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the older interface makes of preferences: ln(softmax(C) + 1e-16), column by column."""
    shares = np.exp(row - row.max(axis=0))
    result: NDArray[np.float64] = np.log(shares / shares.sum(axis=0) + _TINY)
    return result
