"""A whole run of a population: from what it was told to its files and its summary."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from hocket.core.errors import Refused
from hocket.core.values import Json
from hocket.population.devices import prepare
from hocket.population.pictures import draw, need_plots
from hocket.population.population import Population
from hocket.population.results import need_format, summary, write_results
from hocket.population.running import Checkpoints, Means, Outcome, Progress, run
from hocket.population.scenes import Film, need_map, scene_of
from hocket.population.settings import Picture, Settings
from hocket.population.staging import Stage, staged

Resume: TypeAlias = Literal["no", "yes", "if same"]
"""Whether a run goes on from what is saved; ``if same`` begins anew where that is of another."""


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

    Raises:
        Refused: It is at work already with others, or there are none of the kind.
    """
    prepare(None if settings.device == "gpu" else settings.devices, settings.device)


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

    Args:
        settings: Who lives where, and for how long.
        places: Where it reads and writes.
        resume: Whether it goes on from what is saved.
        say: Is told in a line what somebody should know.
        on_progress: Is told how far it is.
        stop: Is asked whether to stop; what was done is saved then.

    Raises:
        SpecError: What it was told makes no sense.
        NotFound: There is no such example, or no such file.
        Refused: It would take too much memory, something is not installed, cannot be written, or
            what is saved is of another run.
    """
    need_format(settings.format)
    if settings.picture is not None:
        need_plots(settings.picture)
    stage = staged(settings)
    if settings.picture is not None:
        need_map(stage.world)
    keep = None if places.checkpoint is None else Checkpoints(places.checkpoint)
    population, before = _begun(settings, stage, keep, resume, say)
    if population.tick > settings.ticks:
        raise Refused(
            f"tick {population.tick:,} is saved, and the run ends at {settings.ticks:,}: give more "
            "ticks, or begin anew elsewhere"
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
        settings.ticks,
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
    options = {"seed": settings.seed, "devices": settings.devices, "dtype": settings.dtype}
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
    return Population(
        stage.groups,
        stage.world,
        seed=settings.seed,
        devices=settings.devices,
        dtype=settings.dtype,
    ), {}


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
    if picture is not None and places.picture is not None:
        last = scene_of(population, stage.title)
        scenes = [last] if film is None else [*film.scenes, last]
        try:
            places.picture.parent.mkdir(parents=True, exist_ok=True)
            places.picture.write_bytes(draw(picture, scenes))
        except OSError as error:
            raise Refused(f"{places.picture} cannot be written: {error}") from error
        files[f"world.{picture}"] = places.picture
    return files
