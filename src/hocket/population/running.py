"""Runs a population to a tick, with its course, its pace, and a place to go on from.

What is saved lies in a folder: the population, what has happened so far, and a small file that
names both and is written last.
So there is a whole checkpoint at every instant, whenever the process is killed.
"""

from __future__ import annotations

import io
import re
import time
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import NotFound, Refused
from hocket.core.values import SECOND, format_duration
from hocket.population.checkpoints import Unusable
from hocket.population.distributed import agreed, anyone, led
from hocket.population.files import HEAD, PART, write_whole
from hocket.population.group import Group
from hocket.population.population import Population
from hocket.population.program import STRIDE
from hocket.population.scenes import Film, packed
from hocket.population.worlds.world import World

TARGET: Final = 0.010
"""Seconds of a tick in real time; a run at this pace has the real-time factor 1."""
_NUMBERED: Final = r"(population|means|film)-\d+\.npz"
_OURS: Final = re.compile(
    rf"{_NUMBERED}|\.({_NUMBERED}|{re.escape(HEAD)})\.[0-9a-f]+{re.escape(PART)}"
)
"""The files that are deleted when another checkpoint is whole; nothing else is."""
_PATIENCE: Final = 0.5
"""Seconds between two looks at a run."""

Means: TypeAlias = dict[str, NDArray[np.float64]]
"""Of each number of each group ("explorers/reward") its mean at each tick since the first one."""


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """Names the files of a checkpoint."""

    tick: int
    population: str
    means: str
    film: str | None = None

    @property
    def files(self) -> set[str]:
        """All files of the checkpoint."""
        return {HEAD, self.population, self.means} | ({self.film} if self.film else set())


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

    def save(
        self,
        population: Population,
        means: Mapping[str, NDArray[Any]],
        film: Film | None = None,
    ) -> None:
        """Save a population and its course; the one before is kept until this one is whole.

        Of several processes only the leading one writes.

        Args:
            population: The population.
            means: Its course so far.
            film: What was filmed so far.

        Raises:
            Refused: It cannot be written.
        """
        tick = population.tick
        head = _Head(
            tick=tick,
            population=f"population-{tick}.npz",
            means=f"means-{tick}.npz",
            film=f"film-{tick}.npz" if film is not None else None,
        )

        def write_course() -> None:
            course = {name.replace("/", "|"): rows for name, rows in means.items()}
            write_whole(self.folder / head.means, _archive(course))
            if film is not None and head.film is not None:
                write_whole(self.folder / head.film, _archive(packed(film.scenes)))
            write_whole(self.folder / HEAD, msgspec.json.encode(head))
            self._sweep(head.files)

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
            Unusable: It was made with something else, which is named, or is broken.
            Refused: It cannot be read now, or takes too much memory.
        """
        head = self._head()
        if head is None:
            return None
        means = {name.replace("|", "/"): rows for name, rows in self._read(head.means).items()}
        try:
            population = Population.restore(self.folder / head.population, groups, world, **options)
        except NotFound as error:
            raise Unusable(self._broken(error)) from error
        return population, means

    def load_film(self) -> dict[str, NDArray[Any]]:
        """Give what was filmed until then, as `hocket.population.scenes.unpacked` takes it.

        Raises:
            Unusable: It is broken.
            Refused: It cannot be read now.
        """
        head = self._head()
        return {} if head is None or head.film is None else self._read(head.film)

    def clear(self) -> None:
        """Forget what is saved.

        Raises:
            Refused: It cannot be deleted.
        """
        try:
            (self.folder / HEAD).unlink(missing_ok=True)
            self._sweep(())
        except OSError as error:
            raise Refused(f"the checkpoint {self.folder} cannot be deleted: {error}") from error

    def _head(self) -> _Head | None:
        path = self.folder / HEAD
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Head)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error}") from error
        except msgspec.MsgspecError as error:
            raise Unusable(f"{path} is no checkpoint: {error}; give another folder") from error

    def _read(self, name: str) -> dict[str, NDArray[Any]]:
        """Read the arrays of a file of ours."""
        try:
            # NumPy leaves a file open that it was not given open.
            with (
                (self.folder / name).open("rb") as opened,
                np.load(opened, allow_pickle=False) as file,
            ):
                return {key: file[key] for key in file.files}
        except (FileNotFoundError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise Unusable(self._broken(f"{name}: {error}")) from error
        except OSError as error:
            raise Refused(f"{self.folder / name} cannot be read: {error}") from error

    def _broken(self, why: object) -> str:
        return f"the checkpoint {self.folder} is broken, and nothing can go on from it: {why}"

    def _sweep(self, stay: Collection[str]) -> None:
        """Delete older files of ours, and what a killed process left half written."""
        for path in self.folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name not in stay and path.is_file():
                path.unlink(missing_ok=True)


def _archive(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


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
    film: Film | None = None,
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
        film: Is shown the population at the ticks that it wants to see.

    Raises:
        Refused: The numbers make no sense, or a checkpoint cannot be written.
    """
    _check(ticks, STRIDE if at_once is None else at_once, every)
    begun = population.tick
    pieces = [means] if means else []
    pace = _Pace()
    stopped, saved = False, None if checkpoint is None else checkpoint.tick
    if film is not None:
        film.look(population)
    while population.tick < ticks and not (stopped := stop is not None and anyone(stop())):
        most = pace.stretch if at_once is None else at_once
        pieces.append(pace.of(population, _until(population.tick, ticks, most, every, film)))
        if film is not None:
            film.look(population)
        if on_progress is not None:
            on_progress(pace.progress(population, ticks, begun))
        due = every is not None and population.tick % every == 0 and population.tick < ticks
        if checkpoint is not None and due:
            pieces = [_joined(pieces)]
            checkpoint.save(population, pieces[0], film)
            saved = population.tick
    whole = _joined(pieces)
    if checkpoint is not None and saved != population.tick:
        checkpoint.save(population, whole, film)
    return Outcome(
        means=whole,
        checksum=population.checksum(),
        progress=pace.progress(population, ticks, begun),
        stopped=stopped,
        resumed=begun or None,
    )


def _until(tick: int, ticks: int, most: int, every: int | None, film: Film | None) -> int:
    """How many ticks to go on by, before somebody wants to look at it or save it."""
    many = min(most, ticks - tick)
    if every is not None:
        # Saved at the same ticks, wherever it was resumed.
        many = min(many, every - tick % every)
    return many if film is None else min(many, film.until(tick))


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
        """How many ticks take about as long as somebody likes to wait.

        Several processes measure differently, and must go on by as many ticks.
        """
        if not self._ticks:
            return 1
        fit = _PATIENCE * self._ticks / max(self._seconds, 1e-9)
        return agreed(int(min(STRIDE, max(1, fit))))

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
