"""A small study, whole: what it measures, and that the page says that and nothing else."""

from __future__ import annotations

import base64
import json
import re
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from hocket.population.bench import study as study_
from hocket.population.bench.claims import SEED, SOURCE
from hocket.population.bench.figures import FIGURES
from hocket.population.bench.machine import caption
from hocket.population.bench.page import page
from hocket.population.bench.patterns import PATTERNS
from hocket.population.bench.phases import PHASES

SMALL = study_.Extent(
    most=10,
    iterations=6,
    seconds=0.04,
    resident=(100, 1_000),
    compared=32,
    sides=(20, 22),
    inhabitants=8,
    heat=(8,),
    horizons=(1,),
    steps=(1, 2),
    kinds=("NumPy object",),
)


class Done(NamedTuple):
    """What a study has found and written."""

    results: dict[str, Any]
    folder: Path
    told: list[str]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    told: list[str] = []
    folder = tmp_path_factory.mktemp("report") / "new"
    results, raw = study_.study(SMALL, platform=None, tell=told.append)
    study_.write(results, raw, folder)
    return Done(results, folder, told)


def test_every_population_of_the_seed_is_timed_as_often_as_asked(done: Done) -> None:
    rows = done.results["scaling"]
    assert [row["agents"] for row in rows] == [1, 5, 10]
    with np.load(done.folder / "raw.npz") as raw:
        for row in rows:
            walls = raw[f"scaling/{row['agents']}"]
            assert 5 <= len(walls) == row["iterations"] <= 6
            assert row["p50"] == pytest.approx(np.percentile(walls, 50))
            assert row["low"] <= row["mean"] <= row["high"]


def test_the_three_efficiencies_are_what_they_say(done: Done) -> None:
    results = done.results
    first, last = results["scaling"][0], results["scaling"][-1]
    assert first["e_seed"] == pytest.approx(1)
    throughput = last["agents"] / last["mean"]
    assert last["throughput"] == pytest.approx(throughput)
    assert last["linear"] == pytest.approx(last["agents"] / first["mean"])
    assert last["e_seed"] == pytest.approx(throughput / last["linear"])
    base = next(
        row["throughput"]
        for row in results["patterns"]
        if row["pattern"] == "in line" and row["agents"] == 1
    )
    assert last["e_base"] == pytest.approx(throughput / (last["agents"] * base))
    assert last["e_hw"] == pytest.approx(throughput / results["roof"][0]["steps_a_second"])


def test_the_roof_is_the_bytes_and_then_the_arithmetic(done: Done) -> None:
    (roof,) = done.results["roof"]
    assert roof["flops_a_step"] == 2 * 30 * 100
    assert roof["bytes_a_step"] == 800 + 25
    took = (
        roof["bytes_a_step"] / roof["bytes_a_second"]
        + roof["flops_a_step"] / roof["flops_a_second"]
    )
    assert roof["steps_a_second"] == pytest.approx(1 / took)


def test_objects_act_under_every_pattern(done: Done) -> None:
    rows = done.results["patterns"]
    assert [(row["pattern"], row["agents"]) for row in rows] == [
        (pattern, agents) for pattern in PATTERNS for agents in (1, 2)
    ]
    assert all(row["mean"] > 0 and row["start"] > 0 for row in rows)
    slowest = max(rows, key=lambda row: row["start"])
    assert slowest["pattern"] == "processes"


def test_real_time_is_only_what_was_tried(done: Done) -> None:
    (row,) = done.results["realtime"]
    tried = {one["agents"]: one for one in row["tried"]}
    assert max(tried) <= SMALL.most
    # Six ticks have no 99th percentile.
    assert row["tail"] == "largest of 6"
    for name, judged in (("p50", "p50"), ("tail", "largest")):
        fits = [n for n, one in tried.items() if one[judged] <= study_.TARGET]
        assert row[f"agents_{name}"] == max(fits, default=0)


def test_memory_is_told_by_component_and_what_is_shared_apart(done: Done) -> None:
    row = done.results["memory"][-1]
    assert row["components"]["belief"] == 128 * 100 * 4
    assert not any("shared" in name for name in row["per_agent"])
    assert row["state"] == pytest.approx(sum(row["per_agent"].values()))
    (resident,) = done.results["resident"]
    assert resident["agents"] == SMALL.most < min(SMALL.resident)
    assert resident["grown"] == resident["after"] - resident["before"]


def test_each_phase_has_its_time(done: Done) -> None:
    (row,) = done.results["phases"]
    assert tuple(row["phases"]) == PHASES
    known = {name: s for name, s in row["phases"].items() if name not in row["below_noise"]}
    assert row["sum"] == pytest.approx(sum(known.values()))
    assert row["sum"] + row["remainder"] == pytest.approx(row["tick"]) and row["tick"] > 0


def test_each_recommendation_has_a_verdict_that_follows_from_its_figures(done: Done) -> None:
    rows = {row["name"]: row for row in done.results["recommendations"]}
    assert list(rows) == list(SEED)
    for row in rows.values():
        assert row["promised"] == SEED[row["name"]]
        assert row["claims"] or (row["verdict"] == "not measured" and row["why"])
    saved = rows["sparse transitions"]["claims"][0]
    assert saved["measured"] == pytest.approx(100 * (1 - 400 * 5 * 2 * 8 / (400 * 400 * 5 * 4)))
    for name in ("float32", "transition caching", "hierarchical beliefs", "distributed"):
        assert all(" agents" in claim["what"] for claim in rows[name]["claims"])
    float32 = {claim["what"]: claim["measured"] for claim in rows["float32"]["claims"]}
    assert float32["memory of beliefs and tables saved, 32 agents"] == pytest.approx(50)
    if done.results["machine"]["cores"] > 1:
        spread = rows["distributed"]["found"]["rows"]
        assert [(row["processes"], row["agents"]) for row in spread] == [(1, 256), (2, 256)]
    known, lost = rows["hierarchical beliefs"]["found"]["lost"]
    assert abs(known["divergence"]) < 1e-3 < lost["divergence"]
    assert known["same_action"] > 0.95
    schemes = {row["scheme"]: row for row in rows["belief compression"]["found"]["rows"]}
    assert schemes["16 bits"]["saved"] == 50
    assert 0 < schemes["16 bits"]["error"] < 0.1


def test_all_that_was_promised_is_written(done: Done) -> None:
    names = {path.name for path in done.folder.iterdir()}
    drawn = {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")}
    assert names == {"report.html", "results.json", "raw.npz", *drawn}
    kept = json.loads((done.folder / "results.json").read_text("utf-8"))
    assert kept["scaling"] == done.results["scaling"]
    for name in FIGURES:
        picture = (done.folder / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        wide, high = struct.unpack(">II", picture[16:24])
        assert wide > 1_000 and high > 500


def test_the_caption_names_machine_versions_and_hour_in_every_figure(done: Done) -> None:
    about = done.results["machine"]
    under = caption(about, "float32")
    for part in ("processor", "python", "jax", "numpy", "hocket", "date", "device"):
        assert str(about[part]) in under
    text = (done.folder / "report.html").read_text("utf-8")
    assert text.count("float32; ") >= 8


class Outline(HTMLParser):
    """Collects a page's text, and whatever it would ask others for."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.asks: list[str] = []
        self.images: list[bytes] = []
        self.hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden = tag == "style"
        for name, value in attrs:
            if name == "src" and value and value.startswith("data:image/svg+xml;base64,"):
                self.images.append(base64.b64decode(value.partition(",")[2]))
            elif name in ("src", "href", "action", "srcset") and not (value or "").startswith("#"):
                self.asks.append(f"{tag} {name}={value}")
        if tag in ("script", "link", "iframe", "object", "base"):
            self.asks.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.hidden = False

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.text.append(data)


def outline(text: str) -> Outline:
    parsed = Outline()
    parsed.feed(text)
    return parsed


def test_the_page_asks_nobody_for_anything(done: Done) -> None:
    text = (done.folder / "report.html").read_text("utf-8")
    found = outline(text)
    assert found.asks == []
    assert len(found.images) == len(FIGURES)
    assert "url(" not in text and "@import" not in text
    for image in found.images:
        assert not re.search(rb"(?:href|src)=\"(?!#|data:)", image)


def test_every_number_of_the_page_comes_from_its_run(done: Done) -> None:
    """What can still be read when no number of the run can was typed in; only quotes may be."""
    assert len(numbers(page(done.results, {}, ""))) > 100
    typed = numbers(page(unreadable(done.results), {}, ""))
    quoted = numbers(" ".join([SOURCE, *words(done.results)]))
    assert typed - quoted == set()


class Unreadable(float):
    """A number that can be reckoned with, and whatever comes of it: but it has no digits."""

    def __format__(self, spec: str) -> str:
        return "#"

    __str__ = __repr__ = lambda self: "#"

    def __abs__(self) -> Unreadable:
        return Unreadable(float(self).__abs__())

    def __mul__(self, other: float) -> Unreadable:
        return Unreadable(float(self) * float(other))

    __rmul__ = __mul__

    def __truediv__(self, other: float) -> Unreadable:
        return Unreadable(float(self) / float(other))


def unreadable(value: Any) -> Any:
    """The same document with numbers that nobody can read, and none that is 0."""
    if isinstance(value, dict):
        return {name: unreadable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [unreadable(one) for one in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return Unreadable(value or 1)


def words(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for one in value.values() for word in words(one)] + list(value)
    if isinstance(value, list | tuple):
        return [word for one in value for word in words(one)]
    return [value] if isinstance(value, str) else []


def numbers(text: str) -> set[str]:
    said = " ".join(outline(text).text) if "<" in text else text
    return set(re.findall(r"\d[\d,]*(?:\.\d+)?", said))
