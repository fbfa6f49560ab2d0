"""The writer of SVG: sound markup, measured text, round ticks."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.core.values import DAY, HOUR, MINUTE, MS, SECOND
from hocket.insight.causes import KINDS
from hocket.report import svg
from hocket.report.palette import FATES
from hocket.report.svg import Drawing, document, fit, inline, text_width, ticks, time_ticks

NAME = "{http://www.w3.org/2000/svg}"


@given(st.text(alphabet=st.characters(), max_size=60))
def test_any_text_makes_sound_markup_and_comes_back_as_it_was(text: str) -> None:
    drawing = Drawing(10, 10, text, svg.words(0, 0, text, title=text))
    root = ET.fromstring(document(drawing).encode("utf-8"))
    found = root.find(f"{NAME}text")
    expected = svg.legible(text)
    if "\r" not in expected:
        assert "".join(found.itertext()) == expected * 2  # type: ignore[union-attr]
    else:
        assert found is not None


def test_markup_in_text_stays_text() -> None:
    assert svg.words(0, 0, "<b a='x'>&") == (
        '<text class="t" x="0" y="0">&lt;b a=&#39;x&#39;&gt;&amp;</text>'
    )
    assert svg.tag("a", href='"><script>') == '<a href="&quot;&gt;&lt;script&gt;"/>'
    assert svg.escape("a\x00\x1b[2J\ud800\uffff") == "a��[2J��"


def test_coordinates_have_at_most_two_digits_and_no_dead_weight() -> None:
    assert [svg.number(value) for value in (1, 1.0, 1.005, 0.1 + 0.2, 1200, -0.5)] == [
        "1",
        "1",
        "1",
        "0.3",
        "1200",
        "-0.5",
    ]


def test_a_file_brings_its_style_and_hatches_and_a_part_of_a_page_brings_none() -> None:
    drawing = Drawing(100, 50, "a picture", svg.rect(0, 0, 10, 10, "k-rate"))
    root = ET.fromstring(document(drawing))
    patterns = {found.get("id") for found in root.iter(f"{NAME}pattern")}
    style = root.findtext(f"{NAME}style") or ""
    for name in (*(f"k-{kind}" for kind in KINDS), *(f"f-{fate}" for fate in FATES)):
        assert f".{name}{{fill:" in style
        if f"url(#h{name})" in style:
            assert f"h{name}" in patterns
    assert "prefers-color-scheme:dark" in style
    assert root.get("role") == "img"
    part = inline(drawing)
    assert "<style" not in part
    assert "<defs" not in part


@given(st.text(max_size=80), st.floats(0, 400))
def test_cut_text_fits_and_keeps_both_ends(text: str, room: float) -> None:
    found = fit(text, room)
    assert text_width(found) <= room or found == ""
    if text_width(text) <= room:
        assert found == text
    elif len(found) > 4:
        assert found[0] == text[0]
        assert found[-1] == text[-1]


def test_wide_characters_are_wide() -> None:
    assert text_width("日本") > 1.5 * text_width("ab")
    assert text_width("iiii") < text_width("mmmm") / 2


@given(st.integers(0, 10**19), st.integers(1, 20))
def test_time_is_divided_by_few_round_instants(span: int, most: int) -> None:
    found = time_ticks(span, most)
    assert 1 <= len(found) <= most + 1
    assert found[0].at == 0
    steps = {b.at - a.at for a, b in itertools.pairwise(found)}
    assert len(steps) <= 1
    assert all(0 <= tick.at <= span for tick in found)
    assert len({tick.text for tick in found}) == len(found)


@pytest.mark.parametrize(
    ("span", "texts"),
    [
        (4 * MS, ["0", "1 ms", "2 ms", "3 ms", "4 ms"]),
        (2 * SECOND, ["0", "500 ms", "1 s", "1.5 s", "2 s"]),
        (90 * SECOND, ["0", "30 s", "1:00", "1:30"]),
        (25 * MINUTE, ["0", "10 min", "20 min"]),
        (3 * HOUR, ["0", "1 h", "2 h", "3 h"]),
        (4 * DAY, ["0", "1 d", "2 d", "3 d", "4 d"]),
    ],
)
def test_ticks_are_written_in_the_unit_that_people_use(span: int, texts: list[str]) -> None:
    assert [tick.text for tick in time_ticks(span, 4)] == texts


@given(
    st.floats(-1e6, 1e6, allow_nan=False),
    st.floats(1e-3, 1e6, allow_nan=False),
    st.integers(2, 10),
)
def test_numbers_are_divided_by_round_ones(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most)
    assert len(found) <= most + 1
    assert all(low - span * 1e-6 <= tick.at <= low + span * 1.000001 for tick in found)


def test_a_range_of_one_number_has_one_tick() -> None:
    assert [tick.text for tick in ticks(1_000.0, 1_000.0, 5)] == ["1,000"]
    assert [tick.text for tick in ticks(0, 0.04, 4)] == ["0", "0.01", "0.02", "0.03", "0.04"]
