"""How a plan that is built in Python runs populations of active-inference agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

import msgspec

from hocket.config.draft import Draft
from hocket.config.handles import Handle, Step
from hocket.config.population import Device, Dtype, Format, Picture, mistakes, whole
from hocket.config.told import Work
from hocket.core.errors import Problem, SpecError


class GroupSettings(TypedDict, total=False):
    """What a group of a population has of its own."""

    model: str
    gmn: str | Handle
    agents: int | Handle
    preferences: Mapping[str, float | Handle] | Sequence[float] | Sequence[Sequence[float]] | Handle


class PopulationSettings(TypedDict, total=False):
    """Says who lives in a population, by one of the first four, and for how long."""

    example: str
    model: str
    gmn: str | Handle
    continues: Handle
    agents: int | Handle
    ticks: int | Handle
    seed: int | Handle
    set: Mapping[str, Any]
    groups: Mapping[str, GroupSettings]
    checkpoint_every: int | Handle
    device: Device
    devices: int
    nodes: int
    dtype: Dtype
    format: Format
    picture: Picture
    keep: bool


class Populations:
    """The part of a plan that runs populations; see `hocket.config.builder.Plan`."""

    _draft: Draft

    def population(
        self, name: str, settings: PopulationSettings, *after: Handle, **told: Unpack[Work]
    ) -> Step[dict[str, Any]]:
        """Run a population of active-inference agents, in a process of its own.

        Each uses all processor cores, so those of a run go one by one.

        Args:
            name: What the step is called.
            settings: Who lives in it, and for how long; see `PopulationSettings`.
            after: Handles of steps that must have succeeded.
            told: See `Work`.

        Returns:
            A handle of its ``summary``, ``means``, ``checksum`` and ``files``.

        Raises:
            SpecError: There is such a step, or something does not fit.
        """
        if not isinstance(settings, Mapping):
            where = ("steps", name, "population")
            message = f"settings are an object such as PopulationSettings, not {settings!r:.60}"
            raise SpecError([Problem(where=where, message=message)])
        used: dict[str, None] = {}
        given = self._draft.json(name, dict(settings), used)
        if wrong := list(mistakes(given)):
            raise SpecError(
                [
                    msgspec.structs.replace(one, where=("steps", name, "population", *one.where))
                    for one in wrong
                ]
            )
        return self._draft.add(
            name,
            dict[str, Any],
            {**told},
            whole(dict(settings)),
            after,
            agent=self._draft.population(),
        )
