"""The command ``simulate``: a run or a file's plan beside variants of it."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

from cyclopts import Parameter, validators

from hocket.app.engine import Engine
from hocket.app.load import checked, load_file, settle
from hocket.app.simulate import RUNS, Otherwise, Playing, simulate_plan, simulate_run
from hocket.app.state import find_run
from hocket.cli.options import FILE, Inputs
from hocket.cli.output import pretty, print_lines
from hocket.cli.shown import SHOWN
from hocket.cli.start import read_inputs
from hocket.config.overrides import read_part, read_value
from hocket.config.simulate import said
from hocket.config.simulate_parts import PeoplePart
from hocket.core.errors import NotFound, Refused
from hocket.report.forest import forest_svg
from hocket.report.frontier import frontier_svg
from hocket.report.study import study_document, study_lines
from hocket.simulator.outcome import Study

_EVERY: Final = 0.1
"""After so many seconds a terminal is told again how far it is."""

Settings = Annotated[
    list[str],
    Parameter(
        name="--set",
        negative=(),
        help="KEY=VALUE, as limits.flash.requests=15/min; all of them are one variant.",
    ),
]
Varied = Annotated[
    list[str],
    Parameter(
        name="--vary",
        negative=(),
        help="KEY=1..8, KEY=1..9:2 or KEY=a,b,c: a variant for each value, with what --set says.",
    ),
]
Variants = Annotated[
    list[str],
    Parameter(
        name="--variant", negative=(), help="A variant of its own, as 'max_parallel=2 timeout=1h'."
    ),
]
Faults = Annotated[
    list[str],
    Parameter(
        name="--fault",
        negative=(),
        help="What goes wrong, as 'flash down 30s at 1m', '5% hang', 'machine dies at 2m'.",
    ),
]


Runs = Annotated[
    int,
    Parameter(
        help=f"How many runs of each variant; else as the file says, or {RUNS}.",
        validator=validators.Number(gte=1),
    ),
]
Seed = Annotated[int, Parameter(help="Where chance comes from; else as the file says, or 0.")]
PeopleAfter = Annotated[
    str, Parameter(help="How long people take to answer, as 30s, or never; of a file.")
]
Svg = Annotated[Path, Parameter(help="Draw the variants' times there.")]
Frontier = Annotated[Path, Parameter(help="Draw time against cost there.")]
Workers = Annotated[
    int,
    Parameter(
        help="Processes that share the work; the result does not depend on it.",
        validator=validators.Number(gte=1),
        show_default=True,
    ),
]
AsJson = Annotated[
    bool, Parameter(name="--json", help="One JSON document for programs.", negative=())
]


def simulate(
    target: Annotated[str, SHOWN] = "last",
    plan: str | None = None,
    /,
    *,
    set_: Settings | None = None,
    vary: Varied | None = None,
    variant: Variants | None = None,
    fault: Faults | None = None,
    runs: Runs | None = None,
    seed: Seed | None = None,
    input_: Inputs | None = None,
    people_after: PeopleAfter | None = None,
    svg: Svg | None = None,
    frontier: Frontier | None = None,
    workers: Workers = 1,
    json_: AsJson = False,
) -> int:
    """Say what a run would take otherwise: other limits, policies, models, counts, faults.

    Nothing is called: agents are simulated by what a run has recorded, by a file's simulate
    section, by earlier runs of its plan, or by what is assumed, which is told.

    Args:
        target: A run's id, its beginning, or "last"; or a file.
        plan: The plan's name, where a file has several.
    """
    other = Otherwise(set_ or (), vary or (), variant or (), fault or ())
    with closing(Engine()) as engine, _Told() as told:
        how = Playing(runs, seed, workers, told.progress)
        if _is_file(target):
            people = _people(people_after)
            study = _of_file(engine, Path(target), plan, other, how, input_ or (), people)
        else:
            _refuse(plan, input_ or (), people_after)
            run_id = _run(engine, target)
            study = simulate_run(engine.journal, run_id, other, how)
        stopped = told.stopped
    if svg is not None:
        _write(svg, forest_svg(study))
    if frontier is not None:
        _write(frontier, frontier_svg(study))
    _print(study, json_)
    if stopped:
        print(f"hocket: stopped after {_played(study)} of each variant", file=sys.stderr)
    return 0


def _print(study: Study, json_: bool) -> None:
    if json_:
        print(pretty(study_document(study)))
        return
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print_lines(study_lines(study, columns))


def _is_file(target: str) -> bool:
    return target.endswith((".yaml", ".yml")) or Path(target).is_file()


def _of_file(
    engine: Engine,
    path: Path,
    plan: str | None,
    other: Otherwise,
    how: Playing,
    inputs: Sequence[str],
    people: dict[str, Any],
) -> Study:
    loaded = load_file(path)
    spec = settle(checked(loaded, plan), path, loaded)
    return simulate_plan(
        engine.journal,
        spec,
        other,
        how,
        name=str(path),
        inputs=read_inputs(inputs),
        people=people,
        loaded=loaded,
    )


def _refuse(plan: str | None, inputs: Sequence[str], people_after: str | None) -> None:
    """Refuse what is for files: a run has a plan, inputs and people."""
    if plan is not None:
        raise Refused(f"a run has one plan: leave {plan!r} out, or name a file")
    if inputs:
        raise Refused("--input is for files; a run has its inputs: write --set inputs.NAME=VALUE")
    if people_after is not None:
        said = "a run tells how long people took"
        raise Refused(f"--people-after is for files; {said}: write --set people.after=30s")


def _run(engine: Engine, target: str) -> str:
    try:
        return find_run(engine.journal, target)
    except NotFound as error:
        if target != "last" or not Path(FILE).exists():
            raise
        raise NotFound(
            f"{error}; to simulate a plan that never ran: hocket simulate {FILE}"
        ) from None


def _people(after: str | None) -> dict[str, Any]:
    if after is None:
        return {}
    told = f"--people-after {after!r}"
    return said(read_part(told, PeoplePart, {"after": read_value(told, after)}))


def _played(study: Study) -> str:
    return "1 run" if study.baseline.runs == 1 else f"{study.baseline.runs:,} runs"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror or error}") from error
    print(f"wrote {path}", file=sys.stderr)


class _Told:
    """Tells a terminal how far a study is, and stops it at Ctrl-C with what is done.

    A second Ctrl-C ends at once.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._shown = False
        self._next = 0.0
        self._before: Any = None

    def __enter__(self) -> _Told:
        """Listen to Ctrl-C."""
        self._before = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more, and clear the line."""
        signal.signal(signal.SIGINT, self._before)
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def progress(self, done: int, total: int) -> bool:
        """Say how far it is; gives whether to go on."""
        now = time.monotonic()
        if sys.stderr.isatty() and now >= self._next:
            self._next = now + _EVERY
            self._shown = True
            line = f"\r\x1b[Ksimulated {done:,} of {total:,} runs"
            print(line, end="", file=sys.stderr, flush=True)
        return not self.stopped

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True
