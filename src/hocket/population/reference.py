"""One agent as an object, in NumPy and 64-bit floats: what `Population` does, without its haste.

It loops over policies as a person would write it down, and is here to be read, to be compared with,
and to be what an agent costs that is an object of its own.
See `inference`, `planning`, `choice` and `learning` for where the formulas come from.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma  # type: ignore[import-untyped]

from hocket.population.model import FLOOR, Model
from hocket.population.transitions import Floats

Vector: TypeAlias = NDArray[np.float64]


class ReferenceAgent:
    """An agent that has a model of its own.

    Args:
        model: What it takes the world to be; its A, B, D and their counts are copied.
        seed: What its own chance depends on.

    Fields:
        expected: What it believes before it sees, of each factor.
        beliefs: What it believes since it saw, of each factor; `before`, the step before.
        free_energy: The variational free energy of its beliefs.
        q_pi: How probable each policy is; `neg_efe`, its negative expected free energy.
        action: What it did last, of each factor.
    """

    def __init__(self, model: Model, *, seed: int = 0) -> None:
        self.model = model
        self.chance = np.random.default_rng(seed)
        self.A = [table.copy() for table in model.A]
        self.B = [model.table(factor).copy() for factor in range(len(model.B))]
        self.D = [belief.copy() for belief in model.D]
        self.pA = None if model.pA is None else [counts.copy() for counts in model.pA]
        self.pB = None if model.pB is None else [counts.copy() for counts in model.pB]
        self.pD = None if model.pD is None else [counts.copy() for counts in model.pD]
        self.begin()

    def begin(self) -> None:
        """Begin an episode: nothing was seen or done yet."""
        self.expected: list[Vector] = [belief.copy() for belief in self.D]
        self.beliefs: list[Vector] = []
        self.before: list[Vector] = []
        self.action: list[int] = []

    def step(self, obs: list[int]) -> list[int]:
        """See, infer, plan, and choose what to do, one action for each factor."""
        self.infer_states(obs)
        self.infer_policies()
        return self.sample_action()

    def infer_states(self, obs: list[int]) -> list[Vector]:
        """Take in an observation, one number for each modality; what it believes of each factor."""
        likelihoods = [ln(table[seen]) for table, seen in zip(self.A, obs, strict=True)]
        expected = [ln(belief) for belief in self.expected]
        rounds = 1 if len(expected) == 1 else self.model.iterations
        logs = [np.zeros_like(log) for log in expected]
        for _ in range(rounds):
            beliefs = [softmax(log) for log in logs]
            logs = [log.copy() for log in expected]
            for likelihood, factors in zip(likelihoods, self.model.A_dependencies, strict=True):
                parents = [beliefs[factor] for factor in factors]
                for place, factor in enumerate(factors):
                    logs[factor] += mean(likelihood, parents, keep=place)
        self.before, self.beliefs = self.beliefs, [softmax(log) for log in logs]
        self.free_energy = sum(
            float(belief @ (ln(belief) - log))
            for belief, log in zip(self.beliefs, expected, strict=True)
        ) - sum(
            float(mean(likelihood, [self.beliefs[factor] for factor in factors]))
            for likelihood, factors in zip(likelihoods, self.model.A_dependencies, strict=True)
        )
        return self.beliefs

    def infer_policies(self) -> tuple[Vector, Vector]:
        """How probable each policy is, and its negative expected free energy."""
        terms = [self.terms(policy) for policy in self.model.policies]
        self.neg_efe = np.array([sum(term) for term in terms])
        self.q_pi = softmax(self.model.gamma * self.neg_efe + ln(self.model.E))
        return self.q_pi, self.neg_efe

    def terms(self, policy: NDArray[np.int32]) -> tuple[float, float, float]:
        """Utility, state information and parameter information of a policy, [length, factors]."""
        model = self.model
        utility = states = parameters = 0.0
        beliefs = self.beliefs
        for step, action in enumerate(policy):
            before, beliefs = beliefs, self.predict(beliefs, [int(one) for one in action])
            if model.parameter_information and self.pB is not None:
                for factor, parents in enumerate(model.B_dependencies):
                    weight = novelty(self.pB[factor][..., action[factor]])
                    said = mean_rows(weight, [before[parent] for parent in parents])
                    parameters += float(beliefs[factor] @ said)
            for modality, factors in enumerate(model.A_dependencies):
                parents_now = [beliefs[factor] for factor in factors]
                table, wanted = self.A[modality], model.C[modality]
                seen = mean_rows(table, parents_now)
                if model.utility:
                    utility += float(seen @ (wanted[:, step] if wanted.ndim > 1 else wanted))
                if model.state_information:
                    ambiguity = -(table * ln(table)).sum(axis=0)
                    states += float(-(seen @ ln(seen)) - mean(ambiguity, parents_now))
                if model.parameter_information and self.pA is not None:
                    said = mean_rows(novelty(self.pA[modality]), parents_now)
                    parameters += float(seen @ said)
        return utility, states, parameters

    def predict(self, beliefs: list[Vector], action: list[int]) -> list[Vector]:
        """What it would believe after acting, before it sees."""
        return [
            mean_rows(self.B[factor][..., action[factor]], [beliefs[parent] for parent in parents])
            for factor, parents in enumerate(self.model.B_dependencies)
        ]

    def sample_action(self, uniforms: list[float] | None = None) -> list[int]:
        """Choose what to do, one action for each factor, and expect what comes of it.

        Args:
            uniforms: Numbers in [0, 1), where actions are drawn: one, or one for each controlled
                factor if they are drawn apart; from its own chance, if left out.
        """
        draws = iter(self.chance.random(len(self.model.B)) if uniforms is None else uniforms)
        policies, q_pi = self.model.policies, self.q_pi
        if self.model.sampling == "full":
            acts, number = np.unique(policies[:, 0], axis=0, return_inverse=True)
            if self.model.selection == "deterministic":
                action = policies[int(np.argmax(q_pi)), 0]
            else:
                weights = summed(number.reshape(-1), self._sharpened(q_pi), len(acts))
                action = acts[drawn(weights, next(draws))]
            self.action = [int(one) for one in action]
        else:
            self.action = []
            for factor, count in enumerate(self.model.actions):
                marginal = summed(policies[:, 0, factor], q_pi, count)
                if self.model.selection == "deterministic" or count == 1:
                    self.action.append(int(np.argmax(marginal)))
                else:
                    self.action.append(drawn(self._sharpened(marginal), next(draws)))
        self.expected = self.predict(self.beliefs, self.action)
        return self.action

    def update(
        self, obs: list[int], *, A: bool = False, B: bool = False, D: bool = False, rate: float = 1
    ) -> None:
        """Learn from the present step: what states look like, what the last action did.

        Call it after `infer_states` of the same observation and before the next `sample_action`;
        what is to be learned must have counts in the model.

        Args:
            obs: What it saw.
            A: Whether to learn A.
            B: Whether to learn B; without a step before there is nothing to learn.
            D: Whether to learn D; for the first step of an episode.
            rate: What an observation counts.
        """
        if A and self.pA is not None:
            for modality, factors in enumerate(self.model.A_dependencies):
                joint = outer([self.beliefs[factor] for factor in factors])
                self.pA[modality][obs[modality]] += rate * joint
                self.A[modality] = normalised(np.maximum(self.pA[modality], FLOOR))
        if B and self.pB is not None and self.before:
            for factor, parents in enumerate(self.model.B_dependencies):
                joint = outer([self.beliefs[factor], *(self.before[parent] for parent in parents)])
                self.pB[factor][..., self.action[factor]] += rate * joint
                self.B[factor] = normalised(np.maximum(self.pB[factor], FLOOR))
        if D and self.pD is not None:
            for counts, belief in zip(self.pD, self.beliefs, strict=True):
                counts += rate * np.where(counts > 0, belief, 0)
            self.D = [normalised(counts) for counts in self.pD]

    def _sharpened(self, probabilities: Vector) -> Vector:
        """What actions are drawn in proportion to."""
        weights: Vector = np.maximum(probabilities, FLOOR) ** self.model.alpha
        return weights


def summed(number: NDArray[np.integer[Any]], weights: Vector, count: int) -> Vector:
    """The sum of the weights of each number from 0."""
    total: Vector = np.bincount(number, weights, count).astype(np.float64)
    return total


def ln(values: Floats) -> Floats:
    """The natural logarithm of probabilities, none below `FLOOR`."""
    logs: Floats = np.log(np.maximum(values, FLOOR))
    return logs


def softmax(values: Vector) -> Vector:
    """Probabilities in proportion to the exponentials."""
    weights: Vector = np.exp(values - values.max())
    shares: Vector = weights / weights.sum()
    return shares


def normalised(values: Floats) -> Floats:
    """Probabilities along the first axis."""
    shares: Floats = values / values.sum(axis=0)
    return shares


def outer(beliefs: list[Vector]) -> Floats:
    """The joint belief about independent factors, an axis for each."""
    joint = beliefs[0]
    for belief in beliefs[1:]:
        joint = joint[..., None] * belief
    return joint


def mean(values: Floats, beliefs: list[Vector], keep: int | None = None) -> Floats:
    """The expectation over independent factors, an axis for each; all of them, or all but one."""
    for axis in reversed(range(len(beliefs))):
        if axis != keep:
            values = np.moveaxis(values, axis, -1) @ beliefs[axis]
    return values


def mean_rows(table: Floats, beliefs: list[Vector]) -> Vector:
    """The expectation of each row of a table over independent factors."""
    means: Vector = table.reshape(len(table), -1) @ outer(beliefs).reshape(-1)
    return means


def novelty(counts: Floats) -> Floats:
    """What one more observation is expected to say about the probabilities, in nats."""
    alpha = np.maximum(counts, FLOOR)
    total = alpha.sum(axis=0)
    gain: Floats = np.log(total / alpha) + digamma(alpha + 1) - digamma(total + 1)
    return gain * (counts > 0)


def drawn(weights: Vector, uniform: float) -> int:
    """The first whose cumulative weight exceeds the uniform share."""
    cumulative = np.cumsum(weights)
    return min(int((cumulative <= uniform * cumulative[-1]).sum()), len(weights) - 1)
