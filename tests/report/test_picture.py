"""Pictures of runs: where bars lie, what they look like, and what is said of what is merged."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from tests.report.explained import BEGAN, call, explained, many, trace

from hocket.core.events import Usage
from hocket.core.specs import LimitSpec, Rate
from hocket.core.values import MINUTE, SECOND
from hocket.insight.explain import explain
from hocket.insight.lanes import By
from hocket.insight.trace import Trace
from hocket.report.picture import timeline_svg
from hocket.report.picture_use import NARROW, costs, loads, windows
from hocket.report.svg import document

NAME = "{http://www.w3.org/2000/svg}"
ALL: tuple[By, ...] = ("agent", "slot", "step", "limit")


def bars(picture: str) -> list[tuple[str, str, float, float]]:
    """The title, look, begin and width of each bar with a title."""
    return [
        (
            title.text or "",
            rect.get("class", ""),
            float(rect.get("x", "")),
            float(rect.get("width", "")),
        )
        for rect in ET.fromstring(picture).iter(f"{NAME}rect")
        for title in rect.iter(f"{NAME}title")
    ]


def words(picture: str) -> list[str]:
    return [found.text or "" for found in ET.fromstring(picture).iter(f"{NAME}text")]


def test_bars_lie_where_the_run_had_them() -> None:
    found = bars(timeline_svg(explained()))
    waited = next(bar for bar in found if bar[0] == "ask/pro#1: rate limit flash")
    worked = [bar for bar in found if bar[0] == "ask/pro#1: model of pro"]
    assert waited[1] == "k-rate edge"
    assert waited[2] == 198
    assert len(worked) == 2, "one in its lane, one in what the finish waited for"
    for bar in worked:
        assert bar[2] == pytest.approx(waited[2] + waited[3], abs=0.02)
        assert bar[3] / waited[3] == pytest.approx(20 / 30, rel=1e-3)
    assert any(bar[0] == "vote/coder#1: stale call" and "k-rework" in bar[1] for bar in found)
    assert any(bar[0] == "the run stood still" for bar in found)


def test_the_headline_comes_first_and_the_legend_names_what_is_drawn() -> None:
    told = explained()
    said = words(timeline_svg(told))
    assert said[0] == told.headline
    for name in ("model", "rate limit", "slot", "approval", "came to nothing", "paused"):
        assert name in said
    assert "budget" not in said
    assert "30 % rate limit flash" in said


def test_calls_that_the_finish_waited_for_are_underlined() -> None:
    root = ET.fromstring(timeline_svg(explained()))
    rects = [rect for rect in root.iter(f"{NAME}rect") if rect.get("class") == "dot"]
    # The last one is the legend's.
    assert len(rects) == 1 + 4, "a wait and its work, an approval, and the end"


@pytest.mark.parametrize("by", ALL)
def test_each_view_names_its_rows(by: By) -> None:
    names = {"agent": "people", "slot": "run", "step": "publish", "limit": "flash"}
    picture = timeline_svg(explained(), by)
    assert names[by] in words(picture)
    assert f"timeline by {by}" in picture


def test_bars_thinner_than_a_pixel_are_merged_and_counted() -> None:
    told = explain(many(20_000, 20))
    picture = timeline_svg(told)
    assert len(picture) < 2_500_000
    note = next(text for text in words(picture) if "thinner than a pixel" in text)
    assert int(note.split()[0].replace(",", "")) > 1_000


def test_rows_beyond_the_most_are_merged_into_one_that_says_so() -> None:
    picture = timeline_svg(explain(many(600, 300)), "step")
    assert "and 101 more" in words(picture)


def test_calls_in_flight_are_drawn_below_their_cap() -> None:
    drawing = loads(explained())
    assert drawing is not None
    picture = document(drawing)
    assert "cap 2, free 62 %" in words(picture)
    root = ET.fromstring(picture)
    caps = [line for line in root.iter(f"{NAME}line") if line.get("class") == "cap"]
    assert len(caps) == 1, "only the run has a cap"
    assert {link.get("href") for link in root.iter(f"{NAME}a")} == {
        "#counted-0",
        "#agent-coder",
        "#agent-pro",
    }


def test_many_steps_are_drawn_as_their_mean_and_keep_their_area() -> None:
    told = explain(many(3_000, 12))
    drawing = loads(told)
    assert drawing is not None
    root = ET.fromstring(document(drawing))
    first = next(path for path in root.iter(f"{NAME}path") if path.get("class") == "k-model")
    steps = first.get("d", "").split("H")[1:-1]
    assert len(steps) < 1_000
    points = [tuple(map(float, step.split("V"))) for step in steps]
    bottom = float(first.get("d", "").split("H")[0].split()[1])
    ends = [x for x, _ in points[1:]] + [points[-1][0] + 1]
    area = sum((bottom - y) * (end - x) for (x, y), end in zip(points, ends, strict=True))
    width, high, most = 690, 56, 12
    assert area / (width * high) == pytest.approx(told.load.run.mean / most, rel=0.02)


def test_windows_are_drawn_with_what_fits_and_what_was_waited() -> None:
    drawing = windows(explained())
    assert drawing is not None
    said = words(document(drawing))
    assert "flash" in said
    assert "2 requests per 1 m 00 s" in said
    assert "waited for 30.0 s" in said


def test_more_windows_than_fit_are_counted() -> None:
    limits = {f"limit{n}": LimitSpec(requests=(Rate(9, MINUTE),)) for n in range(20)}
    drawing = windows(explained(limits=limits))
    assert drawing is not None
    assert "Use of limits, and what fits (12 of 20)" in words(document(drawing))


def test_money_is_drawn_by_agent_and_fate_and_waste_is_said() -> None:
    drawing = costs(explained())
    assert drawing is not None
    picture = document(drawing)
    assert "Cost by agent and fate" in words(picture)
    assert "$0.006, 33 % wasted" in words(picture)
    found = bars(picture)
    stale = next(bar for bar in found if bar[0] == "stale: $0.002")
    useful = next(bar for bar in found if bar[0] == "useful: $0.004")
    assert "f-stale" in stale[1]
    assert useful[3] == pytest.approx(2 * stale[3], rel=1e-3)


def test_tokens_are_drawn_where_nothing_has_a_price() -> None:
    free = [call("a", 0, 0, 5, usage=None)]
    assert costs(explain(trace(activities=free, finish=0))) is None
    read = [call("a", 0, 0, 5, usage=Usage(tokens_in=70, tokens_out=7))]
    drawing = costs(explain(trace(activities=read, finish=0)))
    assert drawing is not None
    assert "77 tokens" in words(document(drawing))


def test_a_run_without_calls_or_time_is_still_a_picture() -> None:
    for ended in (BEGAN, BEGAN + SECOND):
        empty = explain(Trace(run="r", name="", began=BEGAN, ended=ended))
        for by in ALL:
            assert ET.fromstring(timeline_svg(empty, by)).tag == f"{NAME}svg"
        assert (loads(empty), windows(empty), costs(empty)) == (None, None, None)


def test_the_same_run_gives_the_same_bytes() -> None:
    assert timeline_svg(explained()) == timeline_svg(explained())


def test_pictures_for_a_telephone_are_narrow_and_say_the_same() -> None:
    for draw in (loads, windows, costs):
        wide, narrow = draw(explained()), draw(explained(), NARROW)
        assert wide is not None
        assert narrow is not None
        assert narrow.width == NARROW.width < wide.width / 2
        for drawing in (wide, narrow):
            ends = [float(at) for at in re.findall(r' x[12]?="([\d.]+)"', drawing.body)]
            assert len(ends) > 3
            assert max(ends) <= drawing.width
        links = [re.findall(r'href="([^"]+)"', one.body) for one in (wide, narrow)]
        assert links[0] == links[1]
        assert links[0]
