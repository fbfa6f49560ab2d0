"""The command ``stats``: how well runs go in general."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated

from cyclopts import Parameter

from hocket.app.engine import Engine
from hocket.app.indicators import Indicators
from hocket.cli.address import check_there
from hocket.cli.options import AsJson
from hocket.cli.output import pretty, print_table
from hocket.core.errors import Refused
from hocket.core.values import parse_duration
from hocket.insight.indicators import stats
from hocket.report.stats import stats_document, stats_tables

Since = Annotated[
    str | None, Parameter(help="Only runs that began within so long, as 24h or 7d; else all.")
]


def stats_(*, since: Since = None, json_: AsJson = False) -> int:
    """Sum up how well runs go: step times, completion, refusals, efficiency, errors, cost.

    What a server alone knows, as its largest frame and its memory, is on its page.
    """
    check_there()
    now = time.time_ns()
    begin = 0
    if since is not None:
        try:
            begin = now - parse_duration(since)
        except ValueError as error:
            raise Refused(f"--since: {error}") from error
    with closing(Engine()) as engine:
        found = stats(Indicators(engine.journal).figures(begin).values(), begin, now)
    if json_:
        print(pretty(stats_document(found)))
        return 0
    for place, (head, rows) in enumerate(stats_tables(found)):
        print(end="\n" if place else "")
        print_table(head, rows)
    return 0
