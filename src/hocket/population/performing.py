"""A whole run of a population: from what it was told to its files and its summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from hocket.config.population import KEPT, KEPT_TOLD, Picture
from hocket.core.errors import Refused
from hocket.core.values import Json
from hocket.population.checkpoints import Unusable
from hocket.population.devices import prepare
from hocket.population.distributed import connect, led
from hocket.population.files import held, try_folder, write_whole
from hocket.population.pictures import draw, need_plots
from hocket.population.place import my_place
from hocket.population.population import Population
from hocket.population.results import need_format, summary, write_results
from hocket.population.running import Checkpoints, Means, Outcome, Progress, run
from hocket.population.scenes import Film, Scene, need_map, scene_of, unpacked
from hocket.population.settings import Settings
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
    led(lambda: _try(places))
    with ExitStack() as stack:
        keep = None
        if places.checkpoint is not None:
            keep = Checkpoints(places.checkpoint)
            led(lambda: stack.enter_context(held(keep.folder)))
        begun = _begun(settings, stage, keep, resume, say)
        film = _film(stage, begun, say) if settings.picture == "gif" else None
        outcome = run(
            begun.population,
            stage.told.ticks,
            at_once=settings.at_once,
            on_progress=on_progress,
            checkpoint=keep,
            every=settings.checkpoint_every,
            stop=stop,
            means=begun.means,
            film=film,
        )
    files: dict[str, Path] = {}
    if not outcome.stopped:
        files = _written(settings, places, begun.population, outcome, film, stage)
    return Performance(outcome=outcome, summary=summary(begun.population, outcome), files=files)


def _try(places: Places) -> None:
    """See before a long run that all can be written.

    Raises:
        Refused: It cannot.
    """
    picture = places.picture
    for folder in (places.checkpoint, places.out, picture and picture.parent):
        if folder is not None:
            try_folder(folder)
    if picture is not None and picture.is_dir():
        raise Refused(f"{picture} is a folder: give the picture another name")


def _staged(settings: Settings) -> Stage:
    """Make groups and a world, and see before a long run that its results can be written."""
    need_format(settings.format)
    if settings.picture is not None:
        need_plots(settings.picture)
    stage = staged(settings)
    if settings.picture is not None:
        need_map(stage.world)
    return stage


class _Begun(NamedTuple):
    """A population at the beginning of a run.

    Fields:
        population: The population.
        means: What happened before, if it was taken up.
        filmed: The scenes from before.
        resumed: Whether it was taken up.
    """

    population: Population
    means: Means
    filmed: Sequence[Scene] = ()
    resumed: bool = False


def _begun(
    settings: Settings,
    stage: Stage,
    keep: Checkpoints | None,
    resume: Resume,
    say: Callable[[str], None],
) -> _Begun:
    """Make the population, or take it up where it was saved."""
    told = stage.told
    options: dict[str, Any] = {
        "seed": told.seed,
        # Of several processes each has made ready as many as it was told.
        "devices": settings.devices if my_place() is None else None,
        "dtype": told.dtype,
    }
    if keep is not None:
        found = _taken_up(keep, stage, resume, options, say)
        if found is not None:
            say(f"goes on after tick {found.population.tick:,}")
            return found
    if stage.saved is None:
        population = Population(stage.groups, stage.world, **options)
    else:
        population = Population.restore(stage.saved, stage.groups, stage.world, **options)
        for name, wanted in stage.wishes.items():
            population.slots(name).set_preferences(wanted)
    if keep is not None:
        # Only now, as one that cannot begin must not lose what is saved.
        led(keep.clear)
    return _Begun(population, {})


def _taken_up(
    keep: Checkpoints,
    stage: Stage,
    resume: Resume,
    options: dict[str, Any],
    say: Callable[[str], None],
) -> _Begun | None:
    """Take up what is saved; None if nothing is, or it may be left behind.

    Raises:
        Refused: It must not be, or cannot be read now.
    """
    end = stage.told.ticks
    try:
        saved = keep.tick
        if saved is None:
            if resume == "yes":
                say("nothing is saved yet: begins with the first tick")
            return None
        if resume == "no":
            raise Refused(
                f"tick {saved:,} of a run is saved in {keep.folder}: go on with --resume, or give "
                "another folder"
            )
        if saved > end:
            why = f"tick {saved:,} is saved in {keep.folder}, and this run ends at tick {end:,}"
            raise Unusable(f"{why}: give as many ticks or more, or another folder to begin anew in")
        found = keep.load(stage.groups, stage.world, **options)
        filmed = unpacked(keep.load_film(), stage.title)
    except Unusable as error:
        if resume != "if same":
            raise
        say(f"begins anew: {error}")
        return None
    return None if found is None else _Begun(*found, filmed, True)


def _film(stage: Stage, begun: _Begun, say: Callable[[str], None]) -> Film:
    """What is filmed of a run; of one that was taken up, what was filmed before is part of it."""
    first = begun.filmed[0].tick if begun.filmed else begun.population.tick
    if begun.resumed and not begun.filmed:
        say(f"the animation begins after tick {first:,}: nothing was filmed before")
    return Film(stage.title, first, stage.told.ticks, begun.filmed)


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
    picture, path = settings.picture, places.picture
    if picture is not None and path is not None:
        scenes = [scene_of(population, stage.title)] if film is None else film.scenes
        led(lambda: _draw(path, picture, scenes))
        files[f"world.{picture}"] = path
    return files


def _draw(path: Path, picture: Picture, scenes: Sequence[Scene]) -> None:
    try:
        write_whole(path, draw(picture, scenes))
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error}") from error
