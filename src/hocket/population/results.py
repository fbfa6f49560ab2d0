"""What came of a run: its course, its agents at the end, and a summary, as files and as JSON."""

from __future__ import annotations

import math
import platform
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from hocket._version import __version__
from hocket.config.population import Format
from hocket.core.errors import Refused
from hocket.core.values import Json
from hocket.population.distributed import led
from hocket.population.files import whole
from hocket.population.population import Population
from hocket.population.running import TARGET, Means, Outcome
from hocket.population.worlds.world import describe

Table = dict[str, NDArray[Any]]
"""Columns of equal length, by name."""

POINTS: Final = 100
"""The most points of a course that is shown as JSON; files have all of it."""
_COLUMNS: Final = 4
"""The most numbers of one kind that an agent of a world may have to become columns."""


def agents_table(population: Population) -> Table:
    """All living agents, a row for each in the order of their numbers.

    Returns:
        ``id``, ``group``; for each state factor ``FACTOR_likeliest`` (the number of the state) and
        ``FACTOR_entropy`` (of the belief, in nats); and what the world remembers of each agent, as
        ``world_NAME``.
        Where groups have different factors, -1 and NaN stand for what an agent has no idea of.
    """
    parts = [_of_group(population, group.name) for group in population.groups]
    columns = dict.fromkeys(name for part in parts for name in part)
    table = {
        name: np.concatenate([_column(part, name, parts) for part in parts]) for name in columns
    }
    order = np.argsort(table["id"], kind="stable")
    table = {name: rows[order] for name, rows in table.items()}
    for name, rows in population.world_state().own.items():
        values = np.asarray(rows)
        if name == "id":
            continue
        if values.ndim == 1:
            table[f"world_{name}"] = values
        elif values.ndim == 2 and len(values) == 1:
            table[f"world_{name}"] = values[0]
        elif values.ndim == 2 and len(values) <= _COLUMNS:
            table.update({f"world_{name}_{n}": row for n, row in enumerate(values)})
    return table


def _of_group(population: Population, name: str) -> Table:
    group = next(group for group in population.groups if group.name == name)
    slots = population.slots(name)
    ids = slots.ids
    table: Table = {"id": ids, "group": np.full(len(ids), name, f"<U{max(len(name), 1)}")}
    if group.beliefs != "full":
        return table
    named = group.model.names.factors
    for factor, held in enumerate(slots.held()):
        title = named[factor] if named else f"factor_{factor}"
        table[f"{title}_likeliest"] = held.likeliest
        table[f"{title}_entropy"] = held.entropy
    return table


def _column(part: Table, name: str, parts: list[Table]) -> NDArray[Any]:
    if name in part:
        return part[name]
    like = next(other[name] for other in parts if name in other)
    missing = -1 if np.issubdtype(like.dtype, np.integer) else np.nan
    return np.full(len(part["id"]), missing, like.dtype)


def means_table(means: Means, last: int | None = None) -> Table:
    """The course of a run, a row for each tick.

    Args:
        means: What happened.
        last: The number of the last tick, where it did not begin with tick 1.
    """
    ticks = len(next(iter(means.values()))) if means else 0
    end = ticks if last is None else last
    return {"tick": np.arange(end - ticks + 1, end + 1), **means}


def write_table(path: Path, table: Table, form: Format) -> None:
    """Write columns to a file, which is there whole or not at all.

    Args:
        path: The file.
        table: The columns.
        form: ``npz``, an array for each column; or ``parquet``.

    Raises:
        Refused: It cannot be written, or what writes Parquet is not installed.
    """
    try:
        with whole(path) as file:
            if form == "npz":
                # A slash would be a folder within the archive.
                flat = {name.replace("/", "."): rows for name, rows in table.items()}
                np.savez(file, **flat)  # type: ignore[arg-type]
            else:
                _write_parquet(file, table)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error}") from error


def need_format(form: Format) -> None:
    """See that results can be written so, before a long run.

    Raises:
        Refused: What writes Parquet is not installed.
    """
    if form == "parquet":
        _parquet()


def _parquet() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise Refused(
            "Parquet needs pyarrow, which is not installed: pip install 'hocket[parquet]', or "
            "take the format npz"
        ) from error


def _write_parquet(file: IO[bytes], table: Table) -> None:
    arrow, parquet = _parquet()
    parquet.write_table(
        arrow.table({name: arrow.array(rows) for name, rows in table.items()}), file
    )


def write_results(folder: Path, population: Population, outcome: Outcome, form: Format) -> Table:
    """Write the course and the agents to a folder, as ``means.FORM`` and ``agents.FORM``.

    Of several processes only the leading one writes.

    Raises:
        Refused: They cannot be written.
    """
    agents = agents_table(population)
    means = means_table(outcome.means, population.tick)

    def write() -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"{folder} cannot be made: {error}") from error
        write_table(folder / f"means.{form}", means, form)
        write_table(folder / f"agents.{form}", agents, form)

    led(write)
    return agents


def summary(population: Population, outcome: Outcome) -> dict[str, Json]:
    """The run in a few lines of JSON, small enough for a prompt.

    What depends on the machine, its pace, stands under ``pace`` alone; all else is the same
    wherever it is run.
    """
    progress = outcome.progress
    groups: list[Json] = []
    for group in population.groups:
        told = dict(population.slots(group.name).summary())
        told["means"] = {
            name.partition("/")[2]: {
                "first": _number(rows[0]),
                "last": _number(rows[-1]),
                "mean": _number(_mean(rows)),
            }
            for name, rows in outcome.means.items()
            if name.startswith(f"{group.name}/") and len(rows)
        }
        groups.append(told)
    return {
        "ticks": population.tick,
        "stopped": outcome.stopped,
        "seed": population.seed,
        "dtype": population.dtype,
        "world": describe(population.world),
        "groups": groups,
        "checksum": outcome.checksum,
        "pace": {
            "ticks_per_second": _number(progress.pace),
            "agent_steps_per_second": _number(progress.agent_steps),
            "real_time_factor": _number(progress.real_time),
            "tick_in_real_time": TARGET,
            "measured_ticks": progress.measured,
        },
        "memory": dict(population.memory()),
        "versions": {
            "hocket": __version__,
            "jax": version("jax"),
            "numpy": version("numpy"),
            "python": platform.python_version(),
        },
    }


def course(means: Means, points: int = POINTS, last: int | None = None) -> dict[str, Json]:
    """The course as JSON: ``ticks``, and for each group its numbers at these.

    Args:
        means: What happened.
        points: How many ticks are shown at most, evenly spread, the last one always.
        last: The number of the last tick, where it did not begin with tick 1.
    """
    ticks = len(next(iter(means.values()))) if means else 0
    before = 0 if last is None else last - ticks
    step = max(1, -(-ticks // points))
    shown = list(range(ticks - 1, -1, -step))[::-1]
    told: dict[str, Json] = {"ticks": [before + place + 1 for place in shown]}
    for name, rows in means.items():
        group, _, what = name.partition("/")
        told.setdefault(group, {})[what] = [_number(rows[place]) for place in shown]
    return told


def _mean(rows: NDArray[np.float64]) -> float | None:
    """The mean of what is a number; none if there is none."""
    numbers = rows[np.isfinite(rows)]
    return float(numbers.mean()) if len(numbers) else None


def _number(value: float | None) -> Json:
    """A number as JSON has it: none that is not finite, and no more digits than mean anything."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.6g}")
