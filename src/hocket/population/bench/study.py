"""The whole report: takes all measurements, draws the figures, and writes what was found."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

import jax
import numpy as np
from numpy.typing import NDArray

from hocket.core.errors import Refused
from hocket.population.arrays import DType
from hocket.population.bench import memory, patterns, recommendations, scaling
from hocket.population.bench.children import in_child, in_processes
from hocket.population.bench.crowd import crowd, tick_times
from hocket.population.bench.figures import draw_all
from hocket.population.bench.machine import caption, machine
from hocket.population.bench.objects import present
from hocket.population.bench.page import page
from hocket.population.bench.phases import measure_phases
from hocket.population.bench.roofline import roof
from hocket.population.bench.statistics import CONFIDENCE, TAIL_FROM, TRIM, TRIMMED_FROM, summary
from hocket.population.bench.task import SETTLED
from hocket.population.bench.timing import load
from hocket.population.devices import Platform, kind_of, prepare
from hocket.population.group import Beliefs
from hocket.population.layout import LANES

TARGET: Final = 0.010
"""Seconds that a tick may take in real time; the seed's report aims at it."""

Tell: TypeAlias = Callable[[str], None]
Raw: TypeAlias = dict[str, "NDArray[np.float64]"]
"""Every timing in seconds, by what was timed."""


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Fields:
        most: The largest number of agents.
        iterations: How often each thing is timed.
        seconds: The time after which no further iteration of one size begins; comparisons and
            patterns have a part of it.
        resident: The numbers of agents whose memory is looked at in a process of their own;
            `most`, if that is less.
        compared: The number of agents for comparisons of two ways.
        sides: Grids whose transitions and beliefs are compared.
        inhabitants: Agents on these grids.
        heat: The numbers of agents whose phases are timed.
        horizons: How far policies look, each of which is brought to the target.
        steps: The numbers of object agents.
        kinds: The kinds of object agents; all that can be made here, if None.
    """

    most: int = 1_000_000
    iterations: int = 100
    seconds: float = 60.0
    resident: tuple[int, ...] = (100_000, 1_000_000)
    compared: int = 10_000
    sides: tuple[int, ...] = (50, 100)
    inhabitants: int = 1_000
    heat: tuple[int, ...] = (1, 50, 1_000, 10_000, 100_000)
    horizons: tuple[int, ...] = (1, 2, 3)
    steps: tuple[int, ...] = scaling.SEED_STEPS
    kinds: tuple[str, ...] | None = None

    @classmethod
    def quick(cls, most: int, iterations: int) -> Extent:
        """A few minutes, and noisier: at most `most` agents and `iterations` iterations."""
        return cls(
            most=most,
            iterations=iterations,
            seconds=2.0,
            resident=(100_000,),
            compared=1_000,
            inhabitants=100,
            heat=(50, 10_000),
        )


def study(extent: Extent, *, platform: Platform | None, tell: Tell) -> tuple[dict[str, Any], Raw]:
    """Take all measurements.

    Args:
        extent: How much.
        platform: The processor or a GPU; what JAX prefers, if None.
        tell: Hears what is being measured.

    Returns:
        The report's document, and every timing by name.
    """
    began = time.perf_counter()
    raw: Raw = {}
    # A device that is not there is refused before anything is measured.
    prepare(platform=platform)
    device = jax.devices()[0]
    about = {**machine(), "device": f"{len(jax.devices())} × {device.device_kind}"}
    results: dict[str, Any] = {
        "settings": {
            **asdict(extent),
            "target": TARGET,
            "trim": TRIM,
            "trimmed_from": TRIMMED_FROM,
            "tail_from": TAIL_FROM,
            "settled": SETTLED,
            "confidence": CONFIDENCE,
            "dtype": "float32",
            "platform": kind_of(device),
        },
        "machine": about,
        "patterns": _patterns(extent, raw, tell),
    }
    tell("the roof of this machine")
    pause = min(2.0, extent.seconds)
    results["roof"] = [
        {"horizon": horizon, **roof(horizon, seconds=pause)._asdict()}
        for horizon in extent.horizons
    ]
    results["scaling"] = _scaling(extent, results, raw, tell)
    results["regression"] = scaling.regression(results["scaling"])
    results["realtime"] = [_realtime(extent, results, horizon, tell) for horizon in extent.horizons]
    results["memory"], results["resident"] = _memory(extent, platform, tell)
    results["phases"] = []
    for agents in extent.heat:
        if agents <= extent.most:
            tell(f"phases of {agents:,} agents")
            found = measure_phases(agents, iterations=extent.iterations, seconds=extent.seconds / 2)
            results["phases"].append(found)
    results["recommendations"] = _recommendations(extent, results, raw, platform, tell)
    results["machine"]["load_after"] = load()
    results["seconds"] = time.perf_counter() - began
    return results, raw


def write(results: dict[str, Any], raw: Raw, folder: Path) -> list[Path]:
    """Write the report, its figures and its data.

    Args:
        results: The document.
        raw: Every timing.
        folder: Is made if it is not there.

    Returns:
        What was written.

    Raises:
        Refused: if it cannot be written, or figures cannot be drawn.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The data first: whatever becomes of the figures, what took long to measure is kept.
        text = json.dumps(results, indent=1, ensure_ascii=False)
        (folder / "results.json").write_text(text + "\n", encoding="utf-8")
        np.savez_compressed(folder / "raw.npz", **raw)  # type: ignore[arg-type]
        under = caption(results["machine"], results["settings"]["dtype"])
        drawn = draw_all(results, folder, under)
        (folder / "report.html").write_text(page(results, drawn, under), encoding="utf-8")
    except OSError as error:
        raise Refused(f"cannot write to {folder}: {error.strerror or error}") from error
    figures = [folder / f"{name}.{kind}" for name in drawn for kind in ("svg", "png")]
    return [folder / "report.html", folder / "results.json", folder / "raw.npz", *figures]


def _patterns(extent: Extent, raw: Raw, tell: Tell) -> list[dict[str, Any]]:
    """Object agents under every pattern, at the seed's numbers of agents."""
    rows = []
    for kind in extent.kinds or present():
        for pattern in patterns.PATTERNS:
            for agents in extent.steps:
                tell(f"{agents} × {kind}, {pattern}")
                row = patterns.measure_pattern(
                    pattern,
                    kind,
                    agents,
                    iterations=extent.iterations,
                    seconds=extent.seconds / 2,
                )
                walls = row.pop("walls")
                raw[f"patterns/{kind}/{pattern}/{agents}"] = walls
                found = summary(walls)
                rows.append({**row, **found._asdict(), "throughput": agents / found.mean})
    for row in rows:
        first = next(
            one for one in rows if (one["kind"], one["pattern"]) == (row["kind"], row["pattern"])
        )
        row["e_seed"] = row["throughput"] / (row["agents"] * first["throughput"])
    return rows


def _scaling(extent: Extent, results: dict[str, Any], raw: Raw, tell: Tell) -> list[dict[str, Any]]:
    rows = []
    for agents in scaling.numbers(extent.most):
        tell(f"{agents:,} agents")
        rows += scaling.measure_scaling(
            [agents], iterations=extent.iterations, seconds=extent.seconds, raw=raw
        )
    base = base_of(results["patterns"])
    results["base"] = base
    scaling.add_efficiencies(rows, base["throughput"], results["roof"][0]["steps_a_second"])
    return rows


def base_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One object agent alone, in line: of pymdp if it is there, as in FreeAgentics, or our own."""
    alone = [row for row in rows if row["pattern"] == "in line" and row["agents"] == 1]
    row = alone[-1]
    return {"kind": row["kind"], "throughput": row["throughput"]}


def _realtime(extent: Extent, results: dict[str, Any], horizon: int, tell: Tell) -> dict[str, Any]:
    """How many agents end in time, with a first guess from what is known already."""
    guess = {1: 50_000, 2: 10_000, 3: 2_500}.get(horizon, 1_000)
    row = scaling.measure_realtime(
        horizon,
        TARGET,
        iterations=extent.iterations,
        seconds=extent.seconds / 4,
        start=guess,
        most=extent.most,
        tell=tell,
    )
    inside = next((one for one in row["tried"] if one["agents"] == row["agents_p50"]), None)
    row["factor"] = inside and TARGET / inside["p50"]
    return row


def _memory(
    extent: Extent, platform: Platform | None, tell: Tell
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is allocated, by component, and what processes grow by."""
    allocated, resident = [], []
    for agents in sorted({min(count, extent.most) for count in (50, 1_000, extent.most)}):
        row = memory.components(agents)
        own = memory.own(row["components"])
        allocated.append(
            {
                **row,
                "per_agent": {name: size / agents for name, size in own.items()},
                "state": sum(own.values()) / agents,
            }
        )
        gc.collect()
    for agents in sorted({min(count, extent.most) for count in extent.resident}):
        tell(f"memory of a process with {agents:,} agents")
        resident.append(in_child("resident", agents=agents, platform=platform))
    return allocated, resident


def _recommendations(
    extent: Extent,
    results: dict[str, Any],
    raw: Raw,
    platform: Platform | None,
    tell: Tell,
) -> list[dict[str, Any]]:
    iterations, seconds = extent.iterations, extent.seconds / 4
    agents, cores = extent.compared, results["machine"]["cores"]
    precision = []
    for dtype in get_args(DType):
        tell(f"{agents:,} agents in {dtype}")
        row = in_child(
            "precision",
            agents=agents,
            dtype=dtype,
            platform=platform,
            iterations=iterations,
            seconds=seconds,
        )
        raw[f"precision/{dtype}"] = np.array(row.pop("walls"))
        precision.append(row)
    tell("the other recommendations")
    found = [
        recommendations.float32(precision),
        recommendations.compression(min(agents, 1_000)),
        recommendations.caching(agents, iterations=iterations, seconds=seconds),
        recommendations.sparse(extent.sides, 100, iterations=iterations, seconds=seconds),
        recommendations.processes(results["patterns"], cores),
        recommendations.batched(results["scaling"], results["patterns"]),
        recommendations.on_gpu(results["settings"]["platform"] == "gpu", results["scaling"]),
    ]
    levels = []
    for side in extent.sides:
        for beliefs in get_args(Beliefs):
            tell(f"{extent.inhabitants:,} agents on {side} × {side}, beliefs {beliefs}")
            people = crowd(extent.inhabitants, side=side, beliefs=beliefs)
            took = tick_times(people, iterations=iterations, seconds=seconds)
            raw[f"grids/{side}/{beliefs}"] = took.walls
            row = {"side": side, "agents": extent.inhabitants, "beliefs": beliefs}
            levels.append({**row, **took.summary()._asdict()})
    results["grids"] = levels
    tell("what beliefs in two levels lose")
    lost = recommendations.two_levels(max(extent.sides), min(extent.inhabitants, 64))
    found.append(recommendations.hierarchical(levels, lost))
    spread = []
    if cores > 1 and results["settings"]["platform"] == "cpu":
        # Each process needs a block of its own, at least.
        many = max(agents, 2 * LANES)
        tell(f"{many:,} agents in one process, and in two")
        often = {"devices": 1, "agents": many, "iterations": iterations}
        spread = [in_child("spread", **often), in_processes("spread", 2, **often)]
    found.append(recommendations.distributed(spread))
    return found
