"""YAML is read without surprises, and every value knows its place."""

import pytest
import yaml as pyyaml

from hocket.config import yaml
from hocket.config.yaml import Mark, YamlError, parse


def test_words_that_older_yaml_turns_into_something_else_stay_texts() -> None:
    tree = parse(
        b"on: yes\noff: no\nday: 2026-01-31\ntime: 12:30\nsum: 1_000\nkey: 'true'\ntext: '12'\n"
    ).tree
    assert tree == {
        "on": "yes",
        "off": "no",
        "day": "2026-01-31",
        "time": "12:30",
        "sum": "1_000",
        "key": "true",
        "text": "12",
    }


def test_numbers_truth_and_nothing_are_json() -> None:
    tree = parse(b"[1, -2, 0x1F, 0o17, 1.5, 1e3, .5, true, False, ~, null, ]").tree
    assert tree == [1, -2, 31, 15, 1.5, 1000.0, 0.5, True, False, None, None]
    assert [type(value) for value in tree[:7]] == [int, int, int, int, float, float, float]


@pytest.mark.parametrize("loader", [pyyaml.SafeLoader, yaml._FAST])
def test_both_parsers_give_the_same(loader: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "_FAST", loader)
    document = parse('a: "x"\nb: [1, {c: d}]\nd: |\n  two\n  lines\ne: ü\n'.encode())
    assert document.tree == {"a": "x", "b": [1, {"c": "d"}], "d": "two\nlines\n", "e": "ü"}
    assert document.find(("b", 1, "c")) == Mark(1, 11)
    assert document.find(("b", 1, "c"), key=True) == Mark(1, 8)
    with pytest.raises(YamlError, match="aliases are not read"):
        parse(b"a: *x")


def test_a_character_within_a_text_has_its_place_where_the_text_stands_as_it_is() -> None:
    document = parse(
        b"plain: do {{x}}\nquoted: 'do {{x}}'\nblock: |\n  first\n  do {{x}}\n"
        b'escaped: "\\n {{x}}"\nfolded: >\n  do\n  {{x}}\n'
    )
    assert document.find(("plain",), offset=5) == Mark(0, 12)
    assert document.find(("quoted",), offset=5) == Mark(1, 14)
    assert document.find(("block",), offset=6 + 5) == Mark(4, 7)
    # Where the text was written otherwise, its beginning must do.
    assert document.find(("escaped",), offset=4) == Mark(5, 9)
    assert document.find(("folded",), offset=5) == Mark(6, 8)


def test_a_place_that_is_not_there_is_shown_by_the_last_key_that_is() -> None:
    document = parse(b"a:\n  b: {c: 1}\n")
    assert document.find(("a", "b", "x", "y")) == Mark(1, 2)
    assert document.find(("z",)) == Mark(0, 0)


def test_a_short_bomb_is_refused_at_its_first_anchor() -> None:
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 9))
    with pytest.raises(YamlError) as caught:
        parse(("l0: &l0 lol\n" + levels).encode())
    assert (caught.value.mark, caught.value.message) == (
        Mark(0, 4),
        "anchors are not read: remove '&l0'",
    )


def test_bounds_hold_before_anything_is_built() -> None:
    for data, said in [
        (b"[" * 500_000, "nested deeper than 40"),
        (b"[" + b"a," * 400_000 + b"]", "the file has more than 250,000 values"),
        (b"x" * (yaml.MAX_BYTES + 1), "the file has more than 1 MiB; no more is read"),
    ]:
        with pytest.raises(YamlError) as caught:
            parse(data)
        assert caught.value.message == said


def test_a_file_with_a_byte_order_mark_and_windows_lines_is_read() -> None:
    document = parse(b"\xef\xbb\xbfa: 1\r\nb: {{x}: 2}\r\n".replace(b"{{x}: 2}", b"[1, 2]"))
    assert document.tree == {"a": 1, "b": [1, 2]}
    assert document.find(("b", 1)) == Mark(1, 7)
