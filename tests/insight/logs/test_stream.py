"""JSON is read in pieces of any size as it would be read whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.insight.logs.samples import pieces

from hocket.core.errors import LogError
from hocket.insight.logs.stream import MAX_VALUE, Source
from hocket.insight.logs.values import iso, scaled, text, whole

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)  # fmt: skip
DOC = json.dumps(
    {"a": [1, {"x": [True, None, -1.5e3]}, "é\u2028\\"], "b": -0.25, "c": {}}, indent=1,
    ensure_ascii=False,
).encode()  # fmt: skip


def taken(source: Source) -> dict[str, Any]:
    """Read an object member by member, and its lists element by element."""
    found: dict[str, Any] = {}
    for key in source.members():
        if source.peek() == "[":
            found[key] = [source.value() for _ in source.elements()]
        else:
            found[key] = source.value()
    assert source.peek() == ""
    return found


@given(st.dictionaries(st.text(max_size=3), JSON), st.integers(1, 200), st.sampled_from([None, 2]))
def test_pieces_of_any_size_make_the_same_values(doc, size: int, indent: int | None) -> None:
    data = json.dumps(doc, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert taken(Source(pieces(data, size))) == doc


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_text_that_is_cut_anywhere_says_so_and_where(size: int) -> None:
    for end in range(len(DOC)):
        with pytest.raises(LogError) as caught:
            taken(Source(pieces(DOC[:end], size)))
        assert caught.value.cut, DOC[:end]
        before = DOC[:end].decode("utf-8", "ignore")
        assert caught.value.line == before.count("\n") + 1


@pytest.mark.parametrize(
    ("data", "place", "said"),
    [
        (b'{"a": 1,\n "b": nul}', (2, 7), "expecting value"),
        (b'{"a": 1\n "b": 2}', (2, 2), "a comma or '}' is missing before"),
        (b'{"a": [1,\n2 3]}', (2, 3), "a comma or ']' is missing before '3]}'"),
        (b"{'a': 1}", (1, 2), "a key in quotes is missing before"),
        (b'{"a" 1}', (1, 6), "':' is missing"),
        (b'{"a": NaN}', (1, 7), "'NaN' is no number"),
        (b'{"a": "\xff"}', (1, 8), "byte 0xff is not UTF-8; is this a text file?"),
        (b'{"a": "x\ny"}', (1, 9), "invalid control character"),
        (b'{"a": ' + b"[" * 200_000, (1, 7), "nested too deeply"),
        (b'{"a": 1' + b"0" * 5_000 + b"}", (1, 7), "a number has too many digits"),
    ],
)
def test_what_is_broken_is_named_with_its_place(
    data: bytes, place: tuple[int, int], said: str
) -> None:
    for size in (1, 7, 1 << 20):
        if size == 1 and len(data) > 10_000:
            continue
        with pytest.raises(LogError) as caught:
            for key in (source := Source(pieces(data, size))).members():
                assert key
                if source.peek() == "[" and len(data) < 10_000:
                    for _ in source.elements():
                        source.value()
                else:
                    source.value()
        assert said in str(caught.value)
        assert (caught.value.line, caught.value.column) == place


def test_one_value_takes_only_so_much_memory() -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"a": "'
        for _ in range(2 * MAX_VALUE >> 16):
            yield b"x" * (1 << 16)

    with pytest.raises(LogError, match="a single value of more than 8 million characters"):
        taken(Source(endless()))


def test_what_has_been_read_is_let_go() -> None:
    def many() -> Iterator[bytes]:
        yield b"["
        for i in range(5_000):
            yield b'{"n": %d, "text": "%s"},\n' % (i, b"x" * 1000)
        yield b"{}]"

    source = Source(many())
    longest = count = 0
    for _ in source.elements():
        source.value()
        count += 1
        longest = max(longest, len(source._text))
    assert count == 5_001
    assert longest < 10_000
    assert source.place() == (5_001, 4)


def test_a_mark_at_the_beginning_is_no_part_of_the_text() -> None:
    assert taken(Source([b"\xef\xbb", b'\xbf{"a": 1}'])) == {"a": 1}


def test_instants_and_numbers_are_taken_from_what_may_be_anything() -> None:
    assert iso("2026-11-21T19:42:34.104111") == 1_795_290_154_104_111_000
    assert iso("2026-11-21T20:42:34.5+01:00") == 1_795_290_154_500_000_000
    assert iso("2024-02-29 00:00:00Z") == 1_709_164_800_000_000_000
    assert [iso(x) for x in ("2024-13-01T00:00:00", "yesterday", 3, None)] == [None] * 4
    assert scaled(1795290154.1041112, 10**9) == 1_795_290_154_104_111_000
    assert scaled("1700000000000000001", 1) == 1_700_000_000_000_000_001
    assert scaled(2.5, 1000) == 2500
    assert [scaled(x, 1) for x in (-1, True, "x", 1e300, "9" * 50, [])] == [None] * 6
    assert [whole(x) for x in ("12", 3, 4.0, -1, "x", None, True)] == [12, 3, 4, *[None] * 4]
    assert text("a" * 1000) == "a" * 200
    assert text("\ud800") == "\ufffd"
    assert text(7) == ""
