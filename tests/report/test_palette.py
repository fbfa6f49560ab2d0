"""How causes look: each apart from all others, also without colour."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.core.reports import FATES
from hocket.insight.causes import KINDS, WAITS, Cause
from hocket.report import palette
from hocket.report.palette import LOOKS, bar, cause_name, cells, marks_line

OKABE_ITO = {
    "#000000",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
}
GREYS = {"#999999", "#d9d9d9"}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_kind_has_a_look_and_idle_is_the_paper() -> None:
    assert tuple(LOOKS) == KINDS
    assert LOOKS["idle"].colour == palette.PAPER
    assert LOOKS["idle"].hatch == ""
    colours = {look.colour for kind, look in LOOKS.items() if kind != "idle"}
    assert colours <= OKABE_ITO | GREYS


def test_no_two_kinds_look_alike_without_colour() -> None:
    """Two that share a hatch must differ as black and white do."""
    for one, other in combinations(KINDS, 2):
        a, b = LOOKS[one], LOOKS[other]
        assert a.mark != b.mark
        assert a.name != b.name
        if "idle" not in (one, other):
            far = abs(luminance(a.colour) - luminance(b.colour)) > 0.2
            assert a.hatch != b.hatch or far, f"{one} and {other}"


def test_each_wait_has_its_own_hatch() -> None:
    hatches = [LOOKS[kind].hatch for kind in KINDS if kind in WAITS]
    assert all(hatches)
    assert len(set(hatches)) == len(WAITS)


def test_a_hatch_can_be_seen_on_its_colour() -> None:
    for look in LOOKS.values():
        if look.hatch:
            light, dark = sorted((luminance(look.colour), luminance(look.ink)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) > 2.4, look.name


def test_every_fate_looks_like_itself_and_only_what_was_useful_is_plain() -> None:
    assert tuple(palette.FATES) == FATES
    assert [fate for fate, look in palette.FATES.items() if not look.hatch] == ["useful"]
    looks = {(look.colour, look.hatch, look.ink) for look in palette.FATES.values()}
    assert len(looks) == len(FATES)


@pytest.mark.parametrize(
    ("cause", "name"),
    [
        (Cause("rate", "flash"), "rate limit flash"),
        (Cause("slot", "run"), "slot of the run"),
        (Cause("slot", "agent:coder"), "slot of coder"),
        (Cause("rework", "stale"), "stale call"),
        (Cause("model", "pro"), "model of pro"),
        (Cause("model"), "model"),
        (Cause("idle"), "nothing ready"),
        (Cause("unknown", "odd:x"), "not known: odd:x"),
    ],
)
def test_a_cause_has_a_name(cause: Cause, name: str) -> None:
    assert cause_name(cause) == name


def test_a_bar_reads_without_colour() -> None:
    shares = {
        Cause("model", "a"): 30,
        Cause("rate", "x"): 40,
        Cause("model", "b"): 10,
        Cause("rework", "stale"): 20,
    }
    assert bar(shares, 10) == "████rrrr✗✗"
    assert marks_line(shares) == "█ model  r rate limit  ✗ came to nothing"
    # It is in the order of its shares, as the table above it.
    turned = dict(sorted(shares.items(), key=lambda item: -item[1]))
    assert bar(turned, 10) == "rrrr████✗✗"
    assert marks_line(turned) == "r rate limit  █ model  ✗ came to nothing"


def test_a_bar_of_nothing_is_empty() -> None:
    assert bar({}, 10) == ""
    assert bar({Cause("idle"): 0}, 10) == ""
    assert bar({Cause("idle"): 5}, 0) == ""


@given(
    st.dictionaries(
        st.builds(Cause, st.sampled_from(KINDS), st.sampled_from(["", "a", "b"])),
        st.integers(0, 10**15),
    ),
    st.integers(1, 200),
)
def test_a_bar_is_as_wide_as_asked_and_never_off_by_a_cell(
    shares: dict[Cause, int], width: int
) -> None:
    whole = sum(shares.values())
    found = dict(cells(shares, width))
    if not whole:
        assert found == {}
        return
    assert sum(found.values()) == width
    assert len(bar(shares, width)) == width
    for kind in KINDS:
        exact = sum(amount for cause, amount in shares.items() if cause.kind == kind) * width
        assert abs(found.get(kind, 0) * whole - exact) < whole
