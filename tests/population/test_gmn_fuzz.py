"""Whatever the text is: a model, or a mistake with a line; nothing else, and soon."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.population.gmn_texts import EXAMPLES, SMALL

from hocket.core.errors import SpecError
from hocket.population.gmn import parse_gmn, to_gmn
from hocket.population.model import Model

SEEDS = [
    SMALL,
    to_gmn(parse_gmn(SMALL), "json"),
    *((EXAMPLES / name).read_text(encoding="utf-8") for name in ("tmaze.gmn", "explorer.gmn")),
]
WORDS = [
    *("[", "]", "{", "}", ",", ":", "->", "#", '"', "\\", "\n", "é", "*"),
    *("0", "-1", "2", "0.5", "1e999", "99999999999", "10x10", "nan", "true", "null"),
    *("[nodes]", "[edges]", "state", "likelihood", "place", "size", "map", "grid", "classes"),
    *("uniform", "identity", "choose", "cases", "when", "then", "stays", "next", "weight"),
    *("dirichlet", "policies", "sampled", "length"),
]


@st.composite
def broken(draw: st.DrawFn) -> str:
    """A good text with something put in, taken out or written over."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 5, 40])))
        put = draw(st.sampled_from(WORDS) | st.text(max_size=4) | st.just(""))
        text = text[:start] + put + text[end:]
    return text


def read(text: str) -> None:
    try:
        model = parse_gmn(text, "x")
    except SpecError as error:
        assert error.lines and all(line.startswith("x:") for line in error.lines)
        assert all(line.isprintable() for line in error.lines)
    else:
        assert isinstance(model, Model)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(broken())
def test_a_broken_text_is_a_model_or_a_mistake(text: str) -> None:
    read(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200) | st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))
def test_any_text_is_a_model_or_a_mistake(text: str) -> None:
    read(text)
    read(f"[nodes]\n{text}")
