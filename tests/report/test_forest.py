"""Pictures of studies: where medians and intervals lie, and what is not said."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import msgspec
import pytest
from tests.report.studies import near, row, study

from hocket.report.forest import caveat, forest_svg, seconds_text
from hocket.report.frontier import frontier_svg
from hocket.report.svg import text_width
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
    assert "640 s, 690 s sooner" in told
    assert "1,802 s, 465 s later" in told
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
    [(1_337.4, "1,337 s", "1,337 s"), (123.46, "123 s", "123 s"), (0.0421, "0.042 s", "0.04 s")],
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
    assert "1 ○ baseline: 1,337 s, $0.52" in texts(picture)


Box = tuple[float, float, float, float]


def apart(one: Box, other: Box) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_every_point_has_its_number_and_no_text_is_over_another_or_a_point() -> None:
    many = [
        row(f"agents.pro.model=gemini-{k} consensus.policy=once", 9.0 + 70 * (k % 5), 0.1 + k / 40)
        for k in range(24)
    ]
    far = row("people.after=1h", 360_000.0, 0.1)
    picture = frontier_svg(study(variants=(*many, many[0], far), match=None))
    root = ET.fromstring(picture)
    written = [(found, found.text or "") for found in root.iter(f"{NAME}text")]
    boxes = []
    for found, text in written:
        x, y, size = float(found.get("x", "")), float(found.get("y", "")), text_width(text)
        x -= {"middle": size / 2, "end": size}.get(found.get("text-anchor", ""), 0)
        boxes.append((x, y - 9, x + size, y + 2))
    points = []
    for dot in root.iter(f"{NAME}circle"):
        x, y = float(dot.get("cx", "")), float(dot.get("cy", ""))
        points.append((x - 5, y - 5, x + 5, y + 5))
    assert len(points) == 27
    for index, box in enumerate(boxes):
        assert box[0] >= 0 and box[2] <= float(root.get("width", ""))
        for other in (*boxes[:index], *points):
            assert apart(box, other), written[index][1]
    told = [text for _, text in written]
    labels = [text for text in told if re.fullmatch(r"\d+(–\d+)?(, \d+(–\d+)?)*", text)]
    numbers: set[int] = set()
    for label in labels:
        for part in label.split(", "):
            first, _, last = part.partition("–")
            numbers |= {*range(int(first), int(last or first) + 1)}
    assert numbers >= {*range(1, 28)}
    for number in range(1, 28):
        assert any(re.match(rf"{number} [●○] ", text) for text in told)
    # The others keep their room beside one that is far off, which stands at the edge.
    assert "27 ○ people.after=1h: 360,000 s, $0.1" in told
    assert len({round(box[1]) for box in points}) > 4
    whole = " ".join(told)
    assert "1,000 runs of each variant, seed 7; lines hold 95 % of the runs" in whole
    assert "● no other one is both quicker and cheaper, of those that succeed about as" in whole


@pytest.mark.parametrize(
    ("figures", "said"),
    [("failed", "fails at 12.0 s"), ("stand still", "stands still at 12.0 s")],
)
def test_a_time_of_runs_that_come_to_nothing_is_told_as_such(figures: str, said: str) -> None:
    never = row("a=1", 12.0, figures=figures, success=0.0)
    given = study(variants=(never,))
    assert said in texts(forest_svg(given))
    assert f"2 ○ a=1: {said}, $1" in texts(frontier_svg(given))


def test_one_that_is_far_off_is_marked_in_the_forest_plot() -> None:
    far = row("people.after=1h", 360_000.0, faster=near(-358_000.0), certain=(-1e6, -1e5))
    same = row("a=1", 1_337.0, faster=Spread(0.0, 0.0, 0.0), certain=(0.0, 0.0))
    told = texts(forest_svg(study(variants=(far, same))))
    assert told.count("▸") == 1 and "▸ goes on beyond the axis" in told
    assert "1,337 s, the same" in told
    assert "▸" not in texts(forest_svg(study()))


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
