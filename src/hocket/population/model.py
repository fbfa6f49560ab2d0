"""What a kind of agent takes the world to be: a discrete generative model, in pymdp's conventions.

    A[m][o, s, ...]     probability of observation o of modality m, given the states of the factors
                        in A_dependencies[m]
    B[f][s', s, ..., u] probability of the next state of factor f, given the states of the factors
                        in B_dependencies[f] and its action u
    C[m][o]             preference for an observation, in nats; or [o, t] for each step ahead
    D[f][s]             belief about the state at the beginning
    E[p]                habit: the probability of a policy before anything is seen

Everything is normalised along its first axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from hocket.population.assembly import assembled
from hocket.population.transitions import Dense, Floats, Ints, Transition

Inference: TypeAlias = Literal["exact", "fpi", "vmp"]
"""How states are inferred: exactly (one factor), by fixed-point iteration, by message passing."""

FLOOR = 2.0**-52
"""The least probability whose logarithm is taken, in pymdp and so here, whatever the precision."""

Selection: TypeAlias = Literal["deterministic", "stochastic"]
Sampling: TypeAlias = Literal["marginal", "full"]


SETTINGS: Final = (
    "gamma",
    "alpha",
    "inference",
    "iterations",
    "window",
    "utility",
    "state_information",
    "parameter_information",
    "selection",
    "sampling",
)
"""How a model infers, plans and chooses: the fields that are kept as they are in files and GMN."""


@dataclass(frozen=True)
class Names:
    """What the parts of a model are called, for people; empty where nobody has named them.

    Fields:
        factors: The state factors.
        states: The states of each factor.
        modalities: The observation modalities.
        observations: The observations of each modality.
        actions: The actions of each factor.
    """

    factors: tuple[str, ...] = ()
    states: tuple[tuple[str, ...], ...] = ()
    modalities: tuple[str, ...] = ()
    observations: tuple[tuple[str, ...], ...] = ()
    actions: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A discrete generative model, with how to infer, plan and choose; make it with `Model.of`.

    Fields:
        A, B, C, D, E: As the module says; 64-bit floats.
        A_dependencies: The factors that each modality depends on.
        B_dependencies: The factors that each factor's next state depends on.
        policies: Actions, [policies, length, factors].
        gamma: Precision of policies; higher is more decided.
        alpha: Precision of actions, where they are sampled.
        inference: How states are inferred.
        iterations: How often "fpi" and "vmp" go round.
        window: How many steps back "vmp" looks, the present one included.
        utility: Whether preferences count in the expected free energy.
        state_information: Whether what an observation says about states counts.
        parameter_information: Whether what it says about A and B counts (needs pA or pB).
        selection: Whether the likeliest action is taken, or one is drawn.
        sampling: Whether a policy is chosen ("full") or an action of each factor ("marginal").
        pA, pB, pD: Dirichlet parameters of A, B and D, or None where nothing is learned.
        names: What the parts are called.
    """

    A: tuple[Floats, ...]
    B: tuple[Transition, ...]
    C: tuple[Floats, ...]
    D: tuple[Floats, ...]
    E: Floats
    A_dependencies: tuple[tuple[int, ...], ...]
    B_dependencies: tuple[tuple[int, ...], ...]
    policies: Ints
    gamma: float = 1.0
    alpha: float = 1.0
    inference: Inference = "fpi"
    iterations: int = 16
    window: int = 1
    utility: bool = True
    state_information: bool = True
    parameter_information: bool = False
    selection: Selection = "deterministic"
    sampling: Sampling = "full"
    pA: tuple[Floats, ...] | None = None
    pB: tuple[Floats, ...] | None = None
    pD: tuple[Floats, ...] | None = None
    names: Names = field(default_factory=Names)

    @property
    def states(self) -> tuple[int, ...]:
        """How many states each factor has."""
        return tuple(move.states for move in self.B)

    @property
    def observations(self) -> tuple[int, ...]:
        """How many observations each modality has."""
        return tuple(int(table.shape[0]) for table in self.A)

    @property
    def actions(self) -> tuple[int, ...]:
        """How many actions each factor has; 1 where it is not controlled."""
        return tuple(move.actions for move in self.B)

    @property
    def controlled(self) -> tuple[int, ...]:
        """The factors that actions move."""
        return tuple(f for f, count in enumerate(self.actions) if count > 1)

    @property
    def horizon(self) -> int:
        """How many steps policies look ahead."""
        return int(self.policies.shape[1])

    @classmethod
    def of(
        cls,
        A: Sequence[Any],
        B: Sequence[Any],
        C: Sequence[Any] | None = None,
        D: Sequence[Any] | None = None,
        E: Any = None,
        *,
        A_dependencies: Sequence[Sequence[int]] | None = None,
        B_dependencies: Sequence[Sequence[int]] | None = None,
        policies: Any = None,
        policy_length: int = 1,
        **settings: Any,
    ) -> Model:
        """Make a model of arrays, and check it.

        Args:
            A: A table for each modality.
            B: For each factor a table, `Lists` or `Grid`.
            C: Preferences; none (0 nats everywhere) if left out.
            D: Beliefs at the beginning; uniform if left out.
            E: Habits; uniform if left out.
            A_dependencies: Every factor, if left out.
            B_dependencies: Each factor itself, if left out.
            policies: Actions, [policies, length, factors]; every sequence, if left out.
            policy_length: How long those are.
            settings: Further fields of `Model`.

        Raises:
            SpecError: if shapes do not fit, or numbers are no probabilities; it names each problem.
        """
        fields = assembled(
            A,
            B,
            C,
            D,
            E,
            A_dependencies=A_dependencies,
            B_dependencies=B_dependencies,
            policies=policies,
            policy_length=policy_length,
            settings=settings,
        )
        return cls(**fields)

    def table(self, factor: int) -> Floats:
        """B of one factor as a table, however it is kept.

        Raises:
            SpecError: if that would take more than 1 GB.
        """
        move = self.B[factor]
        return move.table if isinstance(move, Dense) else move.dense()
