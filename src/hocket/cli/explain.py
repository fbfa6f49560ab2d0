"""The command ``explain``: why a run was slow, of our own runs and of others' logs."""

from __future__ import annotations

import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from hocket.app.engine import Engine
from hocket.app.explain import Explained, explain_run, explained
from hocket.app.logs import read_log
from hocket.app.rest import collector_rests
from hocket.app.state import find_run
from hocket.cli.look import AsJson
from hocket.cli.output import pretty
from hocket.cli.shown import SHOWN
from hocket.core.errors import Refused
from hocket.insight.explain import explain
from hocket.report.explain import explain_lines
from hocket.report.explain_data import explain_document
from hocket.report.explain_width import wrapped
from hocket.report.html import explain_html
from hocket.report.perfetto import perfetto
from hocket.report.picture import timeline_svg

_WIDE = 120
_NARROW = 60


Foreign = Annotated[
    Literal["massgen", "otlp", "chrome"] | None,
    Parameter(name="--from", help="RUN is another program's log: massgen, otlp or chrome."),
]
Calls = Annotated[
    Path | None, Parameter(help="What the server saw of a MassGen run, in lines of JSON.")
]
Turn = Annotated[
    str | None, Parameter(help="Which turn, attempt or trace of a log, where it has several.")
]
Html = Annotated[Path | None, Parameter(help="Write one page for a browser there.")]
Svg = Annotated[Path | None, Parameter(help="Write the timeline as a picture there.")]
Perfetto = Annotated[
    Path | None, Parameter(name="--perfetto", help="Write a trace for ui.perfetto.dev there.")
]
By = Annotated[
    Literal["agent", "slot", "step", "limit"],
    Parameter(help="What the picture's lanes are.", show_default=True),
]
Simulate = Annotated[
    bool,
    Parameter(
        help="Simulate what the findings propose.", negative="--no-simulate", show_default=True
    ),
]
All = Annotated[bool, Parameter(name="--all", help="Leave nothing out.", negative=())]


def explain_(
    run: Annotated[str, SHOWN] = "last",
    /,
    *,
    from_: Foreign = None,
    calls: Calls = None,
    turn: Turn = None,
    html: Html = None,
    svg: Svg = None,
    perfetto_: Perfetto = None,
    by: By = "agent",
    simulate: Simulate = True,
    all_: All = False,
    json_: AsJson = False,
) -> int:
    """Say where the time, the tokens and the money of a run went, and what to change.

    Args:
        run: The run's id, its beginning, or "last"; with --from a log's file or folder.
    """
    if from_ is None and (calls is not None or turn is not None):
        option = "--calls" if calls is not None else "--turn"
        raise Refused(f"{option} is for others' logs: hocket explain --from massgen FOLDER")
    if from_ is not None:
        with collector_rests():
            told = Explained(explain(read_log(from_, Path(run), calls=calls, turn=turn)))
    else:
        with closing(Engine()) as engine:
            run_id = find_run(engine.journal, run)
            if simulate:
                told = explained(engine.journal, run_id)
            else:
                told = Explained(explain_run(engine.journal, run_id))
    explanation, gains = told.explanation, told.gains
    if html is not None:
        _write(html, explain_html(explanation, gains).encode())
    if svg is not None:
        _write(svg, timeline_svg(explanation, by).encode())
    if perfetto_ is not None:
        _write(perfetto_, perfetto(explanation))
    if json_:
        print(pretty(explain_document(explanation, gains)))
        return 0
    width = max(_NARROW, min(_WIDE, shutil.get_terminal_size().columns))
    for line in explain_lines(explanation, gains, width, whole=all_):
        print(line)
    if told.note:
        print("", *wrapped(told.note, width), sep="\n")
    return 0


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror or error}") from error
    print(f"wrote {path}", file=sys.stderr)
