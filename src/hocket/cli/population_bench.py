"""The command ``population bench``: what populations cost on this machine, as a report."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter, validators

from hocket.cli.options import AsJson
from hocket.cli.output import pretty
from hocket.population.settings import need_extra

FOLDER: Final = Path("population-report")


def bench(
    *,
    out: Annotated[
        Path,
        Parameter(help="A folder for the report, its figures and its data.", show_default=True),
    ] = FOLDER,
    quick: Annotated[
        bool, Parameter(help="A few minutes instead, and noisier.", negative=())
    ] = False,
    most: Annotated[
        int,
        Parameter(
            help="The largest number of agents.",
            show_default=True,
            validator=validators.Number(gte=1),
        ),
    ] = 1_000_000,
    device: Annotated[
        Literal["cpu", "gpu"] | None, Parameter(help="Where; else what JAX prefers.")
    ] = None,
    iterations: Annotated[
        int,
        Parameter(
            help="How often each thing is timed, if there is time.",
            show_default=True,
            validator=validators.Number(gte=5),
        ),
    ] = 100,
    json_: AsJson = False,
) -> int:
    """Measure what populations cost on this machine, and write a report of it.

    Scaling, patterns of coordination, efficiency, real time, memory, precision, the
    recommendations of the report that this was begun with, and where the time goes.
    Every number in it comes from this run. It takes about twenty minutes; leave the machine alone.
    """
    need_extra()
    study: Any = import_module("hocket.population.bench.study")
    figures: Any = import_module("hocket.population.bench.figures")
    figures.need_plots()
    extent = (
        study.Extent.quick(most, iterations)
        if quick
        else study.Extent(most=most, iterations=iterations)
    )
    results, raw = study.study(extent, platform=device, tell=_tell)
    written = study.write(results, raw, out)
    if json_:
        print(pretty(results))
    else:
        for path in written:
            print(path)
    return 0


def _tell(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr, flush=True)
