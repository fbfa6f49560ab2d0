"""The commands about populations of active-inference agents: ``population run`` and its like."""

from __future__ import annotations

from typing import Final

from cyclopts import App

from hocket.cli.main import ELSEWHERE

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "run": ("hocket.cli.population_run:run", "Run a population, or go on with one."),
    "list": ("hocket.cli.population_run:list_", "List the examples."),
    "check": ("hocket.cli.population_check:check", "Find every mistake in a model."),
    "bench": ("hocket.cli.population_bench:bench", "Measure populations; write a report."),
}

app = App(
    name="population",
    help="Run, check and measure populations of active-inference agents.",
    help_epilogue=ELSEWHERE,
    help_format="plaintext",
)
for _place, (_name, (_where, _help)) in enumerate(COMMANDS.items()):
    app.command(_where, name=_name, help=_help, sort_key=_place)
