"""What agents expect of each policy: the terms of its (negative) expected free energy.

    utility                what they prefer, as far as they expect to see it
    state information      what the observations will say about the states
    parameter information  what will be learned about A and B

The numbers are pymdp 1.0.4's (`compute_neg_efe_policy` of its `control`), in its sign: the sum of
the three, which is the negative of the expected free energy, is better the higher it is.

Policies that begin alike are the same until they part.
So beliefs are predicted once for each beginning that matters to a factor, and observations once for
each that matters to a modality; which these are is worked out once, on the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma

from hocket.population.inference import Beliefs, at_least, ln
from hocket.population.model import Model
from hocket.population.moving import move
from hocket.population.tables import Moves, Tables
from hocket.population.transitions import Dense, Grid, Ints, Lists


class Terms(NamedTuple):
    """The negative expected free energy of each policy, in nats, by its reason.

    Fields:
        utility: [policies, N].
        state_information: [policies, N].
        parameter_information: [policies, N].
    """

    utility: jax.Array
    state_information: jax.Array
    parameter_information: jax.Array


@dataclass(frozen=True)
class Branch:
    """The different beginnings of policies, up to one step, as far as they matter to one thing.

    Fields:
        sources: Of each factor that this depends on, the number of the beginning that counts.
        actions: Of a factor, what is done last: (action, first beginning, after the last) each.
        beginning: The number of each policy's beginning, [policies].
    """

    sources: tuple[Ints, ...]
    actions: tuple[tuple[int, int, int], ...]
    beginning: Ints


class Planner:
    """What the policies of a model are worth.

    Args:
        model: The model; what is fixed is taken from it, the numbers from `Tables`.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.factors: list[tuple[Branch, ...]] = []
        self.modalities: list[tuple[Branch, ...]] = []
        # Before the first step all policies are alike.
        parts = [np.zeros(len(model.policies), np.int32) for _ in model.B]
        for step in range(model.horizon):
            acts = model.policies[:, step]
            moved = tuple(
                _branch([parts[parent] for parent in parents], acts[:, factor])
                for factor, parents in enumerate(model.B_dependencies)
            )
            parts = [branch.beginning for branch in moved]
            self.factors.append(moved)
            self.modalities.append(
                tuple(
                    _branch([parts[parent] for parent in parents])
                    for parents in model.A_dependencies
                )
            )

    def prepare(self, tables: Tables) -> dict[str, Any]:
        """What does not change before A or B is learned anew; to be put in `Tables.plan`.

        Args:
            tables: The model's arrays.

        Returns:
            "rows": of each modality the linear functions of its states, [rows, states...]: the
            observations, their ambiguity, and the novelty of each observation, as far as needed.
            "novelty": of each factor the novelty of each transition, as B.
        """
        model = self.model
        rows = []
        for number, table in enumerate(tables.A):
            parts = [table]
            if model.state_information:
                parts.append(-(table * ln(table)).sum(axis=0, keepdims=True))
            if model.parameter_information and tables.pA:
                parts.append(novelty(tables.pA[number]))
            rows.append(jnp.concatenate(parts) if len(parts) > 1 else table)
        learned = tables.pB if model.parameter_information else ()
        return {"rows": tuple(rows), "novelty": tuple(novelty(counts) for counts in learned)}

    def neg_efe(
        self, tables: Tables, posterior: Beliefs, preferences: Sequence[jax.Array] | None = None
    ) -> jax.Array:
        """The sum of the terms that the model counts, [policies, N]; see `terms`."""
        utility, states, parameters = self.terms(tables, posterior, preferences)
        return utility + states + parameters

    def terms(
        self, tables: Tables, posterior: Beliefs, preferences: Sequence[jax.Array] | None = None
    ) -> Terms:
        """The negative expected free energy of each policy; 0 for terms that the model leaves out.

        Args:
            tables: The model's arrays.
            posterior: What agents believe, of each factor [states, N].
            preferences: Of each modality [observations], or [observations, N] of each agent's own;
                where the model's differ by step, [observations, steps] or [observations, steps, N].
                Those of the tables, if left out.
        """
        model = self.model
        plan = tables.plan if "rows" in tables.plan else self.prepare(tables)
        preferences = tables.C if preferences is None else preferences
        none = jnp.zeros((len(model.policies), *posterior[0].shape[1:]), posterior[0].dtype)
        utility, states, parameters = none, none, none
        beliefs = tuple(belief[:, None] for belief in posterior)
        for step in range(model.horizon):
            before = beliefs
            beliefs = ()
            for factor, branch in enumerate(self.factors[step]):
                parents = joint(before, model.B_dependencies[factor], branch.sources)
                after = _after(model, tables, factor, branch, parents)
                beliefs += (after,)
                if plan["novelty"]:
                    changes = _for_each(plan["novelty"][factor], branch, parents)
                    parameters = parameters + (after * changes).sum(axis=0)[branch.beginning]
            for modality, branch in enumerate(self.modalities[step]):
                parents = joint(beliefs, model.A_dependencies[modality], branch.sources)
                rows = product(plan["rows"][modality], parents)
                count = model.observations[modality]
                seen, rest = rows[:count], rows[count:]
                if model.utility:
                    wanted = preferences[modality]
                    if model.C[modality].ndim > 1:
                        wanted = wanted[:, step]
                    # One value for all agents, or each agent's own.
                    value = (seen * wanted.reshape(count, 1, -1)).sum(axis=0)
                    utility = utility + value[branch.beginning]
                if model.state_information:
                    gain = -(seen * ln(seen)).sum(axis=0) - rest[0]
                    states, rest = states + gain[branch.beginning], rest[1:]
                if len(rest):
                    gain = (seen * rest).sum(axis=0)
                    parameters = parameters + gain[branch.beginning]
        return Terms(utility, states, parameters)


def predict(model: Model, tables: Tables, beliefs: Beliefs, action: jax.Array) -> Beliefs:
    """What agents expect after acting, before they see: the prior of the next step.

    Args:
        model: The model.
        tables: Its arrays; those of B may be each agent's own, the agents last.
        beliefs: Of each factor [states, N].
        action: What each agent does, [factors, N].
    """
    expected: Beliefs = ()
    for factor, parents in enumerate(model.B_dependencies):
        kind, moves = model.B[factor], tables.B[factor]
        acts = action[factor]
        if parents == (factor,) and not _own(moves, parents):
            expected += (move(kind, moves, beliefs[factor], acts),)
            continue
        states = joint([belief[:, None] for belief in beliefs], parents)
        expected += (by_table(moves["table"], states[:, 0], acts, kind.actions),)
    return expected


def by_table(table: jax.Array, states: jax.Array, acts: jax.Array, actions: int) -> jax.Array:
    """Linear functions of beliefs that differ by what each agent does.

    Args:
        table: [rows, states..., actions], or [rows, states..., actions, N] of each agent's own.
        states: Joint beliefs, [product of the states, N].
        acts: What each agent does, [N]; nothing comes of what is below 0.
        actions: How many actions there are.

    Returns:
        [rows, N].
    """
    done = (acts == jnp.arange(actions)[:, None]).astype(states.dtype)
    # One product: the joint belief stands where the action is the agent's, else 0.
    apart = (states[:, None] * done).reshape(-1, 1, states.shape[-1])
    return product(table, apart)[:, 0]


def joint(
    beliefs: Sequence[jax.Array],
    factors: Sequence[int],
    sources: Sequence[Ints] | None = None,
) -> jax.Array:
    """Beliefs about several factors at once, taken to be independent.

    Args:
        beliefs: Of each factor [states, beginnings, N].
        factors: Those that are joined.
        sources: For each of these, which beginnings; all, if left out.

    Returns:
        [product of their states, beginnings, N], the last factor's state varying first.
    """
    together: jax.Array | None = None
    for place, factor in enumerate(factors):
        belief = beliefs[factor]
        if sources is not None and not _all(sources[place], belief.shape[1]):
            belief = belief[:, sources[place]]
        if together is None:
            together = belief
        else:
            both = together[:, None] * belief[None]
            together = both.reshape(-1, *both.shape[2:])
    assert together is not None
    return together


def product(table: jax.Array, states: jax.Array) -> jax.Array:
    """Linear functions of beliefs.

    Args:
        table: [rows, states...], or [rows, states..., N] where each agent has its own.
        states: Joint beliefs, [product of the states, beginnings, N].

    Returns:
        [rows, beginnings, N].
    """
    many, beginnings, agents = states.shape
    if table.size == table.shape[0] * many:
        flat = jnp.dot(
            table.reshape(-1, many), states.reshape(many, -1), precision=jax.lax.Precision.HIGHEST
        )
        return flat.reshape(-1, beginnings, agents)
    own = table.reshape(table.shape[0], many, agents)
    return jnp.einsum("rsn,sbn->rbn", own, states, precision=jax.lax.Precision.HIGHEST)


def novelty(counts: jax.Array) -> jax.Array:
    """What one more observation is expected to say about the probabilities, in nats.

    Da Costa et al. 2020, eq. D.15, with the recurrence of the digamma function as pymdp has it;
    what has no count at all cannot happen, and says nothing.

    Args:
        counts: Dirichlet parameters, normalised along the first axis.
    """
    alpha = at_least(counts)
    total = at_least(alpha.sum(axis=0))
    gain = jnp.log(total) - jnp.log(alpha) + digamma(alpha + 1) - digamma(total + 1)
    return gain * (counts > 0)


def _branch(parts: Sequence[Ints], acts: Ints | None = None) -> Branch:
    """Tell policies apart by the beginnings of what they depend on, and by what is done now."""
    columns = [*([] if acts is None else [acts]), *parts]
    _, first, beginning = np.unique(
        np.stack(columns, axis=1), axis=0, return_index=True, return_inverse=True
    )
    spans = []
    if acts is not None:
        # The beginnings are in order of the action, which is the first column.
        done = acts[first]
        for action in np.unique(done):
            where = np.flatnonzero(done == action)
            spans.append((int(action), int(where[0]), int(where[-1]) + 1))
    return Branch(
        sources=tuple(np.asarray(part[first], np.int32) for part in parts),
        actions=tuple(spans),
        beginning=np.asarray(beginning.reshape(-1), np.int32),
    )


def _own(moves: Moves, parents: Sequence[int]) -> bool:
    """Whether each agent has a transition of its own."""
    return "table" in moves and moves["table"].ndim > len(parents) + 2


def _all(sources: Ints, count: int) -> bool:
    """Whether that is each beginning, in order."""
    return len(sources) == count and bool((sources == np.arange(count)).all())


def _after(
    model: Model, tables: Tables, factor: int, branch: Branch, parents: jax.Array
) -> jax.Array:
    """What is believed of a factor after the last action of each beginning."""
    kind, moves = model.B[factor], tables.B[factor]
    if isinstance(kind, Dense):
        return _for_each(moves["table"], branch, parents)
    moved = []
    for action, start, stop in branch.actions:
        part = parents[:, start:stop]
        # As a transition that knows this action alone, so that no other is reckoned.
        one = slice(action, action + 1)
        if isinstance(kind, Grid):
            alone: Grid | Lists = replace(kind, moves=kind.moves[one])
        else:
            alone = Lists(kind.next[one], kind.weight[one])
        only = {name: array[one] for name, array in moves.items()}
        flat = move(alone, only, part.reshape(part.shape[0], -1), jnp.int32(0))
        moved.append(flat.reshape(part.shape))
    return jnp.concatenate(moved, axis=1)


def _for_each(table: jax.Array, branch: Branch, parents: jax.Array) -> jax.Array:
    """The product of each action's part of a table, [next, from..., action], with its beginnings.

    A table of each agent's own has the agents last.
    """
    shared = table.ndim == len(branch.sources) + 2
    parts = [
        product(table[..., action] if shared else table[..., action, :], parents[:, start:stop])
        for action, start, stop in branch.actions
    ]
    return jnp.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
