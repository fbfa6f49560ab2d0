"""The agents of one group between two ticks, for whoever reads or sets something of them.

A language agent, a person or a program joins a population here, and nowhere inside a tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hocket.core.errors import NotFound, Refused
from hocket.population.arrays import Arrays
from hocket.population.devices import fetch
from hocket.population.flat import GroupState
from hocket.population.group import Group
from hocket.population.judging import is_positive, numbers_of
from hocket.population.rows import Places, Rows, places_of, stretches
from hocket.population.wishes import Wishes, rows_of


class Held(NamedTuple):
    """What agents hold of one factor, in the order of their numbers.

    Fields:
        likeliest: The state that each thinks likeliest, [agents].
        entropy: How unsure each is, in nats, [agents].
    """

    likeliest: NDArray[np.int32]
    entropy: NDArray[np.float32]


class Slots:
    """The living agents of a group, in the order of their numbers.

    Args:
        held: The population's arrays.
        group: The group.
    """

    def __init__(self, held: Arrays, group: Group) -> None:
        self._held = held
        self._group = group

    def _state(self) -> GroupState:
        return self._held.state.groups[self._held.index(self._group.name)]

    @property
    def ids(self) -> NDArray[np.uint32]:
        """The numbers of the living agents, ascending."""
        state = self._state()
        living: NDArray[np.uint32] = np.sort(fetch(state.ids)[fetch(state.alive)])
        return living

    def beliefs(self, ids: ArrayLike | None = None) -> tuple[NDArray[Any], ...]:
        """What agents expect before they next see something.

        Args:
            ids: Whose; of all living agents, if left out.

        Returns:
            For each factor [agents, states].

        Raises:
            NotFound: if there is no living agent of such a number.
            Refused: if these are no numbers, or the group's beliefs are kept in another form.
        """
        mind = self._state().mind
        if self._group.beliefs != "full":
            raise Refused(f"the beliefs of {self._group.name} are kept in two levels")
        return tuple(self._of(leaf, ids) for leaf in mind["belief"])

    def held(self) -> tuple[Held, ...]:
        """What all living agents hold likeliest, and how sure they are, for each factor.

        Raises:
            Refused: if the group's beliefs are kept in another form.
        """
        state = self._state()
        if self._group.beliefs != "full":
            raise Refused(f"the beliefs of {self._group.name} are kept in two levels")
        places = places_of(state.ids, state.alive)
        return tuple(_held(Rows(belief), places) for belief in state.mind["belief"])

    def mean_belief(self, factor: int) -> NDArray[np.float64]:
        """The mean of what all living agents believe of a factor, [states]; 0 where none lives.

        Raises:
            Refused: if the group's beliefs are kept in another form.
        """
        state = self._state()
        if self._group.beliefs != "full":
            raise Refused(f"the beliefs of {self._group.name} are kept in two levels")
        belief = Rows(state.mind["belief"][factor])
        places = places_of(state.ids, state.alive)
        total = np.zeros(belief.size)
        for some in stretches(places, belief.size):
            total += belief.of(some).sum(0, dtype=np.float64)
        return total / max(1, len(places[0]))

    def seen(self, ids: ArrayLike | None = None) -> NDArray[np.int32]:
        """What agents saw last, [agents, modalities]."""
        return self._of(self._state().seen, ids)

    def preferences(self, ids: ArrayLike | None = None) -> tuple[NDArray[Any], ...]:
        """What agents want.

        Args:
            ids: Whose; of all living agents, if left out.

        Returns:
            For each modality [agents, observations], in nats; or [observations], or
            [observations, steps], where all agents of the group share it.

        Raises:
            NotFound: if there is no living agent of such a number.
        """
        state = self._state()
        if self._group.own_preferences:
            return tuple(self._of(leaf, ids) for leaf in state.mind["preferences"])
        return tuple(map(fetch, self._held.state.tables[self._held.index(self._group.name)].C))

    def set_preferences(self, preferences: Wishes, ids: ArrayLike | None = None) -> None:
        """Say what agents shall want from the next tick on.

        Args:
            preferences: Numbers by observations' names, where what is not named is 0; or for each
                modality [observations], in nats, or, where the model's differ by step,
                [observations, steps].
            ids: Whose; of all agents, those to come included, if left out.

        Raises:
            SpecError: if shapes or names do not fit, or a number is not finite.
            Refused: if single agents were named and the group's preferences are shared.
            NotFound: if there is no living agent of such a number.
        """
        wanted = rows_of(self._group.model, preferences, ("preferences",))
        if not self._group.own_preferences:
            if ids is not None:
                raise Refused(
                    f"the agents of {self._group.name} share their preferences; "
                    "make the group with own_preferences=True"
                )
            self._held.put_preferences(self._group.name, wanted)
            return
        if ids is None:
            self._held.put_preferences(self._group.name, wanted)
        present = self._state().mind["preferences"]
        self._held.put(
            self._group.name,
            "preferences",
            [self._with(leaf, row, ids) for leaf, row in zip(present, wanted, strict=True)],
        )

    def set_precision(self, gamma: float, ids: ArrayLike | None = None) -> None:
        """Say how decided agents shall be from the next tick on.

        Args:
            gamma: The precision of policies, above 0.
            ids: Whose; of all agents, those to come included, if left out.

        Raises:
            Refused: if it is no precision, or single agents were named and it is shared.
            NotFound: if there is no living agent of such a number.
        """
        if not is_positive(gamma):
            raise Refused(f"gamma {gamma!r}: a precision is a finite number above 0")
        if not self._group.own_precision and ids is not None:
            raise Refused(
                f"the agents of {self._group.name} share their precision; "
                "make the group with own_precision=True"
            )
        if ids is None:
            self._held.put_gamma(self._group.name, gamma)
        if self._group.own_precision:
            present = self._state().mind["precision"]
            self._held.put(
                self._group.name, "precision", [self._with(present, np.asarray(gamma), ids)]
            )

    def summary(self) -> dict[str, Any]:
        """The group in a few lines of JSON, small enough for a prompt.

        How many live; of each factor how sure agents are (entropy in nats, mean) and which states
        they think likeliest, with the share of agents that do (at most ten); of each modality how
        often each observation was seen last.
        """
        model, names = self._group.model, self._group.model.names
        ids = self.ids
        result: dict[str, Any] = {"group": self._group.name, "agents": len(ids)}
        if not len(ids):
            return result
        seen = self.seen()
        result["seen"] = {
            _name(names.modalities, m, "modality"): {
                _name(names.observations[m] if names.observations else (), o, "observation"): round(
                    float((seen[:, m] == o).mean()), 4
                )
                for o in range(many)
            }
            for m, many in enumerate(model.observations)
        }
        if self._group.beliefs == "full":
            result["beliefs"] = {
                _name(names.factors, f, "factor"): _told(
                    held, model.states[f], names.states[f] if names.states else ()
                )
                for f, held in enumerate(self.held())
            }
        return result

    def _places(self, ids: ArrayLike | None) -> Places:
        """Where agents are, in the order of `ids` or of all living agents."""
        state = self._state()
        blocks, lanes = places_of(state.ids, state.alive)
        if ids is None:
            return blocks, lanes
        wanted = numbers_of(ids, self._group.name)
        living = fetch(state.ids)[blocks, lanes]
        place = np.searchsorted(living, wanted)
        known = (place < len(living)) & (living[np.minimum(place, len(living) - 1)] == wanted)
        if not known.all():
            raise NotFound(f"no living agent {wanted[~known][0]} in {self._group.name}")
        return blocks[place], lanes[place]

    def _of(self, leaf: Any, ids: ArrayLike | None) -> NDArray[Any]:
        """Rows of some agents, [agents, ...], of an array [blocks, ..., lanes]."""
        return Rows(leaf).of(self._places(ids))

    def _with(self, leaf: Any, row: NDArray[Any], ids: ArrayLike | None) -> NDArray[Any]:
        """An array [blocks, ..., lanes] in which some agents have been given a row."""
        blocks, lanes = self._places(ids)
        result = fetch(leaf).copy()
        np.moveaxis(result, -1, 1)[blocks, lanes] = row
        return result


def _name(names: Sequence[str], number: int, kind: str) -> str:
    return names[number] if names else f"{kind} {number}"


def _held(belief: Rows, places: Places) -> Held:
    """Read beliefs some agents at a time."""
    likeliest, entropy = [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
    for some in stretches(places, belief.size):
        rows = belief.of(some)
        likeliest.append(rows.argmax(1).astype(np.int32))
        surprise = rows * np.log(np.maximum(rows, 1e-16))
        entropy.append(-surprise.sum(1).astype(np.float32))
    return Held(np.concatenate(likeliest), np.concatenate(entropy))


def _told(held: Held, size: int, states: Sequence[str]) -> dict[str, Any]:
    """How sure agents are of a factor with so many states, and of what."""
    how_many = np.bincount(held.likeliest, minlength=size)
    first = [state for state in np.argsort(-how_many, kind="stable")[:10] if how_many[state]]
    return {
        "entropy": round(float(held.entropy.mean(dtype=np.float64)), 4),
        "entropy_at_most": round(float(np.log(size)), 4),
        "likeliest": {
            _name(states, int(state), "state"): round(
                float(how_many[state]) / len(held.likeliest), 4
            )
            for state in first
        },
    }
