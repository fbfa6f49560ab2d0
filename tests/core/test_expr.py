import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.core.errors import ExprError
from hocket.core.expr import MAX_DEPTH, MAX_LENGTH, parse_expr

NAMES = {
    "a": {"x": 1, "y-z": "text", "rows": [[1, 5], {"n": 2}], "not": True, "none": None},
    "n": 3,
    "s": "abc",
    "list": [1, "1", None],
    "no": None,
    "yes": True,
    "a-b": 9,
}


def lookup(name: str):
    if name not in NAMES:
        raise ExprError(f"unknown name {name!r}")
    return NAMES[name]


def value(text: str):
    return parse_expr(text).evaluate(lookup)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1", 1),
        ("-2.5", -2.5),
        ("1e3", 1000.0),
        ("'it''s'"[:4], "it"),
        (r"'a\'b'", "a'b"),
        ('"q"', "q"),
        ("true", True),
        ("null", None),
        ("[1, 'x', n]", [1, "x", 3]),
        ("[]", []),
        ("[1,]", [1]),
        ("a.x", 1),
        ("a['y-z']", "text"),
        ("a.y-z", "text"),
        ("a-b", 9),
        ("a.rows[0][1]", 5),
        ("a.rows.0.1", 5),
        ("a.rows.1.n", 2),
        ("a.not", True),
        ("n == 3", True),
        ("n != 3", False),
        ("n < 3.5", True),
        ("n >= 3", True),
        ("s < 'abd'", True),
        ("1 == true", False),
        ("1 == 1.0", True),
        ("null == no", True),
        ("s == 1", False),
        ("'b' in s", True),
        ("'x' in a", True),
        ("1 in list", True),
        ("true in list", False),
        ("2 not in list", True),
        ("not yes", False),
        ("not not yes", True),
        ("no or s", "abc"),
        ("s and no", None),
        ("yes or missing", True),
        ("no and missing", None),
        ("no and missing or n", 3),
        ("(no or yes) and n == 3", True),
        ("not n == 3", False),
    ],
)
def test_an_expression_means_what_it_says(text: str, wanted) -> None:
    found = value(text)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("", "found the end", 0),
        ("a.", "a field's name", 2),
        ("a b", "an operator or the end", 2),
        ("a = 1", "unexpected '='", 2),
        ("'open", "not closed", 0),
        ("(a", "expected ')'", 2),
        ("[1", "expected ']'", 2),
        ("a not b", "'in' after 'not'", 6),
        ("1 < 2 < 3", "an operator or the end", 6),
        ("a + 1", "unexpected '+'", 2),
        ("f(x)", "an operator or the end", 1),
        ("a[x]", "a field's name or number", 2),
        ("a[1.0]", "a field's name or number", 2),
        ("a[-1]", "a field's name or number", 2),
        ("12-3", "an operator or the end", 2),
        ("a AND b", "an operator or the end", 2),
        ("x" * (MAX_LENGTH + 1), "characters at most", 0),
        ("(" * (MAX_DEPTH + 2) + "1", "nested deeper", MAX_DEPTH + 1),
        ("not " * (MAX_DEPTH + 2) + "1", "nested deeper", 4 * (MAX_DEPTH + 1)),
    ],
)
def test_what_does_not_follow_the_grammar_is_refused_at_its_place(
    text: str, message: str, offset: int
) -> None:
    with pytest.raises(ExprError, match=None) as caught:
        parse_expr(text)
    assert message in str(caught.value)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.xx", "a has no field 'xx'; it has x, y-z"),
        ("a.rows.7", "a.rows is a list of 2"),
        ("a.rows.n", "a.rows is a list of 2, not 'n'"),
        ("no.x", "no is null and has no field 'x'"),
        ("s.x", "s is a str and has no field 'x'"),
        ("s.0", "s is a str and has no field 0"),
        ("n < 'x'", "cannot compare int < str"),
        ("yes < 2", "cannot compare bool < int"),
        ("1 in n", "cannot look for int in int"),
        ("1 in s", "cannot look for int in str"),
        ("missing", "unknown name 'missing'"),
    ],
)
def test_what_cannot_be_computed_says_why(text: str, message: str) -> None:
    with pytest.raises(ExprError) as caught:
        value(text)
    assert message in str(caught.value)


def test_a_hint_is_given_for_a_mistyped_field() -> None:
    with pytest.raises(ExprError) as caught:
        value("a.row")
    assert caught.value.hint == "did you mean 'rows'?"


def test_every_name_that_is_read_is_known_after_parsing() -> None:
    expr = parse_expr("a.x == 1 or not (b['c d'].0 in [c, 'd'])")
    assert [(r.names, r.offset) for r in expr.references] == [
        (("a", "x"), 0),
        (("b", "c d", 0), 17),
        (("c",), 32),
    ]


def test_a_long_chain_needs_no_deep_stack() -> None:
    assert value("''or" * 990 + " 1") == 1
    assert value("'x'and" * 660 + " 0") == 0


def test_no_text_reaches_pythons_own_evaluator() -> None:
    for text in ("__import__('os')", "a.__class__.x", "().x", "lambda: 1", "a if b else c"):
        with pytest.raises(ExprError):
            value(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        parse_expr(text).evaluate(lookup)
    except ExprError as error:
        assert 0 <= error.offset <= len(text)


@given(st.text(alphabet="abn.[]()'\" 019-<>=!,intorad{}", max_size=40))
def test_any_text_of_the_grammars_letters_is_read_or_refused(text: str) -> None:
    try:
        parse_expr(text).evaluate(lookup)
    except ExprError as error:
        assert 0 <= error.offset <= len(text)


def test_a_huge_number_is_refused_and_does_not_stop_the_parser() -> None:
    with pytest.raises(ExprError, match="characters at most"):
        parse_expr("1" * 5_000)


def test_true_is_not_one_within_lists_and_objects_either() -> None:
    values = {"a": [{"b": True}], "c": [{"b": 1}]}
    assert parse_expr("a == c").evaluate(values.__getitem__) is False
    assert parse_expr("a == a and c == c").evaluate(values.__getitem__) is True
    assert parse_expr("[true] == [1]").evaluate(values.__getitem__) is False
