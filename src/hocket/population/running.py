"""Runs a population to a tick, with its course, its pace, and a place to go on from.

What is saved lies in a folder: the population, what has happened so far, and a small file that
names both and is written last.
So there is a whole checkpoint at every instant, whenever the process is killed.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import Refused
from hocket.core.values import SECOND, format_duration
from hocket.population.distributed import agreed, anyone, led
from hocket.population.group import Group
from hocket.population.population import Population
from hocket.population.program import STRIDE
from hocket.population.worlds.world import World

TARGET: Final = 0.010
"""Seconds of a tick in real time; a run at this pace has the real-time factor 1."""
_HEAD: Final = "checkpoint.json"
_PATIENCE: Final = 0.5
"""Seconds between two looks at a run."""

Means: TypeAlias = dict[str, NDArray[np.float64]]
"""Of each number of each group ("explorers/reward") its mean at each tick since the first one."""


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """Names the files of a checkpoint."""

    tick: int
    population: str
    means: str


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is, and how fast.

    Fields:
        tick: How many ticks have been done, those before a resumption included.
        ticks: How many there will be.
        agents: How many live now.
        begun: The tick with which this process has begun.
        seconds: How long this process has been at it, the first ticks' compilation not counted.
        measured: The ticks that these seconds were for.
    """

    tick: int
    ticks: int
    agents: int
    begun: int
    seconds: float
    measured: int

    @property
    def pace(self) -> float | None:
        """Ticks a second; None before anything was measured."""
        return self.measured / self.seconds if self.measured and self.seconds > 0 else None

    @property
    def agent_steps(self) -> float | None:
        """Agent-steps a second: ticks times living agents."""
        return None if self.pace is None else self.pace * self.agents

    @property
    def real_time(self) -> float | None:
        """Agents' time over ours, where a tick is 10 ms of theirs: 1 and above is real time."""
        return None if self.pace is None else self.pace * TARGET

    @property
    def left(self) -> float | None:
        """Seconds until the end, at this pace."""
        return (self.ticks - self.tick) / self.pace if self.pace else None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a run.

    Fields:
        means: What happened, tick by tick from the first one on.
        checksum: Names the population as it is now, to the last bit.
        progress: How far it came, and how fast.
        stopped: Whether it was stopped before its last tick.
        resumed: The tick that it was taken up at, or None.
    """

    means: Means
    checksum: str
    progress: Progress
    stopped: bool
    resumed: int | None


def progress_line(progress: Progress) -> str:
    """Say in a line how far a run is, and how fast."""
    said = f"tick {progress.tick:,} of {progress.ticks:,}"
    pace, steps, factor = progress.pace, progress.agent_steps, progress.real_time
    if pace is None or steps is None or factor is None:
        return said
    said += f", {_short(pace)} ticks/s, {_short(steps)} agent-steps/s, real-time factor "
    said += f"{factor:.3g}"
    left = progress.left
    return said if not left else f"{said}, {format_duration(round(left * SECOND))} left"


def _short(number: float) -> str:
    """A number in three digits: 12.3 k, 4.56 M."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if number >= unit:
            return f"{number / (1e3 if name == ' k' else unit):.3g}{name}"
    return f"{number:.3g}" if number < 100 else f"{number:,.0f}"


class Checkpoints:
    """The newest checkpoint of a run, in a folder of its own.

    Args:
        folder: Where; it is made when something is saved.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def tick(self) -> int | None:
        """The tick of what is saved; None if nothing is."""
        head = self._head()
        return None if head is None else head.tick

    def save(self, population: Population, means: Mapping[str, NDArray[Any]]) -> None:
        """Save a population and its course; the one before is kept until this one is whole.

        Of several processes only the leading one writes.

        Raises:
            Refused: It cannot be written.
        """
        tick = population.tick
        head = _Head(tick=tick, population=f"population-{tick}.npz", means=f"means-{tick}.npz")

        def write_course() -> None:
            course = io.BytesIO()
            np.savez(course, **{name.replace("/", "|"): rows for name, rows in means.items()})  # type: ignore[arg-type]
            write_whole(self.folder / head.means, course.getvalue())
            write_whole(self.folder / _HEAD, msgspec.json.encode(head))
            self._sweep(head)

        try:
            led(lambda: self.folder.mkdir(parents=True, exist_ok=True))
            population.save(self.folder / head.population)
            led(write_course)
        except OSError as error:
            raise Refused(f"the checkpoint {self.folder} cannot be written: {error}") from error

    def load(
        self, groups: Sequence[Group], world: World, **options: Any
    ) -> tuple[Population, Means] | None:
        """Take up what is saved; None if nothing is.

        Args:
            groups: As the population was made with.
            world: Likewise.
            options: Likewise; the number of devices may be another.

        Raises:
            Refused: It was made with something else, which is named, or is broken.
        """
        head = self._head()
        if head is None:
            return None
        population = Population.restore(self.folder / head.population, groups, world, **options)
        try:
            with np.load(self.folder / head.means, allow_pickle=False) as file:
                means = {name.replace("|", "/"): file[name] for name in file.files}
        except (OSError, ValueError, EOFError) as error:
            raise Refused(f"the checkpoint {self.folder} is broken: {error}") from error
        return population, means

    def _head(self) -> _Head | None:
        try:
            return msgspec.json.decode((self.folder / _HEAD).read_bytes(), type=_Head)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise Refused(f"{self.folder / _HEAD} is no checkpoint: {error}") from error

    def _sweep(self, head: _Head) -> None:
        """Delete older files, and what a killed process left half written."""
        stay = {_HEAD, head.population, head.means}
        for path in self.folder.iterdir():
            ours = path.name.lstrip(".").startswith(("population-", "means-", _HEAD))
            if ours and path.name not in stay:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole, on disk, or not at all.

    Raises:
        OSError: It cannot be written.
    """
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def run(
    population: Population,
    ticks: int,
    *,
    at_once: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    checkpoint: Checkpoints | None = None,
    every: int | None = None,
    stop: Callable[[], bool] | None = None,
    means: Means | None = None,
) -> Outcome:
    """Run a population until it has done so many ticks.

    What it gives does not depend on `at_once`, on checkpoints, or on where it was resumed.

    Args:
        population: The population; `Checkpoints.load` gives one that was saved.
        ticks: How many ticks shall have been done at the end, those already done included.
        at_once: The most ticks between two looks at it, 1 to 32; as many as take about half a
            second, if left out.
        on_progress: Is told after each of these.
        checkpoint: Where it is saved: at the end, when it is stopped, and all `every` ticks.
        every: After how many ticks it is saved.
        stop: Is asked between these whether to stop; of several processes, any may say so.
        means: What happened before, from `Checkpoints.load`.

    Raises:
        Refused: The numbers make no sense, or a checkpoint cannot be written.
    """
    _check(ticks, STRIDE if at_once is None else at_once, every)
    begun = population.tick
    pieces = [means] if means else []
    pace = _Pace()
    stopped = False
    saved = None if checkpoint is None else checkpoint.tick
    while population.tick < ticks:
        if stop is not None and anyone(stop()):
            stopped = True
            break
        # Processes measure differently, and must go on by as many ticks.
        most = agreed(pace.stretch) if at_once is None else at_once
        many = min(most, ticks - population.tick)
        if every is not None:
            # Saved at the same ticks, wherever it was resumed.
            many = min(many, every - population.tick % every)
        pieces.append(pace.of(population, many))
        if on_progress is not None:
            on_progress(pace.progress(population, ticks, begun))
        due = every is not None and population.tick % every == 0 and population.tick < ticks
        if checkpoint is not None and due:
            pieces = [_joined(pieces)]
            checkpoint.save(population, pieces[0])
            saved = population.tick
    whole = _joined(pieces)
    if checkpoint is not None and saved != population.tick:
        checkpoint.save(population, whole)
    return Outcome(
        means=whole,
        checksum=population.checksum(),
        progress=pace.progress(population, ticks, begun),
        stopped=stopped,
        resumed=begun or None,
    )


def _check(ticks: int, at_once: int, every: int | None) -> None:
    """Refuse numbers that make no sense."""
    if ticks < 0 or not 1 <= at_once <= STRIDE or (every is not None and every < 1):
        raise Refused(
            f"{ticks} ticks, {at_once} at once, saved every {every}: give 0 ticks or more, "
            f"1 to {STRIDE} at once, and save after 1 or more"
        )


class _Pace:
    """Measures ticks; the first ones, in which programs are compiled, don't count."""

    def __init__(self) -> None:
        self._compiled = False
        self._seconds = 0.0
        self._ticks = 0
        self._agents = 0

    @property
    def stretch(self) -> int:
        """How many ticks take about as long as somebody likes to wait."""
        if not self._ticks:
            return 1
        return int(min(STRIDE, max(1, _PATIENCE * self._ticks / max(self._seconds, 1e-9))))

    def of(self, population: Population, many: int) -> Means:
        """Run so many ticks."""
        begin = time.perf_counter()
        means = population.run(many, at_once=many).means
        if self._compiled:
            self._seconds += time.perf_counter() - begin
            self._ticks += many
        self._compiled = True
        self._agents = int(sum(rows[-1] for name, rows in means.items() if name.endswith("/alive")))
        return means

    def progress(self, population: Population, ticks: int, begun: int) -> Progress:
        """Say how far it is."""
        return Progress(
            tick=population.tick,
            ticks=ticks,
            agents=self._agents,
            begun=begun,
            seconds=self._seconds,
            measured=self._ticks,
        )


def _joined(pieces: Sequence[Means]) -> Means:
    """Join what happened in successive stretches."""
    if not pieces:
        return {}
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
