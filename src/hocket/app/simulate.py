"""What would change: a recorded run or a file's plan, simulated beside variants of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from hocket.app.history import past_of
from hocket.app.learned import resolve
from hocket.app.load import load_file
from hocket.app.simulate_agents import (
    Said,
    Standing,
    Unrecorded,
    assumptions,
    list_price,
    notes_of,
    samples_of,
)
from hocket.app.simulate_file import fault_of, faults_of, variants_of
from hocket.app.traces import trace_of_run
from hocket.config.change import Changes, NoPlan, changed
from hocket.config.change_text import MOST_VARIANTS, expand, settings_of
from hocket.config.file import Loaded
from hocket.config.simulate import actors, said
from hocket.core.errors import CallerError, Refused
from hocket.core.events import RunStarted
from hocket.core.specs import AgentSpec, RunSpec
from hocket.core.values import Json
from hocket.engine.opening import check_inputs
from hocket.forecast.durations import Durations
from hocket.insight.trace import Trace
from hocket.journal.base import Store
from hocket.simulator.agents import People, SimulatedAgents
from hocket.simulator.assume import EVERYBODY as ALL
from hocket.simulator.assume import Assumed
from hocket.simulator.calibrate import Persons, Record, Simulated, outputs_of
from hocket.simulator.faults import Mishap
from hocket.simulator.known import slots_of
from hocket.simulator.outcome import BESIDES, Study
from hocket.simulator.study import Progress, Scenario, Variant, study

RUNS: Final = 200
"""How many runs of each variant are simulated where nobody says it."""


class Otherwise(NamedTuple):
    """What is simulated beside the baseline.

    Fields:
        settings: ``KEY=VALUE`` each: one variant has them all, and so has whatever is varied.
        vary: ``KEY=1..8`` or ``KEY=a,b,c`` each: a variant for every combination.
        variants: Settings with spaces between them, a variant each, with nothing else.
        faults: What goes wrong: a variant each, one with all of them if they are several, and all
            of them in every other variant, which is compared with the one of all of them.
    """

    settings: Sequence[str] = ()
    vary: Sequence[str] = ()
    variants: Sequence[str] = ()
    faults: Sequence[str] = ()


class Playing(NamedTuple):
    """How a study is played.

    Fields:
        runs: How many runs of each variant; by default as the file says, or 200.
        seed: Where chance comes from; by default as the file says, or 0.
        workers: How many processes share the work; what comes out does not depend on it.
        progress: Is told how many runs have been played, of how many.
    """

    runs: int | None = None
    seed: int | None = None
    workers: int = 1
    progress: Progress | None = None


_NOTHING: Final = Otherwise()
_PLAINLY: Final = Playing()


def simulate_run(
    store: Store, run_id: str, other: Otherwise = _NOTHING, how: Playing = _PLAINLY
) -> Study:
    """Simulate a recorded run, by what it tells of its agents, beside variants of it.

    Args:
        store: The journal.
        run_id: The run's id.
        other: The variants.
        how: How often, and by which chance.

    Raises:
        NotFound: There is no such run, or nothing that a setting could be about.
        Refused: A setting or a fault cannot be read, or makes no runnable plan.
        CallerError: It cannot be simulated.
        JournalError: An event cannot be read.
    """
    trace = trace_of_run(store, run_id)
    stage = _Recorded(trace, *_told(store, run_id))
    return _study(run_id, stage, other, how, (), trace)


def simulate_plan(
    store: Store,
    spec: RunSpec,
    other: Otherwise = _NOTHING,
    how: Playing = _PLAINLY,
    *,
    name: str = "",
    inputs: Mapping[str, Json] | None = None,
    people: Mapping[str, Any] | None = None,
    loaded: Loaded | None = None,
) -> Study:
    """Simulate a plan that need never have run, beside variants of it.

    Args:
        store: The journal, whose duration book knows earlier calls.
        spec: The plan's spec.
        other: The variants; where nothing is asked for, those that the file states.
        how: How often, and by which chance.
        name: What it is called in the study; by default as the plan is.
        inputs: The plan's inputs.
        people: How people answer, as `hocket.config.simulate_parts.PeoplePart`.
        loaded: The file that it came from, which says what to assume.

    Raises:
        NotFound: There is nothing that a setting could be about.
        Refused: A setting or a fault cannot be read, or makes no runnable plan.
        SpecError: A fault or a variant in the file cannot be read.
        CallerError: It cannot be simulated, for want of an input, say.
        JournalError: The duration book cannot be read.
    """
    part = None if loaded is None else loaded.file.simulate
    answering = {} if part is None else said(part.people)
    stage = _Planned(store, spec, dict(inputs or {}), answering | dict(people or {}), loaded)
    if part is not None:
        how = how._replace(
            runs=part.runs if how.runs is None else how.runs,
            seed=part.seed if how.seed is None else how.seed,
        )
    always: tuple[Mishap, ...] = ()
    if loaded is not None:
        always = faults_of(loaded, stage.spec)
        if not any(other):
            other = other._replace(variants=variants_of(loaded, stage.spec))
    return _study(name or spec.name, stage, other, how, always, None)


# ---- what is simulated ----


class _Recorded:
    """A recorded run, to be played otherwise."""

    def __init__(
        self, trace: Trace, inputs: Mapping[str, Json], outputs: Mapping[str, Json]
    ) -> None:
        self._record = Record(trace, outputs)
        assert trace.spec is not None
        agents = trace.spec.agents
        self._slots = {
            name: count for name, count in slots_of(trace).items() if not agents[name].concurrency
        }
        self.spec = _with_slots(trace.spec, self._slots)
        self.loaded = _file_of(trace.spec)
        self._inputs = inputs

    @property
    def notes(self) -> list[str]:
        """What the record does not tell."""
        slots = (
            f"{name} had no more than {count} calls at once, and has no more here unless "
            f"agents.{name}.concurrency says so."
            for name, count in self._slots.items()
        )
        return [*self._record.assumed, *slots]

    def scenario(self, made: Changes, faults: tuple[Mishap, ...]) -> tuple[Scenario, list[str]]:
        """Give what is simulated, and what is assumed of it."""
        assumed = assumptions(actors(None, made.agents))
        others, notes = self._others(made, assumed)
        new = [name for name in self.spec.agents if self.spec.agents[name].cache is None]
        notes += _uncached(made.spec, new)
        agents: SimulatedAgents = Simulated(made.spec, assumed, self._record)
        people: People = self._record.people
        if made.people:
            people = _people(made.people, self._record.people)
        return Scenario(
            spec=made.spec,
            inputs={**self._inputs, **made.inputs},
            agents=Standing(agents, others) if others else agents,
            people=people,
            faults=faults,
            past=self._record.past,
            kept=self._record.kept,
        ), notes

    def _others(
        self, made: Changes, assumed: dict[str, Assumed]
    ) -> tuple[dict[str, str], list[str]]:
        """Say as whom in the record agents are that ask another model now."""
        others: dict[str, str] = {}
        notes: list[str] = []
        for name, agent in made.spec.agents.items():
            model = _model(agent)
            if not model[0] or model == _model(self.spec.agents[name]):
                continue
            known = (one for one, spec in self.spec.agents.items() if _model(spec) == model)
            other = next(known, None)
            if other is not None:
                others[name] = other
                notes.append(f"Calls of {name} by {model[0]} are taken to be as those of {other}.")
                continue
            about = assumed.get(name) or assumed.get(ALL) or Assumed()
            if about.price is None:
                assumed[name] = msgspec.structs.replace(about, price=list_price(agent))
            if about.latency is None:
                notes.append(
                    f"Nobody in the record asks {model[0]}: calls of {name} are taken to last as "
                    f"long as before. Settings say it, as agents.{name}.latency=3s."
                )
        return others, notes


class _Planned:
    """A plan, to be played by what is said and known of its agents."""

    def __init__(
        self,
        store: Store,
        spec: RunSpec,
        inputs: Mapping[str, Json],
        people: Mapping[str, Any],
        loaded: Loaded | None,
    ) -> None:
        self.spec = resolve(spec, store.book)
        self.loaded = loaded
        self._part = None if loaded is None else loaded.file.simulate
        self._inputs = inputs
        self._people = people
        self._samples = samples_of(store.book, spec)
        self._past = Durations(past_of(store.book, spec))
        check_inputs(spec, inputs)

    @property
    def notes(self) -> list[str]:
        """What is assumed of every scenario."""
        return []

    def scenario(self, made: Changes, faults: tuple[Mishap, ...]) -> tuple[Scenario, list[str]]:
        """Give what is simulated, and what is assumed of it."""
        about: Said = actors(self._part, made.agents)
        # Earlier calls of an agent tell nothing of the same one with another model.
        same = {
            name for name, agent in made.spec.agents.items() if _model(agent) == self._asks(name)
        }
        samples = {key: some for key, some in self._samples.items() if key[1] in same}
        assumed = assumptions(about)
        for name, agent in made.spec.agents.items():
            own = assumed.get(name) or assumed.get(ALL) or Assumed()
            if own.price is None and (price := list_price(agent)) is not None:
                assumed[name] = msgspec.structs.replace(own, price=price)
        scenario = Scenario(
            spec=made.spec,
            inputs={**self._inputs, **made.inputs},
            agents=Unrecorded(made.spec, Simulated(made.spec, assumed), about, samples),
            people=_people({**self._people, **made.people}, People()),
            faults=faults,
            past=self._past,
        )
        notes = [*notes_of(made.spec, about, samples), *_uncached(made.spec, made.spec.agents)]
        return scenario, notes

    def _asks(self, name: str) -> tuple[Any, Any]:
        return _model(self.spec.agents[name])


def _uncached(spec: RunSpec, agents: Iterable[str]) -> list[str]:
    """Say of which agents answers would be kept, which nobody simulates."""
    names = [name for name in agents if spec.agents[name].cache is not None]
    if not names:
        return []
    return [f"Every call of {', '.join(names)} is made: kept answers are not simulated."]


def _with_slots(spec: RunSpec, slots: Mapping[str, int]) -> RunSpec:
    """Give agents the slots that they had in the record where the plan does not say it."""
    agents = dict(spec.agents)
    for name, count in slots.items():
        agents[name] = msgspec.structs.replace(agents[name], concurrency=count)
    return msgspec.structs.replace(spec, agents=agents)


def _model(agent: AgentSpec) -> tuple[Any, Any]:
    """Say which model an agent asks, and where."""
    if agent.kind != "model":
        return None, None
    return agent.options.get("model"), agent.options.get("base_url")


def _people(about: Mapping[str, Any], before: People) -> People:
    """Give people as is said of them; what nobody says stays."""
    decided = {key: about[key] for key in ("approve", "value") if key in about}
    if "after" in about:
        return msgspec.structs.replace(People(**decided), after=about["after"])
    if decided and isinstance(before, Persons):
        # What they said then is not what they would say now.
        before = msgspec.structs.replace(before, said={})
    return msgspec.structs.replace(before, **decided)


def _told(store: Store, run_id: str) -> tuple[Mapping[str, Json], dict[str, Json]]:
    """Give a run's inputs, and what it gave by path."""
    events = [recorded.event for recorded in store.read(run_id)]
    began = (event for event in events if isinstance(event, RunStarted))
    first = next(began, None)
    return {} if first is None else first.inputs, outputs_of(events)


def _file_of(spec: RunSpec) -> Loaded | None:
    """Read the file of a run, for the names of its models; it may be gone, or be another now."""
    if not spec.source or not Path(spec.source).is_file():
        return None
    try:
        return load_file(spec.source)
    except CallerError:
        return None


# ---- variants ----


class _Asked(NamedTuple):
    """A variant that was asked for.

    Fields:
        name: What it is called.
        settings: What it has otherwise.
        varied: Whether it is one of many values, of which some may be impossible.
        faults: What goes wrong in it.
        against: With which variant it is compared; "" for the baseline.
    """

    name: str
    settings: tuple[str, ...]
    varied: bool = False
    faults: tuple[str, ...] = ()
    against: str = ""


def _study(
    name: str,
    stage: _Recorded | _Planned,
    other: Otherwise,
    how: Playing,
    always: tuple[Mishap, ...],
    recorded: Trace | None,
) -> Study:
    runs = RUNS if how.runs is None else how.runs
    if runs < 1 or how.workers < 1:
        raise Refused("a simulation has at least one run, and at least one worker")
    asked = _asked(other)
    faults = {text: fault_of(text, stage.spec, stage.loaded) for text in other.faults}
    baseline, notes = stage.scenario(changed(stage.spec, ()), always)
    notes = [*stage.notes, *notes]
    variants: list[Variant] = []
    failed: NoPlan | None = None
    for one in asked:
        try:
            made = changed(stage.spec, one.settings, stage.loaded)
        except NoPlan as error:
            if not one.varied:
                raise
            failed = failed or error
            variants.append(Variant(one.name, one.settings, None, str(error)))
            continue
        scenario, more = stage.scenario(made, (*always, *(faults[text] for text in one.faults)))
        notes += more
        variants.append(Variant(one.name, one.settings, scenario, against=one.against))
    if failed is not None and not any(one.scenario for one in variants):
        raise failed
    return study(
        name,
        baseline,
        variants,
        runs,
        0 if how.seed is None else how.seed,
        recorded=recorded,
        progress=how.progress,
        workers=how.workers,
        assumed=list(dict.fromkeys(notes)),
    )


def _asked(other: Otherwise) -> list[_Asked]:
    """Name the variants; one that is asked for twice is there once.

    Raises:
        Refused: One cannot be read, or there are too many.
    """
    found: list[_Asked] = []
    settings = tuple(other.settings)
    faults = tuple(dict.fromkeys(other.faults))
    every = "; ".join(faults)
    if settings:
        found.append(_Asked(" ".join(settings), settings))
    for values in expand(other.vary):
        name = (BESIDES if settings else "") + " ".join(values)
        found.append(_Asked(name, (*settings, *values), varied=True))
    for text in other.variants:
        own = settings_of(text)
        found.append(_Asked(" ".join(own), own))
    if faults:
        under = f" under {every}" if len(faults) == 1 else " under all faults"
        found = [one._replace(name=one.name + under, faults=faults, against=every) for one in found]
        alone = [_Asked(text, (), faults=(text,)) for text in faults]
        found = [*alone, _Asked(every, (), faults=faults), *found]
    unique: dict[tuple[tuple[str, ...], tuple[str, ...]], _Asked] = {}
    for one in found:
        unique.setdefault((one.settings, one.faults), one)
    if len(unique) > MOST_VARIANTS:
        raise Refused(f"{len(unique):,} variants are too many: {MOST_VARIANTS} at most")
    return list(unique.values())
