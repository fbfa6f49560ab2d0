import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.core.values import (
    DAY,
    HOUR,
    MINUTE,
    MS,
    SECOND,
    Call,
    canonical,
    digest,
    format_duration,
    is_file,
    parse_duration,
    unit_fraction,
)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("90s", 90 * SECOND),
        ("1h30m", 90 * MINUTE),
        ("2d", 2 * DAY),
        ("250ms", 250 * MS),
        ("1.5s", 1_500 * MS),
        ("1m0.5s", MINUTE + 500 * MS),
        (3, 3 * SECOND),
        (0.25, 250 * MS),
        (0, 0),
        ("0s", 0),
    ],
)
def test_a_duration_is_read_from_a_text_or_a_number_of_seconds(text, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "90", "s", "1 h", "-1s", "1h-3m", "1y", "1s\n", "1" * 60 + "s", True, -1, float("nan")],
)
def test_what_is_no_duration_is_refused(text) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ms"),
        (340 * MS, "340 ms"),
        (999_600_000, "1.0 s"),
        (4_200 * MS, "4.2 s"),
        (59_960 * MS, "1 m 00 s"),
        (185 * SECOND, "3 m 05 s"),
        (2 * HOUR + 10 * MINUTE, "2 h 10 m"),
        (50 * HOUR, "2 d 02 h"),
    ],
)
def test_a_duration_is_written_for_a_person(ns: int, text: str) -> None:
    assert format_duration(ns) == text


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=5))
def test_equal_values_have_equal_bytes_whatever_the_order_of_their_keys(value) -> None:
    turned = dict(reversed(value.items()))
    assert canonical(value) == canonical(turned)
    assert digest(canonical(value)) == digest(canonical(turned))


@given(st.integers(), st.text(max_size=10), st.integers())
def test_a_fraction_depends_on_its_key_alone_and_is_below_one(seed: int, path: str, n: int) -> None:
    assert 0 <= unit_fraction(seed, path, n) < 1
    assert unit_fraction(seed, path, n) == unit_fraction(seed, path, n)


def test_parts_of_a_key_cannot_run_into_each_other() -> None:
    assert unit_fraction("ab", "c") != unit_fraction("a", "bc")


def test_fractions_are_spread_out() -> None:
    drawn = [unit_fraction(7, "step", n) for n in range(1_000)]
    assert 0.45 < sum(drawn) / 1_000 < 0.55


def test_a_call_is_named_by_path_and_attempt() -> None:
    assert str(Call("review/3", 2)) == "review/3#2"


@pytest.mark.parametrize(
    ("value", "yes"),
    [({"$": "file", "digest": "x"}, True), ({"$": "file"}, False), ("file", False), ({}, False)],
)
def test_a_file_is_known_by_its_tag_and_digest(value, yes: bool) -> None:
    assert is_file(value) is yes
