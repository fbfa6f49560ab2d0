"""Commands that run populations: ``population run`` and ``population list``."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from hocket.cli.options import AsJson, Plain, Quiet
from hocket.cli.output import pretty
from hocket.cli.population_nodes import Files, OnNodes, Performed, perform_on_nodes
from hocket.core.errors import Refused, suggest
from hocket.core.values import Json
from hocket.population.place import my_place
from hocket.population.ready import examples
from hocket.population.settings import Settings, need_extra, read_settings

_FILES: Final = (".gmn", ".json", ".npz")
_PICTURES: Final = (".svg", ".png", ".gif")
_PERIOD: Final = 2.0
"""The least seconds between two plain lines."""
_INTERRUPTED: Final = 130
_BAR: Final = 30
"""The most columns of a bar; one of less than a third is left out."""
_MARGIN: Final = 4
"""Columns that stay free at the end of a line, for the terminal's own "^C"."""


Device = Annotated[Literal["cpu", "gpu"] | None, Parameter(help="Where; else what JAX prefers.")]
Form = Annotated[Literal["npz", "parquet"], Parameter(help="What these are.", show_default=True)]
Processes = Annotated[
    int, Parameter(help="How many processes share the work: 1, 2, 4 or 8.", show_default=True)
]
Devices = Annotated[int | None, Parameter(help="Cores or GPUs per process; else all.")]
Dtype = Annotated[Literal["float32", "float64"], Parameter(help="How exactly.", show_default=True)]
AtOnce = Annotated[int | None, Parameter(help="The most ticks between two looks, 1 to 32.")]
Set = Annotated[
    list[str],
    Parameter(name="--set", help="An example's option, as length=2; repeatable.", negative=()),
]
Resume = Annotated[bool, Parameter(help="Go on from what is saved in --checkpoint.", negative=())]


def list_(*, json_: AsJson = False) -> int:
    """List the examples that can be run, with their options."""
    told = examples()
    if json_:
        print(pretty(told))
        return 0
    for example in told:
        print(f"{example['name']}: {example['about']}")
        print("    --set " + " ".join(f"{k}={_shown(v)}" for k, v in example["options"].items()))
    return 0


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def run(
    what: str,
    /,
    *,
    agents: Annotated[int, Parameter(help="How many agents there are.", show_default=True)] = 1_000,
    ticks: Annotated[int, Parameter(help="How many ticks in all.", show_default=True)] = 100,
    seed: Annotated[int, Parameter(help="Where chance comes from.", show_default=True)] = 0,
    set_: Set | None = None,
    device: Device = None,
    devices: Devices = None,
    processes: Processes = 1,
    on: Annotated[OnNodes, Parameter(name="*")] = OnNodes(),  # noqa: B008
    dtype: Dtype = "float32",
    at_once: AtOnce = None,
    checkpoint: Annotated[
        Path | None, Parameter(help="A folder in which it is saved, to go on from.")
    ] = None,
    every: Annotated[int | None, Parameter(help="Save it also all so many ticks.")] = None,
    resume: Resume = False,
    out: Annotated[Path | None, Parameter(help="A folder for the results.")] = None,
    format: Form = "npz",
    picture: Annotated[
        Path | None, Parameter(help="A .svg or .png of the world at the end, or a .gif of it all.")
    ] = None,
    plain: Plain = False,
    quiet: Quiet = False,
    json_: AsJson = False,
) -> int:
    """Run a population of active-inference agents, or go on with one.

    The same seed gives the same result, to the last bit, on any number of cores and processes, and
    of a cluster's nodes.
    Ctrl-C ends it after the ticks that are being done, and saves it if there is --checkpoint.

    Args:
        what: An example of "hocket population list", or a model's file (GMN as text or JSON, npz).
    """
    given: dict[str, Json] = {
        "model" if _is_file(what) else "example": what,
        **{"agents": agents, "ticks": ticks, "seed": seed, "set": _options(set_ or ())},
        **{"device": device, "devices": devices, "dtype": dtype, "at_once": at_once},
        **{"checkpoint_every": every, "format": format, "picture": _kind(picture)},
    }
    if checkpoint is None:
        _need_no_place(every, resume=resume)
    need_extra()
    on.check()
    given = {key: value for key, value in given.items() if value is not None}
    settings = read_settings(given)
    show, files = _Show(plain=plain or json_, quiet=quiet), Files(checkpoint, out, picture)
    if on.cluster is not None:
        again = _again(sys.argv[1:])
        done = perform_on_nodes(given, on, processes, show, show, files, resume=resume, again=again)
        return _report(done, checkpoint, show, as_json=json_)
    if processes != 1:
        return _together(processes, saves=checkpoint is not None)
    return _perform(settings, show, files, resume=resume, as_json=json_)


def _together(processes: int, *, saves: bool) -> int:
    """Run this command in several processes; gives the status that all of them end with."""
    distributed = import_module("hocket.population.distributed")
    if my_place() is not None:
        raise Refused("this is one of several processes already: leave out --processes")
    arguments = _without("--processes", sys.argv[1:])
    again = _again(sys.argv[1:]) if saves else None
    command = [sys.executable, "-P", "-m", "hocket", *arguments]
    status: int = distributed.run_processes(command, processes, resume=again).status
    return status


def _without(option: str, arguments: Sequence[str]) -> list[str]:
    """Leave an option and its value out."""
    left: list[str] = []
    given = iter(arguments)
    for one in given:
        if one == option:
            next(given, None)
        elif not one.startswith(f"{option}="):
            left.append(one)
    return left


def _again(arguments: Sequence[str]) -> str:
    """The command that goes on with what this one has saved."""
    return shlex.join(["hocket", *(part for part in arguments if part != "--resume"), "--resume"])


def _perform(settings: Settings, show: _Show, files: Files, *, resume: bool, as_json: bool) -> int:
    performing = import_module("hocket.population.performing")
    performing.use_devices(settings)
    leads = import_module("hocket.population.distributed").leads()
    if not leads:
        show.hush()
    with show:
        done = performing.perform(
            settings,
            performing.Places(checkpoint=files.checkpoint, out=files.out, picture=files.picture),
            resume="yes" if resume else "no",
            say=show.say,
            on_progress=show.progress,
            stop=lambda: show.stopped,
        )
    outcome = done.outcome
    if not leads:
        return _INTERRUPTED if outcome.stopped else 0
    course = import_module("hocket.population.results").course
    output = {
        "summary": done.summary,
        "means": course(outcome.means, last=outcome.progress.tick),
        "checksum": outcome.checksum,
    }
    performed = Performed(output, done.files, outcome.progress.tick, outcome.stopped)
    return _report(performed, files.checkpoint, show, as_json=as_json)


def _report(done: Performed, checkpoint: Path | None, show: _Show, *, as_json: bool) -> int:
    """Say what came of it, or how to go on; gives the exit status."""
    if as_json and done.output is not None:
        print(pretty({**done.output, "files": {n: str(path) for n, path in done.files.items()}}))
    elif done.output is not None and not done.stopped:
        _tell(done.output["summary"], done.files)
    if not done.stopped:
        return 0
    if checkpoint is None:
        show.say(f"stopped after tick {done.tick:,}; nothing is saved without --checkpoint DIR")
    else:
        place = my_place()
        # The one that has started all of them was told how many.
        started = None if place is None or place.parent is None else place.processes
        many = [] if started is None else ["--processes", str(started)]
        show.say(f"stopped and saved after tick {done.tick:,}; it goes on with:")
        show.say(f"  {_again([*sys.argv[1:], *many])}")
    return _INTERRUPTED


def _need_no_place(every: int | None, *, resume: bool) -> None:
    """Refuse what makes no sense without a folder in which it is saved."""
    if every is not None:
        raise Refused("--every says how often, and --checkpoint DIR where: give both")
    if resume:
        raise Refused("--resume goes on from what is saved: say where, by --checkpoint DIR")


def _is_file(what: str) -> bool:
    return Path(what).suffix.lower() in _FILES or "/" in what or Path(what).is_file()


def _options(given: Sequence[str]) -> dict[str, Json]:
    """Read ``key=value``: values are JSON, or else texts."""
    options: dict[str, Json] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not key or not equals:
            raise Refused(f"--set {one!r}: write it as KEY=VALUE")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options


def _kind(picture: Path | None) -> str | None:
    if picture is None:
        return None
    suffix = picture.suffix.lower()
    if suffix not in _PICTURES:
        hint = suggest(suffix, _PICTURES) or f"end it in {', '.join(_PICTURES)}"
        raise Refused(f"--picture {picture}: {hint}")
    return suffix[1:]


def _tell(summary: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    """Tell what came of it, for people."""
    for group in summary["groups"]:
        print(f"{group['group']}: {group['agents']:,} agents after {summary['ticks']:,} ticks")
        for name, values in group.get("means", {}).items():
            if name != "alive" and values["mean"] is not None:
                ends = f"{_figure(values['first'])} at first, {_figure(values['last'])} at last"
                print(f"  {name.replace('_', ' ')}: {_figure(values['mean'])} on average ({ends})")
        for factor, belief in group.get("beliefs", {}).items():
            entropy, most = belief["entropy"], belief["entropy_at_most"]
            print(f"  uncertainty of {factor}: {entropy:.3g} of at most {most:.3g} nats")
    pace = summary["pace"]
    if pace["ticks_per_second"] is not None:
        steps = pace["agent_steps_per_second"]
        print(f"pace: {pace['ticks_per_second']:,.1f} ticks/s, {steps:,.0f} agent-steps/s")
        print(
            f"real-time factor: {pace['real_time_factor']:.3g} "
            f"(a tick is {pace['tick_in_real_time'] * 1000:g} ms of the agents' time; at 1 and "
            "above it keeps up)"
        )
    print(f"checksum: {summary['checksum']}")
    for path in files.values():
        print(f"written: {path}")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


class _Show:
    """Shows on stderr how far a run is, and takes Ctrl-C.

    Args:
        plain: Lines also on a terminal.
        quiet: Nothing but what somebody must know.
    """

    def __init__(self, *, plain: bool, quiet: bool) -> None:
        self.stopped = False
        self._hushed = False
        self._console = Console(stderr=True)
        self._quiet = quiet
        drawn = self._console.is_terminal and not plain and not quiet
        self._line = _Line(self._console) if drawn else None
        self._told = time.monotonic()
        self._before: Any = None

    def __enter__(self) -> _Show:
        """Begin; the first Ctrl-C asks for an end from now on, the second one is one."""
        self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        if self._line is not None:
            self._line.erase()
        signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, *_: object) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True

    def hush(self) -> None:
        """Show and say nothing from now on: another process does."""
        self._quiet = self._hushed = True
        self._line = None

    def say(self, text: str) -> None:
        """Say a line."""
        if self._line is not None:
            self._line.erase()
        if not self._hushed:
            print(text, file=sys.stderr, flush=True)

    def progress(self, progress: Any) -> None:
        """Show how far it is."""
        line = import_module("hocket.population.running").progress_line(progress)
        self.show(progress.tick / max(progress.ticks, 1), line)

    def show(self, share: float, line: str) -> None:
        """Show how far it is: how much of all is done, and a line."""
        if self._quiet:
            return
        if self._line is not None:
            self._line.draw(share, line)
            return
        now = time.monotonic()
        if now - self._told >= _PERIOD:
            self._told = now
            self.say(line)


class _Line:
    """A bar and a line that are drawn at one place of a terminal, however narrow it is.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._columns = 0

    def draw(self, share: float, line: str) -> None:
        """Draw anew.

        Args:
            share: How much of the bar is full, 0 to 1.
            line: What stands beside it.
        """
        room = self._console.width - _MARGIN
        bar = min(_BAR, room - len(line) - 1)
        full = round(bar * share)
        text = Text()
        if bar >= _BAR // 3:
            text.append("━" * full, "bar.complete").append("─" * (bar - full) + " ", "bar.back")
        text.append(line)
        text.truncate(room, overflow="ellipsis")
        self.erase()
        self._console.print(text, end="", no_wrap=True, highlight=False)
        self._columns = text.cell_len

    def erase(self) -> None:
        """Erase it."""
        # A terminal that has become narrower has wrapped it.
        rows = -(-self._columns // max(self._console.width, 1))
        if rows:
            self._console.file.write("\r\x1b[2K" + "\x1b[1A\x1b[2K" * (rows - 1))
            self._console.file.flush()
        self._columns = 0
