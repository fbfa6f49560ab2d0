import pytest
from hypothesis import given
from hypothesis import strategies as st

from hocket.core.errors import ExprError
from hocket.core.template import TemplateError, parse_template, show

NAMES = {"n": 3, "s": "abc", "no": None, "list": [1, None], "o": {"k": True}, "f": 1.5}


def lookup(name: str):
    if name not in NAMES:
        raise ExprError(f"unknown name {name!r}")
    return NAMES[name]


def render(tree):
    return parse_template(tree).render(lookup)


@pytest.mark.parametrize(
    ("tree", "wanted"),
    [
        ("plain", "plain"),
        ("{{n}}", 3),
        ("{{ list }}", [1, None]),
        ("{{no}}", None),
        ("{{o.k}}", True),
        ("n={{n}}", "n=3"),
        ("{{s}}{{n}}", "abc3"),
        ("<{{no}}>", "<>"),
        ("{{list}}!", "[1,null]!"),
        ("{{o}} {{f}}", '{"k":true} 1.5'),
        ("{{o.k}}.", "true."),
        ("{{ '{{' }}", "{{"),
        ("{{ '{{' }}n}}", "{{n}}"),
        ("{{ '}}' }}", "}}"),
        ("}} {", "}} {"),
        ("{{n == 3}}", True),
        ({"a": ["{{n}}", 1], "b": {"c": "{{s}}"}}, {"a": [3, 1], "b": {"c": "abc"}}),
        ({"a": [1, 2]}, {"a": [1, 2]}),
        ([], []),
        (None, None),
        (7, 7),
    ],
)
def test_a_template_gives_its_value(tree, wanted) -> None:
    assert render(tree) == wanted


@pytest.mark.parametrize(
    ("tree", "place", "offset"),
    [
        ("{{", (), 2),
        ("a {{n", (), 5),
        ({"x": ["ok", "{{n n}}"]}, ("x", 1), 4),
        ({"x": {"y": "{{ }}"}}, ("x", "y"), 3),
    ],
)
def test_a_template_that_cannot_be_read_is_refused_at_its_place(tree, place, offset) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(tree)
    assert caught.value.place == place
    assert caught.value.offset == offset


def test_every_name_is_known_with_the_place_of_its_text() -> None:
    found = parse_template({"a": "{{x}} {{y.z}}", "b": ["{{w}}"], "c": 1}).references
    assert [(place, str(reference)) for place, reference in found] == [
        (("a",), "x"),
        (("a",), "y.z"),
        (("b", 0), "w"),
    ]


def test_a_tree_without_templates_is_given_as_it_is() -> None:
    tree = {"a": [1, 2, {"b": "c"}]}
    assert render(tree) is tree


def test_a_missing_field_says_what_there_is() -> None:
    with pytest.raises(ExprError, match="o has no field 'x'; it has k"):
        render("{{o.x}}")


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_a_value_put_into_a_text_is_always_a_text(value) -> None:
    assert isinstance(show(value), str)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        render(text)
    except ExprError as error:
        assert 0 <= error.offset <= len(text)
