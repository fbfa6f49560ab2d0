"""What stands in the report, section by section: the document of a run in words and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from hocket.population.bench.claims import SOURCE
from hocket.population.bench.statistics import tail, tail_name

TITLE: Final = "How many active-inference agents this machine can run"


class Section(NamedTuple):
    """A part of the report.

    Fields:
        name: Where links lead to.
        title: Its heading.
        prose: Paragraphs before the table.
        head: The table's columns.
        rows: Its cells.
        texts: How many columns, from the left, are texts.
        figures: The figures that follow.
        notes: Paragraphs after them.
    """

    name: str
    title: str
    prose: Sequence[str] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    texts: int = 1
    figures: Sequence[str] = ()
    notes: Sequence[str] = ()


def sections(results: dict[str, Any]) -> list[Section]:
    """All of them, in order."""
    return [
        _summary(results),
        _scaling(results),
        _patterns(results),
        _realtime(results),
        _memory(results),
        _phases(results),
        _recommendations(results),
        _roof(results),
        _method(results),
    ]


def _summary(results: dict[str, Any]) -> Section:
    rows = []
    target = milliseconds(results["settings"]["target"])
    for row in results["realtime"]:
        what = f"agents in a tick of {target}, T = {row['horizon']}"
        rows.append([f"{what}, p50", _in_time(row, "p50")])
        rows.append([f"{what}, {row['tail']}", _in_time(row, "tail")])
    scaling = results["scaling"]
    fifty = next((row for row in scaling if row["agents"] == 50), scaling[-1])
    rows.append(
        [f"tick of {fifty['agents']:,} agents, {tail_name(fifty)}", milliseconds(tail(fifty))]
    )
    best = max(scaling, key=lambda row: float(row["throughput"]))
    told = f"{number(best['throughput'])}, with {best['agents']:,} agents"
    rows.append(["most agent-steps a second", told])
    rows.append(["of the serial roof of this machine", percent(best["e_hw"])])
    base = results["base"]
    ratio = best["throughput"] / base["throughput"]
    rows.append([f"agent-steps a second, over one object agent ({base['kind']})", times(ratio)])
    last = results["memory"][-1]
    rows.append([f"state of an agent, {last['agents']:,} agents", size(last["state"])])
    for row in results["resident"]:
        what = f"growth of the process for each of {row['agents']:,} agents, its program included"
        rows.append([what, size(row["grown"] / row["agents"])])
    return Section("summary", "In short", (), ("", "measured"), rows, texts=1)


def _in_time(row: dict[str, Any], name: str) -> str:
    """How many agents ended in time, and whether that is where the seeking ended."""
    found = row[f"agents_{name}"]
    if row["capped"][name]:
        return f"at least {found:,}, the most that was tried"
    tried = ", ".join(f"{one['agents']:,}" for one in row["tried"])
    return f"{found:,}" if found else f"none of those tried ({tried})"


def _scaling(results: dict[str, Any]) -> Section:
    rows = [
        [
            f"{row['agents']:,}",
            milliseconds(row["mean"]),
            f"{milliseconds(row['low'])} – {milliseconds(row['high'])}",
            milliseconds(row["p50"]),
            _tail(row),
            _counted(row),
            number(row["throughput"]),
            number(row["linear"]),
            percent(row["e_seed"]),
            percent(row["e_base"]),
            percent(row["e_hw"]),
            "–" if row["together"] is None else milliseconds(row["together"]),
        ]
        for row in results["scaling"]
    ]
    within = percent(results["settings"]["confidence"])
    base = results["base"]
    prose = (
        "Each population makes one tick in a dispatch, its world included, and waits for its end. "
        "Where ticks are fewer than elsewhere, the time for that size was up.",
        "E_seed: throughput over N times the throughput of the smallest population alone; it "
        "falls as soon as one agent alone costs less than a dispatch. E_base: throughput over N "
        f"times that of one object agent ({base['kind']}), {number(base['throughput'])} steps a "
        "second in this run. E_hw: throughput over the serial roof of this machine.",
    )
    head = (
        "agents",
        "tick, mean",
        f"{within} interval",
        "p50",
        "p99",
        "ticks timed, in the mean",
        "agent-steps/s",
        "if linear",
        "E_seed",
        "E_base",
        "E_hw",
        "tick, many in a dispatch",
    )
    notes = _regression(results)
    figures = ("latency", "throughput", "efficiency")
    return Section("scaling", "Scaling", prose, head, rows, 0, figures, notes)


def _regression(results: dict[str, Any]) -> list[str]:
    """The regression in words."""
    notes = []
    latency, growth = results["regression"]["latency"], results["regression"]["growth"]
    if latency:
        base, slope = milliseconds(latency["intercept"]), latency["slope"] * 1e9
        notes.append(
            f"Latency = {base} ± {milliseconds(latency['intercept_within'])} + {short(slope)} ± "
            f"{short(latency['slope_within'] * 1e9)} ns for each agent "
            f"(R² {latency['explained']:.3f}, {latency['points']} sizes, each weighted by the "
            "inverse square of its time)."
        )
    if growth:
        notes.append(
            "For larger populations time grows with the power "
            f"{growth['slope']:.2f} ± {growth['slope_within']:.2f} of the number of agents "
            f"(log-log, R² {growth['explained']:.3f}, {growth['points']} sizes)."
        )
    return notes


def _patterns(results: dict[str, Any]) -> Section:
    counts = {row["agents"] for row in results["patterns"]}
    batched = [
        {**row, "kind": "Hocket", "pattern": "batched", "start": None}
        for row in results["scaling"]
        if row["agents"] in counts
    ]
    rows = [
        [
            row["kind"],
            row["pattern"],
            f"{row['agents']:,}",
            milliseconds(row["mean"]),
            f"{milliseconds(row['low'])} – {milliseconds(row['high'])}",
            _tail(row),
            _counted(row),
            number(row["throughput"]),
            percent(row["e_seed"]),
            "–" if row["start"] is None else milliseconds(row["start"]),
        ]
        for row in [*results["patterns"], *batched]
    ]
    prose = (
        "The same task for agents that are objects, made to act together in four ways, and for a "
        "batch. A tick ends when all have acted. Processes live on from tick to tick; what it "
        "took to start them, and to make the first tick, is apart.",
    )
    head = (
        "agent",
        "pattern",
        "agents",
        "tick, mean",
        f"{percent(results['settings']['confidence'])} interval",
        "p99",
        "ticks timed, in the mean",
        "agent-steps/s",
        "E_seed",
        "start",
    )
    return Section("patterns", "Patterns of coordination", prose, head, rows, 2, ("patterns",))


def _realtime(results: dict[str, Any]) -> Section:
    rows = [
        [
            f"T = {row['horizon']}",
            _in_time(row, "p50"),
            f"{_in_time(row, 'tail')} ({row['tail']})",
            "–" if row["factor"] is None else f"{row['factor']:.2f}",
            ", ".join(f"{one['agents']:,}" for one in row["tried"]),
        ]
        for row in results["realtime"]
    ]
    target = milliseconds(results["settings"]["target"])
    prose = (
        f"How many agents end their tick within {target}, by the median and by the 99th "
        "percentile, or by the largest where fewer ticks were timed than a percentile takes; "
        "every number was tried, none is interpolated. The real-time factor is the target over "
        "the median tick of as many agents.",
    )
    head = ("policies", "agents, p50", "agents, p99 or largest", "real-time factor", "tried")
    return Section("realtime", "Real time", prose, head, rows, 1, ("realtime",))


def _memory(results: dict[str, Any]) -> Section:
    names = list(results["memory"][-1]["components"])
    rows = [[name, *(size(row["components"][name]) for row in results["memory"])] for name in names]
    rows.append(
        ["an agent's share, without the model", *(size(r["state"]) for r in results["memory"])]
    )
    head = ("component", *(f"{row['agents']:,} agents" for row in results["memory"]))
    notes = [
        f"A process grew by {size(row['grown'])} for {row['agents']:,} agents, "
        f"{size(row['grown'] / row['agents'])} each, over what it held before; temporaries are in "
        "it, and the compiled program, without which there is no population: another of one agent "
        f"alone had added {size(row['program'])}."
        for row in results["resident"]
    ]
    prose = (
        "What is shared is there once, however many agents there are. Rooms are filled up to "
        "whole blocks, so few agents take as much as a block.",
    )
    return Section("memory", "Memory", prose, head, rows, 1, ("memory",), notes)


def _phases(results: dict[str, Any]) -> Section:
    if not results["phases"]:
        return Section("phases", "Where the time goes")
    names = list(results["phases"][0]["phases"])
    rows = [
        [
            name,
            *(
                "below noise" if name in row["below_noise"] else milliseconds(row["phases"][name])
                for row in results["phases"]
            ),
        ]
        for name in names
    ]
    rows.append(["sum of these", *(milliseconds(row["sum"]) for row in results["phases"])])
    rows.append(["whole tick", *(milliseconds(row["tick"]) for row in results["phases"])])
    remainders = (
        f"{milliseconds(row['remainder'])} ({percent(row['remainder'] / row['tick'])})"
        for row in results["phases"]
    )
    rows.append(["remainder", *remainders])
    head = ("phase", *(f"{row['agents']:,} agents" for row in results["phases"]))
    prose = (
        "The tick is compiled up to each phase; a phase takes what the tick takes longer with it. "
        "The whole tick was measured apart. Dispatch is what a tick takes longer alone than among "
        "others in one dispatch. Below noise: the interval of the difference holds zero; such a "
        "phase is in no sum. The remainder is the whole tick less the sum: what no phase "
        "explains, and, if it is negative, what the phases were too long by.",
    )
    return Section("phases", "Where the time goes", prose, head, rows, 1, ("phases",))


def _recommendations(results: dict[str, Any]) -> Section:
    rows = []
    for one in results["recommendations"]:
        begin = [one["name"], f"“{one['promised']}”"]
        for claim in one["claims"] or [None]:
            if claim is None:
                rows.append([*begin, one["why"], "–", "–", one["verdict"]])
                continue
            sign = "≤" if claim["at_most"] else "≥"
            said = f"{sign} {short(claim['expected'])} {claim['unit']}"
            got = (
                "–" if claim["measured"] is None else f"{short(claim['measured'])} {claim['unit']}"
            )
            rows.append([*begin, claim["what"], said, got, one["verdict"]])
            begin = ["", ""]
    prose = (
        f"What was recommended, with the benefit expected there ({SOURCE}), and what was measured "
        "here. The verdict follows from the figures: it holds if each is as good as expected. "
        "Where the words hold no figure, as many times faster as there are cores or processes is "
        "taken for parallel and linear, the ratio of logarithms for logarithmic, and any gain "
        "for better.",
    )
    head = ("recommendation", "expected benefit", "what", "expected", "measured", "verdict")
    return Section(
        "recommendations",
        "The recommendations of the seed's report",
        prose,
        head,
        rows,
        3,
        ("recommendations",),
        _errors(results),
    )


def _errors(results: dict[str, Any]) -> list[str]:
    """What else was found of some of them."""
    notes = []
    for one in results["recommendations"]:
        if one["name"] == "belief compression":
            for row in one["found"]["rows"]:
                notes.append(
                    f"Belief compression, {row['scheme']}: {row['bytes']:,} of "
                    f"{one['found']['bytes']:,} bytes, and probabilities of policies are off by up "
                    f"to {row['error']:.2g}."
                )
        if one["name"] == "sparse transitions":
            for row in one["found"]["rows"]:
                took = ", ".join(
                    f"{name} {milliseconds(value)}" if value is not None else f"{name} not made"
                    for name, value in row["seconds"].items()
                )
                kept = ", ".join(f"{name} {size(many)}" for name, many in row["bytes"].items())
                notes.append(
                    f"A move of {row['agents']:,} agents on {row['side']} × {row['side']}: {took}; "
                    f"kept as {kept}."
                )
        if one["name"] == "hierarchical beliefs":
            notes += [
                f"{row['agents']:,} agents on {row['side']} × {row['side']}, beliefs "
                f"{row['beliefs']}: {milliseconds(row['p50'])} a tick (p50)."
                for row in one["found"]["rows"]
            ]
            notes += [
                f"Two levels against full beliefs, {row['agents']} agents over {row['ticks']} "
                f"ticks on {row['side']} × {row['side']} with a landmark in each cell, beginning "
                f"in {row['start']}: a divergence of {row['divergence']:.2g} nats, the same action "
                f"in {percent(row['same_action'])}, mean positions {row['distance']:.2g} cells "
                "apart."
                for row in one["found"]["lost"]
            ]
        if one["name"] == "process pool":
            notes += [
                f"Processes, {row['agents']} × {row['kind']}: {row['over_threads']:.2f} times as "
                f"fast as threads; {milliseconds(row['start'])} to start."
                for row in one["found"]["rows"]
            ]
    return notes


def _roof(results: dict[str, Any]) -> Section:
    rows = [
        [
            f"T = {row['horizon']}",
            f"{row['bytes_a_step']:,}",
            f"{row['flops_a_step']:,}",
            f"{row['bytes_a_second'] / 1e9:.1f} GB/s",
            f"{row['flops_a_second'] / 1e9:.0f} GFLOP/s",
            f"{row['columns']:,}",
            number(row["steps_a_second"]),
        ]
        for row in results["roof"]
    ]
    prose = (
        "What a step of an agent must at least move and compute, and how fast this machine does "
        "that with all devices at work: memory read and written in place, and the product W·Q in "
        "the tick's own shape, at the number of agents at once that is fastest. The roof is "
        "serial: first the bytes, then the arithmetic.",
    )
    head = (
        "policies",
        "bytes a step",
        "FLOP a step",
        "memory",
        "W·Q",
        "agents at once",
        "roof, agent-steps/s",
    )
    return Section("roof", "The roof", prose, head, rows)


def _method(results: dict[str, Any]) -> Section:
    settings = results["settings"]
    prose = (
        f"Timings are wall-clock. Means of {settings['trimmed_from']:,} timings or more leave out "
        f"{percent(settings['trim'])} at both ends, of fewer nothing; percentiles leave out "
        f"nothing, and of fewer than {settings['tail_from']:,} timings the largest stands for the "
        "99th. Intervals of {percent(settings['confidence'])} are of Student's t "
        "over the winsorised deviation, and take timings for independent, which those of a busy "
        "machine are not. Every number of this page was measured in the run that wrote it, in "
        f"{results['seconds']:.0f} s; expected benefits are quoted.",
        f"Nothing is timed before agents have lived {settings['settled']:,} ticks: their beliefs "
        "are settled then, and objects of pymdp.legacy, which cost less the fewer states they "
        "think possible, are all at the same stage of their lives, whatever the pattern and the "
        "number of agents, and however many ticks there was time for.",
        _boxed(results),
        f"Load of the machine: {results['machine']['load']:.1f} at the beginning, "
        f"{results['machine']['load_after']:.1f} at the end.",
        "The task: a grid, five moves that may slip, five kinds of observation of which nine in "
        "ten are true, beliefs exact, actions drawn. The likelihood of the seed's agents had "
        "equal columns, so that no observation said anything; here cells differ.",
    )
    return Section("method", "How it was measured", prose)


def _boxed(results: dict[str, Any]) -> str:
    """For which sizes there was not the time for as many ticks as were asked for."""
    settings = results["settings"]
    asked = f"{settings['iterations']:,} ticks were asked for of each size"
    short_of = [
        f"{row['agents']:,} × {row.get('kind', 'Hocket')}"
        f"{', ' + row['pattern'] if 'pattern' in row else ''} ({row['iterations']:,})"
        for row in [*results["scaling"], *results["patterns"]]
        if row["iterations"] < settings["iterations"]
    ]
    if not short_of:
        return f"{asked}, and timed."
    return (
        f"{asked}. Time was up ({settings['seconds']:g} s for a size of populations, half of it "
        f"for a pattern of objects) for: {'; '.join(short_of)}."
    )


def _tail(row: dict[str, Any]) -> str:
    """The 99th percentile, or what stands for it."""
    told = milliseconds(tail(row))
    return told if row["p99"] is not None else f"{told} ({tail_name(row)})"


def _counted(row: dict[str, Any]) -> str:
    """How many ticks were timed, and how many of them are in the mean."""
    return f"{row['iterations']:,}, {row['kept']:,}"


def milliseconds(seconds: float) -> str:
    """A time in milliseconds, in three figures."""
    return f"{short(seconds * 1e3)} ms"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{short(100 * share)} %"


def times(ratio: float) -> str:
    """How many times."""
    return f"{short(ratio)} ×"


def number(value: float) -> str:
    """A large number, short."""
    for unit, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= unit:
            return f"{short(value / unit)}{letter}"
    return short(value)


def size(many: float) -> str:
    """Bytes, short."""
    for unit, letter in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(many) >= unit:
            return f"{short(many / unit)} {letter}"
    return f"{short(many)} B"


def short(value: float) -> str:
    """A number in about three figures, without an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1g}"
