"""Pictures of studies: where medians and intervals lie, and what is not said."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import msgspec
import pytest
from tests.report.studies import near, row, study

from hocket.report.forest import caveat, forest_svg, frontier_svg, seconds_text
from hocket.simulator.outcome import Match, Row, Spread

NAME = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [found.text or "" for found in ET.fromstring(picture).iter(f"{NAME}text")]


def match(verdict: str, *reasons: str) -> Match:
    return Match(
        run="01J0",
        seconds=900.0,
        simulated=near(1_337.0),
        calls=24,
        simulated_calls=near(24),
        verdict=verdict,  # type: ignore[arg-type]
        reasons=reasons,
    )


def test_each_variant_has_a_row_and_the_baseline_a_line() -> None:
    picture = forest_svg(study())
    root = ET.fromstring(picture)
    told = texts(picture)
    assert "seven <agents>: how long it takes" in told
    for name in ("baseline", "limits.flash.requests=15/min", "max_parallel=1"):
        assert name in told
    assert "640.0 s, 690.0 s sooner" in told
    assert "1,802 s, 465.0 s later" in told
    assert "1,330 s, no certain difference" in told
    assert "✗ a rate lets at least one call through" in told
    dots = [float(dot.get("cx", "")) for dot in root.iter(f"{NAME}circle")]
    assert len(dots) == 5
    caps = [line for line in root.iter(f"{NAME}line") if line.get("class") == "cap"]
    assert [float(line.get("x1", "")) for line in caps] == [dots[0]]


def test_the_median_lies_within_its_interval_and_slower_is_further_right() -> None:
    root = ET.fromstring(forest_svg(study()))
    dots = [float(dot.get("cx", "")) for dot in root.iter(f"{NAME}circle")]
    strong = [line for line in root.iter(f"{NAME}line") if line.get("class") == "strong"]
    whole = [line for line in strong if line.get("y1") == line.get("y2")]
    assert len(whole) == len(dots)
    for dot, line in zip(dots, whole, strict=True):
        assert float(line.get("x1", "")) < dot < float(line.get("x2", ""))
    assert dots[1] < dots[2] < dots[4] < dots[0] < dots[3]


def test_figures_are_as_exact_as_the_baseline_matches_the_run() -> None:
    rough = forest_svg(study(match=match("rough", "the log has no token counts")))
    assert "640 s, 690 s sooner" in texts(rough)
    assert "Rough figures: the log has no token counts" in texts(rough)
    bad = texts(forest_svg(study(match=match("bad", "it took half as long again"))))
    assert "Only directions, no figures: it took half as long again" in bad
    assert bad.count("sooner") == 2
    assert "later" in bad
    assert not any("640" in text or text in ("500", "1,000", "1,500") for text in bad)
    frontier = frontier_svg(study(match=match("bad", "it took half as long again")))
    assert "1,000 s" not in texts(frontier)
    assert "640" not in frontier
    assert caveat(study(match=None)) == ""


@pytest.mark.parametrize(
    ("seconds", "exact", "rough"),
    [(1_337.4, "1,337 s", "1,337 s"), (123.46, "123.5 s", "123 s"), (0.0421, "0.042 s", "0.04 s")],
)
def test_seconds_have_the_digits_that_they_can_have(seconds: float, exact: str, rough: str) -> None:
    assert seconds_text(seconds) == exact
    assert seconds_text(seconds, exact=False) == rough


def test_the_frontier_joins_what_nothing_else_beats() -> None:
    picture = frontier_svg(study())
    root = ET.fromstring(picture)
    paths = [path for path in root.iter(f"{NAME}path") if path.get("class") == "cap"]
    assert len(paths) == 1
    dots = [dot for dot in root.iter(f"{NAME}circle") if dot.get("class") == "dot"]
    rings = [dot for dot in root.iter(f"{NAME}circle") if dot.get("class") == "ring"]
    assert (len(dots), len(rings)) == (2, 3)
    corners = paths[0].get("d", "").replace("L", " ").replace("M", "").split()
    ends = {(dot.get("cx"), dot.get("cy")) for dot in dots}
    assert {(corners[0], corners[1]), (corners[2], corners[3])} == ends
    assert "dollars" in texts(picture)
    assert "baseline" in texts(picture)


def test_cost_is_counted_in_what_all_variants_have() -> None:
    some = study(baseline=row("baseline", 10.0, None), variants=(row("a=1", 9.0, 1.0),))
    assert "tokens (not all has a price)" in texts(frontier_svg(some))
    none = msgspec.structs.replace(row("baseline", 10.0, None), tokens=Spread(0.0, 0.0, 0.0))
    assert "calls (nothing has a price)" in texts(frontier_svg(study(baseline=none, variants=())))


def test_a_study_in_which_nothing_could_be_simulated_is_still_a_picture() -> None:
    nothing = study(baseline=Row(name="baseline", why="no agents"), variants=(), match=None)
    assert "✗ no agents" in texts(forest_svg(nothing))
    assert ET.fromstring(frontier_svg(nothing)).tag == f"{NAME}svg"


def test_the_same_study_gives_the_same_bytes() -> None:
    assert forest_svg(study()) == forest_svg(study())
    assert frontier_svg(study()) == frontier_svg(study())
