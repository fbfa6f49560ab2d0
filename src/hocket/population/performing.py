"""A whole run of a population: from what it was told to its files and its summary."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from hocket.core.errors import Refused
from hocket.core.values import Json
from hocket.population.devices import prepare
from hocket.population.distributed import connect, led, my_place
from hocket.population.pictures import draw, need_plots
from hocket.population.population import Population
from hocket.population.results import need_format, summary, write_results
from hocket.population.running import Checkpoints, Means, Outcome, Progress, run, write_whole
from hocket.population.scenes import Film, Scene, need_map, scene_of
from hocket.population.settings import Picture, Settings
from hocket.population.staging import Stage, staged

Resume: TypeAlias = Literal["no", "yes", "if same"]
"""Whether a run goes on from what is saved; ``if same`` begins anew where that is of another."""

KEPT: Final = "population.npz"
KEPT_TOLD: Final = "population.json"
"""The files of a population that another run can go on with: itself, and what it was told."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a run reads and writes.

    Fields:
        checkpoint: The folder of its checkpoint, if it has one.
        out: The folder of its results, if they are kept.
        picture: The file of its picture, if there is one.
    """

    checkpoint: Path | None = None
    out: Path | None = None
    picture: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What came of it.

    Fields:
        outcome: The run.
        summary: It in a few lines of JSON.
        files: What was written, by name.
    """

    outcome: Outcome
    summary: dict[str, Json]
    files: dict[str, Path]


def use_devices(settings: Settings) -> None:
    """Have JAX use the devices that were asked for, before anything is computed.

    Where this is one of several processes it joins the others; devices are its own then.

    Raises:
        Refused: It is at work already with others, there are none of the kind, or the other
            processes are not found.
    """
    devices = None if settings.device == "gpu" else settings.devices
    place = my_place()
    if place is None:
        prepare(devices, settings.device)
    else:
        connect(place, devices, settings.device)


def perform(
    settings: Settings,
    places: Places,
    *,
    resume: Resume = "no",
    say: Callable[[str], None],
    on_progress: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> Performance:
    """Run a population as it was told.

    Of several processes each must do this, and the leading one writes.

    Args:
        settings: Who lives where, and for how long.
        places: Where it reads and writes.
        resume: Whether it goes on from what is saved.
        say: Is told in a line what somebody should know.
        on_progress: Is told how far it is.
        stop: Is asked whether to stop; what was done is saved then, once any process says so.

    Raises:
        SpecError: What it was told makes no sense.
        NotFound: There is no such example, or no such file.
        Refused: It would take too much memory, something is not installed, cannot be written, or
            what is saved is of another run.
    """
    stage = _staged(settings)
    keep = None if places.checkpoint is None else Checkpoints(places.checkpoint)
    population, before = _begun(settings, stage, keep, resume, say)
    if population.tick > stage.told.ticks:
        raise Refused(
            f"tick {population.tick:,} is saved, and the run ends at {stage.told.ticks:,}: give "
            "more ticks, or begin anew elsewhere"
        )
    film = Film() if settings.picture == "gif" else None

    def told(progress: Progress) -> None:
        if film is not None:
            film.add(lambda: scene_of(population, stage.title))
        on_progress(progress)

    if film is not None:
        film.add(lambda: scene_of(population, stage.title))
    outcome = run(
        population,
        stage.told.ticks,
        at_once=settings.at_once,
        on_progress=told,
        checkpoint=keep,
        every=settings.checkpoint_every,
        stop=stop,
        means=before,
    )
    files: dict[str, Path] = {}
    if not outcome.stopped:
        files = _written(settings.picture, settings, places, population, outcome, film, stage)
    return Performance(outcome=outcome, summary=summary(population, outcome), files=files)


def _staged(settings: Settings) -> Stage:
    """Make groups and a world, and see before a long run that its results can be written."""
    need_format(settings.format)
    if settings.picture is not None:
        need_plots(settings.picture)
    stage = staged(settings)
    if settings.picture is not None:
        need_map(stage.world)
    return stage


def _begun(
    settings: Settings,
    stage: Stage,
    keep: Checkpoints | None,
    resume: Resume,
    say: Callable[[str], None],
) -> tuple[Population, Means]:
    """Make the population, or take it up where it was saved."""
    saved = None if keep is None else keep.tick
    if keep is not None and saved is not None and resume == "no":
        raise Refused(
            f"tick {saved:,} of a run is saved in {keep.folder}: go on with --resume, or give "
            "another folder"
        )
    told = stage.told
    options: dict[str, Any] = {
        "seed": told.seed,
        # Of several processes each has made ready as many as it was told.
        "devices": settings.devices if my_place() is None else None,
        "dtype": told.dtype,
    }
    if keep is not None and resume != "no":
        try:
            found = keep.load(stage.groups, stage.world, **options)
        except Refused as error:
            if resume == "yes":
                raise
            say(f"begins anew: {error}")
            shutil.rmtree(keep.folder, ignore_errors=True)
            found = None
        if found is not None:
            say(f"goes on after tick {found[0].tick:,}")
            return found
        if resume == "yes":
            say("nothing is saved yet: begins with the first tick")
    if stage.saved is None:
        return Population(stage.groups, stage.world, **options), {}
    population = Population.restore(stage.saved, stage.groups, stage.world, **options)
    for name, wanted in stage.wishes.items():
        population.slots(name).set_preferences(wanted)
    return population, {}


def _kept(folder: Path, population: Population, stage: Stage) -> dict[str, Path]:
    """Keep the population itself, with what makes it, so that another run can go on with it."""
    saved, told = folder / KEPT, folder / KEPT_TOLD
    try:
        population.save(saved)
        settings = msgspec.structs.replace(stage.told, ticks=population.tick, keep=False)
        led(lambda: write_whole(told, msgspec.json.encode(settings)))
    except OSError as error:
        raise Refused(f"{folder} cannot be written: {error}") from error
    return {KEPT: saved, KEPT_TOLD: told}


def _written(
    picture: Picture | None,
    settings: Settings,
    places: Places,
    population: Population,
    outcome: Outcome,
    film: Film | None,
    stage: Stage,
) -> dict[str, Path]:
    """Write what is wanted; gives the files by name."""
    files: dict[str, Path] = {}
    if places.out is not None:
        write_results(places.out, population, outcome, settings.format)
        files = {
            f"{name}.{settings.format}": places.out / f"{name}.{settings.format}"
            for name in ("means", "agents")
        }
        if settings.keep:
            files |= _kept(places.out, population, stage)
    if picture is not None and places.picture is not None:
        last = scene_of(population, stage.title)
        scenes = [last] if film is None else [*film.scenes, last]
        path = places.picture
        led(lambda: _draw(path, picture, scenes))
        files[f"world.{picture}"] = path
    return files


def _draw(path: Path, picture: Picture, scenes: Sequence[Scene]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(picture, scenes))
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error}") from error
