"""Turns the limits and budgets of a file into specs, and says who claims which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from hocket.config import models as part
from hocket.config.limit import adapts, budget_of
from hocket.config.limit_names import budget_name, endpoint_name, limits_name
from hocket.config.limit_parts import BudgetPart, BudgetsOf, LimitPart, LimitsOf
from hocket.config.places import Path
from hocket.core.errors import suggest
from hocket.core.specs import LimitSpec
from hocket.core.values import Json
from hocket.limits.presets import PRESETS, Preset

Presets: TypeAlias = Callable[[], Mapping[str, Preset]]
"""Gives all presets; it is asked only for a file that names one."""

_WINDOWS: Final = ("requests", "tokens", "tokens_in", "tokens_out", "cost")
_PLAIN: Final = ("concurrency", "spacing", "margin", "shared", "adaptive", "on_exceed")


def built_in() -> Mapping[str, Preset]:
    """Give the presets that come with Hocket."""
    return PRESETS


def overlaid(base: LimitSpec, about: LimitPart) -> LimitSpec:
    """Give a limit with what a part of the file says of it."""
    changes: dict[str, Json] = {
        key: value for key in _PLAIN if (value := getattr(about, key)) is not None
    }
    for key in _WINDOWS:
        if (rates := getattr(about, key)) is not None:
            changes[key] = tuple(rates)
    return msgspec.structs.replace(base, **changes)


class Bounds:
    """The limits of one file, and who claims them.

    Args:
        file: The file.
        presets: Gives the presets.
        say: Is told what is wrong: where, what, and a hint.
        place: Where the file is, for the names of what its agents and plans state themselves.

    Attributes:
        known: The limits that are claimed, as far as was asked for yet, by name.
        paths: Where each of them is stated, if it is.
    """

    def __init__(
        self,
        file: part.FilePart,
        presets: Presets,
        say: Callable[[Path, str, str], None],
        place: str = "",
    ) -> None:
        self.known: dict[str, LimitSpec] = {}
        self.paths: dict[str, Path] = {}
        self._file = file
        self._presets = presets
        self._say = say
        self._place = place
        self._stated: dict[str, tuple[str, Path, LimitPart]] = {}
        """What models say of their endpoints: by whom, where, what."""
        for name, model in file.models.items():
            for where, item in _items(("models", name, "limits"), model.limits):
                if isinstance(item, LimitPart):
                    endpoint = endpoint_name(model.id, model.base_url)
                    self._stated.setdefault(endpoint, (name, where, item))

    def declare_all(self) -> None:
        """Take in what nobody claims, too, so that its mistakes are found."""
        for name in self._file.limits:
            self._named(name)
        for name, model in self._file.models.items():
            endpoint = endpoint_name(model.id, model.base_url)
            for where, item in _items(("models", name, "limits"), model.limits):
                if isinstance(item, str):
                    self._claim(where, item)
                    continue
                first, _, same = self._stated[endpoint]
                if item != same:
                    said = f"models {first!r} and {name!r} are one, and state different limits"
                    self._say(where, said, f"state them under {first!r} alone")
                self._endpoint(endpoint)

    def use(self, names: Mapping[str, int]) -> None:
        """Take in the limits that a step uses units of."""
        for name in names:
            if name in self._file.limits:
                self._named(name)

    def of_agent(self, name: str, about: part.AgentUnion) -> tuple[str, ...]:
        """Name the limits that each call of an agent claims."""
        claims: dict[str, None] = {}
        where: Path = ("agents", name)
        is_model = isinstance(about, part.ModelAgent)
        if isinstance(about, part.ModelAgent):
            claims.update(dict.fromkeys(self._of_model(about.model)))
        claims.update(self._of("agent", name, where, about.limits, adaptive=not is_model))
        claims.update(self._budgets("agent", name, where, about.budget))
        return tuple(claims)

    def of_step(self, agent: str, where: Path, given: LimitsOf | None) -> tuple[str, ...]:
        """Name the limits that each call of a step's own agent claims."""
        return tuple(self._of("agent", agent, where, given, adaptive=True))

    def of_run(self, plan: str) -> dict[str, Json]:
        """Give what a run of a plan has to do with limits, but for what is as it always is."""
        about = self._file.plans[plan]
        where: Path = ("plans", plan)
        claims = self._of("plan", plan, where, about.limits, adaptive=False)
        claims.update(self._budgets("plan", plan, where, about.budget))
        fields: dict[str, Json] = {"limits": self.known}
        if claims:
            fields["claims"] = tuple(claims)
        for key, usual in (("priority", 0), ("weight", 1.0), ("deadline", None)):
            if (value := getattr(about, key)) != usual:
                fields[key] = value
        return fields

    # -- one by one -------------------------------------------------------------------------

    def _of_model(self, model: str) -> Iterator[str]:
        entry = self._file.models.get(model)
        if entry is None:
            yield self._endpoint(endpoint_name(model, None))
            return
        yield self._endpoint(endpoint_name(entry.id, entry.base_url))
        for _, item in _items((), entry.limits):
            if isinstance(item, str) and item in self._file.limits:
                yield self._named(item)

    def _endpoint(self, name: str) -> str:
        """Take in the limit of an endpoint; one of which nothing is said still adapts."""
        if name not in self.known:
            spec = LimitSpec()
            if name in self._stated:
                _, where, about = self._stated[name]
                self.paths[name] = where
                spec = self._spec(where, about, adaptive=True)
            self.known[name] = spec
        return name

    def _named(self, name: str) -> str:
        if name not in self.known:
            where: Path = ("limits", name)
            self.known[name] = self._spec(where, self._file.limits[name], adaptive=None)
            self.paths[name] = where
        return name

    def _claim(self, where: Path, name: str) -> str | None:
        if name in self._file.limits:
            return self._named(name)
        hint = suggest(name, self._file.limits) or "name it under limits"
        self._say(where, f"unknown limit {name!r}", hint)
        return None

    def _of(
        self, owner: str, name: str, where: Path, given: LimitsOf | None, *, adaptive: bool
    ) -> dict[str, None]:
        claims: dict[str, None] = {}
        for at, item in _items((*where, "limits"), given):
            if isinstance(item, LimitPart):
                own = limits_name(owner, name, "" if item.shared is False else self._place)
                self.known[own] = self._spec(at, item, adaptive=adaptive)
                self.paths[own] = at
                claims[own] = None
            elif (known := self._claim(at, item)) is not None:
                claims[known] = None
        return claims

    def _budgets(
        self, owner: str, name: str, where: Path, given: BudgetsOf | None
    ) -> dict[str, None]:
        budgets: list[BudgetPart] = given if isinstance(given, list) else [given] if given else []
        claims: dict[str, None] = {}
        for about in budgets:
            daily = about.per == "day"
            own = budget_name(owner, name, daily=daily, place=self._place)
            self.known[own] = budget_of(
                about.cost, about.tokens, daily=daily, on_exceed=about.on_exceed
            )
            self.paths[own] = (*where, "budget")
            claims[own] = None
        return claims

    def _spec(self, where: Path, about: LimitPart, *, adaptive: bool | None) -> LimitSpec:
        base = LimitSpec()
        if about.preset is not None:
            presets = self._presets()
            if about.preset in presets:
                base = presets[about.preset].limit
            else:
                hint = suggest(about.preset, presets) or "hocket limits --presets lists them"
                self._say((*where, "preset"), f"unknown preset {about.preset!r}", hint)
        spec = overlaid(base, about)
        if about.adaptive is None and about.preset is None:
            given = adapts(spec) if adaptive is None else adaptive
            spec = msgspec.structs.replace(spec, adaptive=given)
        return spec


def _items(where: Path, given: LimitsOf | None) -> Iterator[tuple[Path, str | LimitPart]]:
    """Give names and limits one by one, each with its place."""
    if isinstance(given, list):
        for i, item in enumerate(given):
            yield (*where, i), item
    elif given is not None:
        yield where, given
