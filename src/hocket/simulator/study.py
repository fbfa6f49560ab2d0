"""Studies: a baseline beside its variants, by common random numbers.

Run k of every variant has the same seed, and a call draws its chance by its own name: what differs
between two runs of a pair is what the variant changes.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec

from hocket.core.errors import CallerError
from hocket.core.events import Recorded
from hocket.core.run import RunMachine
from hocket.core.specs import RunSpec
from hocket.core.values import Json, unit_fraction
from hocket.forecast.durations import Durations
from hocket.insight.account import account
from hocket.insight.causes import Cause
from hocket.insight.fold import trace_of
from hocket.insight.trace import Trace
from hocket.simulator.agents import People, SimulatedAgents
from hocket.simulator.faults import Death, Faulty, Mishap, deaths_of
from hocket.simulator.faults import words_of as fault_words
from hocket.simulator.match import Shares, match_of, words_of
from hocket.simulator.outcome import LITTLE, Row, Study
from hocket.simulator.parts import Keep, Part, Played
from hocket.simulator.play import AT_ONCE, Stage, play_together, prepare
from hocket.simulator.sums import Ran, beside, ran, row_of, with_frontier
from hocket.workflows.plan import fates_of, make_plan

LOOKED_AT: Final = 3
"""In how many runs of a variant it is looked up what the finish waited for."""
_MOST_EVENTS: Final = 200_000
"""A run that has had so many events is taken never to end."""
_CHUNK: Final = 50
_BASELINE: Final = "baseline"

Progress: TypeAlias = Callable[[int, int], bool | None]
"""Is told how many runs have been played, of how many; False ends a study with what is there."""


class Scenario(NamedTuple):
    """What is simulated.

    Fields:
        spec: What to do.
        inputs: The workflow's inputs.
        agents: Who does it.
        people: Who answers questions.
        faults: What goes wrong.
        past: What is known of how long calls take, for orders and second calls.
        kept: The paths whose answers were kept from earlier calls.
    """

    spec: RunSpec
    inputs: Mapping[str, Json]
    agents: SimulatedAgents
    people: People = AT_ONCE
    faults: tuple[Mishap, ...] = ()
    past: Durations | None = None
    kept: frozenset[str] = frozenset()


class Variant(NamedTuple):
    """A scenario beside the baseline.

    Fields:
        name: What it is called.
        settings: What it has otherwise, ``KEY=VALUE`` each.
        scenario: What is simulated; None if that is impossible.
        why: Why it is impossible, or "".
        against: The variant with which it is compared; "" for the baseline.
    """

    name: str
    settings: tuple[str, ...]
    scenario: Scenario | None
    why: str = ""
    against: str = ""


def study(
    name: str,
    baseline: Scenario,
    variants: Sequence[Variant],
    runs: int,
    seed: int,
    *,
    recorded: Trace | None = None,
    progress: Progress | None = None,
    workers: int = 1,
    assumed: Sequence[str] = (),
) -> Study:
    """Simulate a baseline and its variants.

    Args:
        name: What is simulated: a run's id or a file.
        baseline: What the variants are compared with.
        variants: Them.
        runs: How often each is played.
        seed: Where chance comes from; the same seed gives the same study.
        recorded: The run that the baseline was made of, which it is compared with.
        progress: Is told how far it is, and may end it: then all have as many runs.
        workers: How many processes share the work; the study does not depend on it.
        assumed: What was assumed to make the scenarios, a sentence each.

    Raises:
        CallerError: The baseline cannot be simulated.
        ValueError: There is not one run, or not one worker, or the agents cannot be sent to other
            processes.
    """
    if runs < 1 or workers < 1:
        raise ValueError("a study has at least one run and one worker")
    everything = [Variant(_BASELINE, (), baseline), *variants]
    looks = [_look(variant, runs, seed) for variant in everything]
    tried = [variant for variant, _, _ in looks]
    accounts = [shares for _, _, shares in looks]
    if tried[0].why:
        raise CallerError(tried[0].why)
    notes = [*assumed, *_notes(tried)]
    found = _play_all([ready for _, ready, _ in looks], runs, seed, progress, workers)
    rows = [_row(variant, found[number]) for number, variant in enumerate(tried)]
    for number, row in enumerate(rows):
        if found[number]:
            notes += _endless(row, found[number])
            if not number or row.success < rows[0].success:
                notes += _failing(row, found[number])
            bound = msgspec.structs.replace(row, binds=_binds(accounts[number]))
            rows[number] = _beside(bound, number, everything, found)
            notes += _idle(tried[number], found[number])
    rows = with_frontier(rows)
    notes += _success(rows)
    return Study(
        name=name,
        plan=baseline.spec.name,
        seed=seed,
        baseline=rows[0],
        variants=tuple(rows[1:]),
        match=None if recorded is None else match_of(recorded, found[0], accounts[0]),
        assumed=tuple(dict.fromkeys(notes)),
    )


def seed_of(seed: int, number: int) -> int:
    """Give the seed of one of a study's runs, the same in every variant."""
    return int(unit_fraction(seed, "run", number) * 2**53)


def cast_of(scenario: Scenario) -> SimulatedAgents:
    """Give a scenario's agents with its mishaps among them.

    Raises:
        NotFound: A mishap names nobody.
    """
    if not scenario.faults:
        return scenario.agents
    return Faulty(scenario.agents, scenario.faults, scenario.spec)


class _Ready(NamedTuple):
    """A scenario ready to be played: its spec prepared, its mishaps among its agents."""

    scenario: Scenario
    stage: Stage
    agents: SimulatedAgents

    def play(self, seed: int, keep: Keep) -> Played:
        """Play it once."""
        scenario = self.scenario
        deaths = deaths_of(scenario.faults)
        return play_together(
            [Part(self.stage, scenario.inputs, seed=seed, deaths=deaths)],
            self.agents,
            people=scenario.people,
            past=scenario.past,
            budget=_MOST_EVENTS,
            keep=keep,
        )[0]


def _struck(ready: _Ready, played: Played) -> frozenset[int]:
    """Say which mishaps have happened in a run, by their places."""
    faults = ready.scenario.faults
    if not isinstance(ready.agents, Faulty):
        return frozenset()
    died = (n for n, one in enumerate(faults) if isinstance(one, Death) and one.at < played.took)
    return frozenset((*ready.agents.struck, *died))


def _ready(scenario: Scenario) -> _Ready:
    return _Ready(scenario, prepare(scenario.spec), cast_of(scenario))


# -- looking --------------------------------------------------------------------------------


def _look(variant: Variant, runs: int, seed: int) -> tuple[Variant, _Ready | None, list[Shares]]:
    """Play a few runs of a variant in full, for where their time goes, and whether they can be."""
    if variant.scenario is None:
        return variant, None, []
    found: list[Shares] = []
    try:
        ready = _ready(variant.scenario)
        for number in range(min(LOOKED_AT, runs)):
            played = ready.play(seed_of(seed, number), "events")
            events = [Recorded(i, event) for i, event in enumerate(played.events, 1)]
            trace = trace_of(events, RunMachine({"plan": make_plan}), fates_of)
            found.append(account(trace).shares)
    except CallerError as error:
        return variant._replace(scenario=None, why=str(error)), None, []
    return variant, ready, found


def _binds(accounts: Sequence[Mapping[Cause, int]]) -> str:
    sums: dict[Cause, int] = {}
    for shares in accounts:
        for cause, took in shares.items():
            sums[cause] = sums.get(cause, 0) + took
    if not any(sums.values()):
        return ""
    return words_of(min(sums, key=lambda cause: (-sums[cause], cause)))


@runtime_checkable
class Noting(Protocol):
    """What agents may have besides: they say what they have assumed so far."""

    def notes(self) -> list[str]:
        """Say what has been assumed that nobody said, a sentence each."""


def _notes(variants: Sequence[Variant]) -> Iterator[str]:
    for variant in variants:
        if variant.scenario is not None and isinstance(variant.scenario.agents, Noting):
            yield from variant.scenario.agents.notes()


def _endless(row: Row, runs: Sequence[Ran]) -> Iterator[str]:
    endless = [one for one in runs if not one.ended]
    if endless and not row.why:
        why = endless[0].reason.rstrip(".")
        count = f"{len(endless)} of {len(runs)} runs of {row.name} stand"
        if len(endless) == len(runs):
            what = "a run stands" if len(runs) > 1 else "the run stands"
            yield f"{row.name} stands still: {why}. Its figures are those until {what} still."
        else:
            yield f"{count} still: {why}."


def _failing(row: Row, runs: Sequence[Ran]) -> Iterator[str]:
    reasons: dict[str, int] = {}
    for one in runs:
        if one.ended and one.status != "succeeded":
            reasons[one.reason] = reasons.get(one.reason, 0) + 1
    if reasons and not row.why:
        count = sum(reasons.values())
        often = max(reasons, key=lambda reason: reasons[reason])
        said = f": {often.rstrip('.')}" if often else ""
        yield f"{count} of {len(runs)} runs of {row.name} do not succeed{said}."


def _success(rows: Sequence[Row]) -> Iterator[str]:
    played = [row for row in rows if not row.why]
    if any(0 < row.success < 1 for row in played):
        yield "Times, calls and costs are those of the runs that succeeded."
    for row in played[1:]:
        base = row.against or "the baseline"
        if row.figures == "succeeded" and not row.pairs:
            yield f"{row.name} and {base} never succeed by the same chance: none is quicker."
        elif row.pairs and row.pairs < row.runs:
            yield (
                f"{row.name} is compared with {base} by the {row.pairs} of {row.runs} runs "
                "that succeeded in both."
            )
        first = next((one for one in played if one.name == row.against), rows[0])
        if 0 < row.success < first.success - LITTLE:
            yield f"{row.name} succeeds less often than {base}, and has no star."
    for against in dict.fromkeys(row.against for row in played if row.against):
        yield f"What settings gain under faults is told against {against}."


def _row(variant: Variant, runs: Sequence[Ran]) -> Row:
    if not runs:
        why = variant.why or "the study was ended before its first run"
        return Row(name=variant.name, settings=variant.settings, why=why)
    row = row_of(variant.name, variant.settings, runs)
    return msgspec.structs.replace(row, against=variant.against)


def _beside(
    row: Row, number: int, variants: Sequence[Variant], found: Sequence[Sequence[Ran]]
) -> Row:
    """Compare a variant with the one that it names, or with the baseline."""
    if not number:
        return row
    names = {variant.name: place for place, variant in enumerate(variants) if place}
    return beside(row, found[names.get(variants[number].against, 0)], found[number])


def _idle(variant: Variant, runs: Sequence[Ran]) -> Iterator[str]:
    """Name what would have gone wrong, and did not in any run."""
    faults = () if variant.scenario is None else variant.scenario.faults
    for number, mishap in enumerate(faults):
        if not any(number in one.struck for one in runs):
            yield f"{fault_words(mishap)!r} strikes no run of {variant.name}."


# -- playing --------------------------------------------------------------------------------

Chunk: TypeAlias = tuple[int, int, int]
"""Which variant, and from which run up to which."""

_cast: list[_Ready | None] = []
"""What this process plays, if it is a worker."""


def _play_all(
    cast: Sequence[_Ready | None], runs: int, seed: int, progress: Progress | None, workers: int
) -> list[list[Ran]]:
    # All go on side by side, so that whoever ends it early has something of each.
    chunks = [
        (index, since, min(since + _CHUNK, runs))
        for since in range(0, runs, _CHUNK)
        for index, ready in enumerate(cast)
        if ready is not None
    ]
    total = sum(until - since for _, since, until in chunks)
    found: list[list[Ran]] = [[] for _ in cast]
    done = 0
    for (index, since, until), some in _chunks(cast, chunks, seed, workers):
        found[index].extend(some)
        done += until - since
        if progress is not None and progress(done, total) is False:
            break
    least = min((len(some) for some in found if some), default=0)
    return [some[:least] for some in found]


def _chunks(
    cast: Sequence[_Ready | None], chunks: Sequence[Chunk], seed: int, workers: int
) -> Iterator[tuple[Chunk, list[Ran]]]:
    if workers == 1:
        for chunk in chunks:
            yield chunk, _play_chunk(cast, chunk, seed)
        return
    try:
        sent = pickle.dumps([None if ready is None else ready.scenario for ready in cast])
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"the agents cannot be sent to other processes: {error}") from error
    # A process that is forked while threads run may hang; one that is spawned has none of them.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(sent,)
    ) as pool:
        yield from zip(chunks, pool.map(_play_sent, chunks, [seed] * len(chunks)), strict=True)


def _begin(sent: bytes) -> None:
    # Ctrl-C is heard by the process that has asked for the work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    scenarios: list[Scenario | None] = pickle.loads(sent)
    _cast[:] = [None if one is None else _ready(one) for one in scenarios]


def _play_sent(chunk: Chunk, seed: int) -> list[Ran]:
    return _play_chunk(_cast, chunk, seed)


def _play_chunk(cast: Sequence[_Ready | None], chunk: Chunk, seed: int) -> list[Ran]:
    index, since, until = chunk
    ready = cast[index]
    assert ready is not None
    kept = ready.scenario.kept
    keep: Keep = "calls" if kept else "sums"
    found = []
    for number in range(since, until):
        if isinstance(ready.agents, Faulty):
            ready.agents.struck.clear()
        played = ready.play(seed_of(seed, number), keep)
        one = ran(played, kept, _MOST_EVENTS)
        found.append(one._replace(struck=_struck(ready, played)))
    return found
